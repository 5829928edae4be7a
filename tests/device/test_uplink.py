"""The session with the site broker: whom the board talks to, what it delivers, what it survives."""

import asyncio
import dataclasses
import os
import signal
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from protocol import journal
from protocol.envelope import MAX_ENVELOPE
from tests.device.impostor import impostor
from tests.device.rig import DEADLINE, Rig
from tests.device.site import DEVICE, Site
from tests.protocol.host.fleet import Fleet, Identity

WAIT = 10.0
DOWN_LEAVES = ("command", "ack", "time", "config", "update", "chunk")


async def press(door: Rig, times: int) -> None:
    """Presses of the exit button, each seen: the LED is lit, and goes out."""
    for _ in range(times):
        await door.door.tap_rex(0.1)
        await door.board.pins.wait_pin("led", 1, WAIT)
        await door.board.pins.wait_pin("led", 0, WAIT)


async def refuses(blank: Rig, identity: Identity, **broker: object) -> None:
    """The board ends the handshake with this broker, again and again, and says not one byte of MQTT to it."""
    async with impostor(blank.site.fleet, identity) as fake:
        blank.site.port = fake.port
        bundle = blank.site.bundle()
        await blank.provision(broker={**bundle["broker"], **broker})
        for _ in range(2):
            await asyncio.wait_for(fake.refusals.get(), DEADLINE)
        assert fake.bytes_heard == b""
        assert (await blank.phone().unlock(blank.site.key_for_phone())).granted


async def test_a_broker_of_the_right_ca_with_another_key_is_refused_inside_the_handshake(blank: Rig) -> None:
    await refuses(blank, blank.site.fleet.issue("broker", server=True))


async def test_a_broker_under_another_name_is_refused(blank: Rig) -> None:
    await refuses(blank, blank.site.server, server_name="elsewhere.example")


async def test_the_pinned_key_under_another_ca_is_refused(blank: Rig, tmp_path: Path) -> None:
    site = blank.site
    private = serialization.load_pem_private_key(site.server.key.read_bytes(), None)
    forged = Fleet(tmp_path / "other").certify(private.public_key(), "broker", server=True)  # type: ignore[arg-type]
    certificate = tmp_path / "forged.crt"
    certificate.write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    await refuses(blank, dataclasses.replace(site.server, certificate=certificate))


async def test_an_expired_certificate_is_refused_by_the_clock_floor(blank: Rig, tmp_path: Path) -> None:
    site = blank.site
    private = serialization.load_pem_private_key(site.server.key.read_bytes(), None)
    old = site.fleet.certify(private.public_key(), "broker", server=True, seconds=-3600)  # type: ignore[arg-type]
    certificate = tmp_path / "old.crt"
    certificate.write_bytes(old.public_bytes(serialization.Encoding.PEM))
    await refuses(blank, dataclasses.replace(site.server, certificate=certificate))


async def test_the_backup_pin_serves(blank: Rig) -> None:
    """A rotation: the second pin of the set is the one in use."""
    site = blank.site
    async with site.serving():
        broker = site.bundle()["broker"]
        await blank.provision(broker={**broker, "pins": ["1" * 64, site.server.pin]})
        await site.synchronised()


async def test_a_killed_broker_loses_no_record_and_no_order(door: Rig) -> None:
    site = door.site
    assert site.broker.pid is not None
    await site.down("config", site.config(2, policy={"open_s": 0.1}))
    await site.record(journal.EVENT_CONFIG_APPLIED)
    before = site.newest
    async with site.outage():
        os.kill(site.broker.pid, signal.SIGKILL)
        await site.broker.wait_exit()
        await press(door, 5)
    await site.synchronised()
    while site.newest < before + 5:
        await site.record(journal.EVENT_ACCESS_GRANTED, after=site.newest)
    records = site.verify()  # every sequence, once, in one unbroken chain
    assert [r.type for r in records[before:]].count(journal.EVENT_ACCESS_GRANTED) == 5
    assert [batch[0] for batch in site.batches] == sorted(batch[0] for batch in site.batches)


async def test_what_is_not_acknowledged_is_sent_again_and_what_is_is_not(door: Rig) -> None:
    site = door.site
    acknowledged = site.newest
    site.acknowledges = False
    await door.door.tap_rex(0.1)
    record = await site.record(journal.EVENT_ACCESS_GRANTED)
    site.batches.clear()
    await site.counters()  # cuts the session
    while not site.batches:
        await site.next("events")
    assert site.batches[0][0] == acknowledged + 1
    assert record.seq in site.batches[0]
    site.acknowledges = True
    await site.down("ack", {"seq": site.newest})
    site.batches.clear()
    newest = site.newest
    await door.door.tap_rex(0.1)
    await site.record(journal.EVENT_ACCESS_GRANTED, after=newest)
    assert min(batch[0] for batch in site.batches) == newest + 1


async def test_acknowledged_records_are_not_sent_again_after_a_boot(door: Rig) -> None:
    site = door.site
    newest = site.newest
    site.batches.clear()
    await door.door.tap_rex(0.1)  # its commit also keeps the watermark
    await site.record(journal.EVENT_ACCESS_GRANTED)
    await door.reset()
    await site.record(journal.EVENT_BOOT, after=newest)
    assert min(batch[0] for batch in site.batches) > newest


async def test_a_wrong_acknowledgement_drops_no_record(door: Rig) -> None:
    site = door.site
    site.acknowledges = False
    wrong: list[object] = [
        {"seq": -1},
        {"seq": "1"},
        {"seq": 2**40},
        {"seq": True},
        {},
        [1],
        {"x": "y" * 300},
    ]
    for ack in wrong:
        await site.down("ack", ack)
    await door.door.tap_rex(0.1)
    record = await site.record(journal.EVENT_ACCESS_GRANTED)
    site.batches.clear()
    counters = await site.counters()
    assert sum(count for name, count in counters.items() if name.startswith("down_ack_")) == len(wrong)
    assert record.seq in site.batches[0]


async def test_malformed_messages_on_every_leaf_are_counted_by_reason_and_end_nothing(door: Rig) -> None:
    site = door.site
    junk: dict[str, bytes] = {
        "json": os.urandom(64),
        "text": b"{'p': 1}",
        "deep": b"[" * 4000,
        "shape": b"[]",
        "fields": b'{"p": 1, "m": 2}',
        "mac": b'{"p": "{}", "m": "' + b"0" * 32 + b'"}',
        "huge": b"x" * (MAX_ENVELOPE + 100),
        "empty": b"",
    }
    for leaf in DOWN_LEAVES:
        for payload in junk.values():
            await site.down(leaf, payload)
    for leaf in ("state", "nonsense"):
        await site.down(leaf, b"x")
    admitted = site.admitted
    await site.down("command", site.command())
    assert (await site.result())["ok"]  # in order behind all of it, in the same session
    assert site.admitted == admitted
    counters = await site.counters()
    for leaf in ("command", "time", "config"):
        for reason in ("json", "json_shape", "envelope_shape", "bad_mac", "envelope_size"):
            assert counters[f"down_{leaf}_{reason}"] >= 1
        assert sum(n for name, n in counters.items() if name.startswith(f"down_{leaf}_")) == len(junk)
    for leaf in ("update", "chunk"):
        assert sum(n for name, n in counters.items() if name.startswith(f"down_{leaf}_")) == len(junk)
    assert counters["down_ack_ack_size"] == 2
    assert counters["down_unknown_topic"] == 2
    assert not [name for name in counters if name.startswith("crash_")]
    assert site.verify()[-1].type != journal.EVENT_TASK_RESTARTED


async def test_a_packet_over_the_limit_ends_the_session_and_not_the_board(door: Rig) -> None:
    """Nothing that size is ever sent to a board, so the stream is not to be trusted any more."""
    site = door.site
    admitted = site.admitted
    await site.down("config", b"x" * 20_000)
    await site.synchronised()
    assert site.admitted == admitted + 1
    await site.down("command", site.command())
    assert (await site.result())["ok"]
    assert (await site.counters())["uplink_mqtt_size"] == 1


async def test_the_state_tells_what_is_in_force(door: Rig) -> None:
    site = door.site
    await site.down("config", site.config(7, rev={"seq": 9, "creds": [], "gens": {}}, policy={"open_s": 0.3}))
    state = await site.next("state")
    assert (state["cfg"], state["rev"], state["door"], state["boot"]) == (7, 9, "locked", 1)
    await site.down("command", site.command())
    assert (await site.next("state"))["door"] == "released"
    assert (await site.next("state"))["door"] == "locked"


async def test_a_device_that_is_not_admitted_stays_a_door(blank: Rig) -> None:
    site: Site = blank.site
    site.device = dataclasses.replace(site.device, pin="0" * 64)
    async with site.serving():
        await blank.provision()
        await blank.board.console.wait_for("latchwork: uplink:", DEADLINE)
        assert "wrong_pin" in site.refused
        assert (await blank.phone().unlock(site.key_for_phone())).granted
    assert DEVICE not in site.messages
