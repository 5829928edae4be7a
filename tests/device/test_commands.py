"""Commands from the cloud: each is executed once, in time, by the device and the boot it was sealed for."""

import time
from typing import Any

import pytest

from protocol import journal, keys
from protocol.envelope import LABEL_CONFIG, LABEL_RESULT
from tests.device.rig import Rig
from tests.device.site import DEVICE

WAIT = 10.0


class Relay:
    """Counts how often the relay was energised."""

    def __init__(self, door: Rig) -> None:
        self.pulses = 0
        door.board.pins["relay"].level.listen(self._changed)

    def _changed(self, level: Any) -> None:
        self.pulses += level.value


async def barrier(door: Rig) -> None:
    """A good command, answered: what was sent before it has been looked at."""
    await door.site.down("command", door.site.command())
    assert (await door.site.result())["ok"]


async def test_a_command_is_executed_and_its_result_sealed(door: Rig) -> None:
    await door.site.down("command", door.site.command())
    result = await door.site.result()
    assert (result["ok"], result["status"], result["dev"], result["seq"]) == (True, "granted", DEVICE, 1)
    record = await door.site.record(journal.EVENT_ACCESS_GRANTED)
    assert (record.seq, record.method) == (result["jseq"], journal.METHOD_REMOTE)
    await door.door.strike.wait(1, WAIT)


async def test_a_repeated_command_is_executed_once_and_audited(door: Rig) -> None:
    relay = Relay(door)
    command = door.site.command()
    for _ in range(3):
        await door.site.down("command", command)
    await door.door.strike.wait(1, WAIT)
    await door.site.record(journal.EVENT_COMMAND_REFUSED)
    await door.door.strike.wait(0, WAIT)
    counters = await door.site.counters()
    assert counters["down_command_replayed"] == 2
    assert relay.pulses == 1
    granted = [r for r in door.site.verify() if r.type == journal.EVENT_ACCESS_GRANTED]
    assert len(granted) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": -5}, "expired"),
        ({"exp": 600}, "expiry_too_far"),
        ({"boot": 7}, "other_boot"),
        ({"dev": "dev_" + "e0" * 8}, "wrong_device"),
        ({"seq": 0}, "replayed"),
        ({"seq": True}, "command_seq"),
        ({"op": "release_for_ever"}, "command_op"),
        ({"id": "act_x"}, "bad_id"),
        ({"args": None}, "command_op"),
    ],
)
async def test_a_sealed_command_that_must_not_pass_moves_nothing_and_is_audited(
    door: Rig, changes: dict[str, Any], reason: str
) -> None:
    relay = Relay(door)
    if "exp" in changes:
        changes = {"exp": int(time.time()) + changes["exp"]}
    await door.site.down("command", door.site.command(**changes))
    await door.site.record(journal.EVENT_COMMAND_REFUSED)
    assert relay.pulses == 0
    assert (await door.site.counters())[f"down_command_{reason}"] == 1
    assert door.site.queue("result").empty()


@pytest.mark.parametrize("attack", ["another key", "time key", "result label", "config label", "flipped"])
async def test_a_command_whose_seal_does_not_fit_moves_nothing(door: Rig, attack: str) -> None:
    relay, site = Relay(door), door.site
    command = {
        "another key": lambda: site.command(key=bytes(32)),
        "time key": lambda: site.command(key=keys.time_key(site.k_dev)),
        "result label": lambda: site.command(label=LABEL_RESULT),
        "config label": lambda: site.command(label=LABEL_CONFIG, key=keys.config_key(site.k_dev)),
        "flipped": lambda: site.command().replace("unlock", "unlocK"),
    }[attack]()
    await site.down("command", command)
    assert (await site.counters())["down_command_bad_mac"] == 1
    await site.record(journal.EVENT_COMMAND_REFUSED)
    assert relay.pulses == 0
    await barrier(door)
    await site.record(journal.EVENT_ACCESS_GRANTED)
    granted = [r for r in site.verify() if r.type == journal.EVENT_ACCESS_GRANTED]
    assert len(granted) == 1  # the barrier's own


async def test_a_device_that_does_not_know_the_time_refuses_commands(blank: Rig) -> None:
    site = blank.site
    site.answers_time = False
    async with site.serving():
        await blank.provision()
        site.boot = (await site.next("state"))["boot"]
        await site.down("command", site.command())
        await site.record(journal.EVENT_COMMAND_REFUSED)
        assert not blank.board.pins.level("relay")
        assert (await site.counters())["down_command_clock_unknown"] == 1


async def test_a_command_of_the_boot_before_is_refused(door: Rig) -> None:
    command = door.site.command()
    await door.reset()
    await door.site.synchronised()
    newest = door.site.newest
    relay = Relay(door)
    await door.site.down("command", command)
    await door.site.record(journal.EVENT_COMMAND_REFUSED, after=newest)
    assert relay.pulses == 0


async def test_no_late_unlock_fires_after_an_outage(door: Rig) -> None:
    """A command that is sent while the device is away waits in no queue for it."""
    relay, site = Relay(door), door.site
    await site.admission.kick(DEVICE)
    await site.down("command", site.command())
    await site.synchronised()
    await site.down("command", site.command())
    assert (await site.result())["seq"] == 2
    assert relay.pulses == 1


async def test_every_executed_command_is_answered_though_sessions_are_cut_under_it(door: Rig) -> None:
    site = door.site
    for _ in range(4):
        await site.down("command", site.command())
        await site.admission.kick(DEVICE)
        await site.synchronised()
    await site.down("command", site.command())
    answered = set()
    while not answered or answered != {
        r.seq for r in site.verify() if r.type == journal.EVENT_ACCESS_GRANTED
    }:
        answered.add((await site.result())["jseq"])


async def test_a_flood_of_forgeries_is_audited_and_leaves_the_ring_its_other_records(door: Rig) -> None:
    site, newest = door.site, door.site.newest
    for n in range(60):
        await site.down(("command", "config")[n % 2], site.command(key=bytes(32)))
    await barrier(door)
    counters = await site.counters()
    assert counters["down_command_bad_mac"] == counters["down_config_bad_mac"] == 30
    kinds = [journal.decode_record(site.records[seq]).type for seq in range(newest + 1, site.newest + 1)]
    assert 1 <= kinds.count(journal.EVENT_COMMAND_REFUSED) <= 3  # one every ten seconds
    assert 1 <= kinds.count(journal.EVENT_CONFIG_REFUSED) <= 3
