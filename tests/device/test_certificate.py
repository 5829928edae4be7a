"""A certificate is renewed over the air, for the same key; and one that is not let in locks nobody out."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from protocol import journal
from protocol.host.refusals import refusal_name
from tests.device.rig import Rig
from tests.protocol.host.fleet import Fleet

DAY = 86_400


def renewed(door: Rig, fleet: Fleet | None = None, *, days: int = 400, other_key: bool = False) -> bytes:
    """A certificate of ``fleet`` (else the site's) for the key of the device."""
    site = door.site
    device = site.fleet.issue("other") if other_key else site.device
    key = x509.load_pem_x509_certificate(device.certificate.read_bytes()).public_key()
    made = (fleet or site.fleet).certify(key, site.device.name, seconds=days * DAY)  # type: ignore[arg-type]
    return made.public_bytes(serialization.Encoding.DER)


def serial(certificate: bytes) -> int:
    return x509.load_der_x509_certificate(certificate).serial_number


async def offered(door: Rig, certificate: bytes, version: int, event: int) -> None:
    newest = door.site.newest
    door.site.messages.clear()
    await door.site.offer("certificate", version, certificate)
    record = await door.site.record(event, after=newest)
    assert record.value == version


async def comes_back_with(door: Rig, certificate: bytes) -> None:
    while True:
        await door.site.synchronised()
        if door.site.shown == serial(certificate):
            return


async def test_a_renewed_certificate_is_shown_at_once_and_after_a_reset(door: Rig) -> None:
    until = int(time.time()) + 400 * DAY
    for n in range(2):
        certificate = renewed(door)
        await offered(door, certificate, until + n, journal.EVENT_TRANSFER_TAKEN)
        await comes_back_with(door, certificate)
    await door.reset()
    await comes_back_with(door, certificate)


async def test_a_certificate_that_the_broker_refuses_gives_way_to_the_one_before(door: Rig) -> None:
    """The second is of a CA that the broker does not know; the first goes on serving."""
    first, stranger = renewed(door), renewed(door, Fleet(door.folder / "strangers"))
    until = int(time.time()) + 400 * DAY
    await offered(door, first, until, journal.EVENT_TRANSFER_TAKEN)
    await comes_back_with(door, first)
    await door.site.offer("certificate", until + 1, stranger)
    await door.site.record(journal.EVENT_TRANSFER_TAKEN, after=door.site.newest)
    await comes_back_with(door, first)
    await door.reset()
    await comes_back_with(door, first)
    third = renewed(door)
    await offered(door, third, until + 2, journal.EVENT_TRANSFER_TAKEN)
    await comes_back_with(door, third)


async def test_a_certificate_that_only_tls_finds_fault_with_is_not_put_in_force(door: Rig) -> None:
    """For our key, and signed by an algorithm that there is not: with it there would never be a session again."""
    certificate = bytearray(renewed(door))
    tbs = x509.load_der_x509_certificate(bytes(certificate)).tbs_certificate_bytes
    certificate[4 + len(tbs) + 6] ^= 0x40  # in the OID of the signature
    shown, until = door.site.shown, int(time.time()) + 400 * DAY
    await offered(door, bytes(certificate), until, journal.EVENT_TRANSFER_REFUSED)
    record = await door.site.record(journal.EVENT_TRANSFER_REFUSED)
    assert refusal_name(record.status) == "fault"
    counters = await door.site.counters()
    assert (counters["inbox_fault"], door.site.shown) == (1, shown)
    assert not [name for name in counters if name.startswith("crash_")]
    good = renewed(door)
    await offered(door, good, until + 1, journal.EVENT_TRANSFER_TAKEN)
    await comes_back_with(door, good)


@pytest.mark.parametrize("kind", ["another key", "no certificate", "cut short"])
async def test_a_certificate_that_is_not_for_this_board_is_refused(door: Rig, kind: str) -> None:
    certificate = {
        "another key": renewed(door, other_key=True),
        "no certificate": b"-----BEGIN CERTIFICATE-----",
        "cut short": renewed(door)[:-1],
    }[kind]
    shown = door.site.shown
    await offered(door, certificate, 2_000_000_000, journal.EVENT_TRANSFER_REFUSED)
    await door.site.admission.kick(door.site.device.name)
    await door.site.synchronised()
    assert door.site.shown == shown
