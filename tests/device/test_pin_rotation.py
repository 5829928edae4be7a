"""The pins of the broker change by configuration: without an outage, and never so that a door is locked out."""

import asyncio

from protocol import journal
from protocol.host.broker import BrokerFiles
from protocol.host.refusals import is_final
from protocol.x509_spki import MAX_PINS, check_pins
from tests.device.impostor import impostor
from tests.device.rig import DEADLINE, Rig
from tests.device.test_configuration import applied
from tests.protocol.host.fleet import Identity

NEXT = "1" * 64


async def broker_goes_on_with(door: Rig, server: Identity) -> None:
    """The broker of the site is restarted with another key, on the same port; the device comes back by itself."""
    site = door.site
    async with site.outage():
        await site.broker.stop()
        site.broker.files = BrokerFiles(server.certificate, server.key, site.fleet.ca)
        site.server = server
        site.messages.clear()
    await site.synchronised()


async def test_a_broker_changes_its_key_twice_and_the_door_follows(door: Rig) -> None:
    site = door.site
    first, second, third = (
        site.server,
        site.fleet.issue("b2", server=True),
        site.fleet.issue("b3", server=True),
    )
    await applied(door, 2, pins=[first.pin, second.pin])
    await broker_goes_on_with(door, second)
    await applied(door, 3, pins=[second.pin, third.pin])
    await broker_goes_on_with(door, third)
    await door.reset()  # the pins in force are on flash
    await site.synchronised()


async def test_a_retired_key_is_no_longer_believed(door: Rig) -> None:
    site = door.site
    first, second = site.server, site.fleet.issue("b2", server=True)
    await applied(door, 2, pins=[first.pin, second.pin])
    await broker_goes_on_with(door, second)
    await applied(door, 3, pins=[second.pin, NEXT])
    async with site.outage():
        await site.broker.stop()
        async with impostor(site.fleet, first, port=site.broker.mqtt_port) as thief:
            assert await asyncio.wait_for(thief.refusals.get(), DEADLINE)
        assert not thief.bytes_heard
        site.messages.clear()
    await site.synchronised()
    assert (await site.counters())["uplink_pin"] >= 1


async def test_pins_that_would_lock_the_door_out_are_refused_and_told(door: Rig) -> None:
    site = door.site
    newest = site.newest
    await site.down("config", site.config(2, pins=[NEXT, "2" * 64]))
    record = await site.record(journal.EVENT_CONFIG_REFUSED, after=newest)
    assert not is_final(record.status)  # another broker may bring it
    while (state := await site.next("state")).get("cfg_refused") is None:
        pass
    assert (state["cfg"], state["cfg_refused"]) == (1, "config_broker")
    await site.admission.kick(site.device.name)
    await site.synchronised()  # with the pins before
    await applied(door, 3, pins=[site.server.pin, NEXT])
    while "cfg_refused" in (state := await site.next("state")):
        pass
    assert state["cfg"] == 3


def test_a_pin_set_has_a_backup_and_an_end() -> None:
    pins = [f"{n:064x}" for n in range(MAX_PINS + 1)]
    assert check_pins(pins[:2], "pins") == tuple(pins[:2])
    assert len(check_pins(pins[:MAX_PINS], "pins")) == MAX_PINS
