"""Time on a board: only the cloud's answer to the question that is open sets it, and it counts on for weeks."""

import time
from pathlib import Path

import pytest

from protocol import keys
from protocol.envelope import LABEL_CONFIG, LABEL_TIME, seal
from tests.device.on_vm import run_on_vm
from tests.device.rig import Rig
from tests.device.site import DEVICE

HOUR_MS = 3_600_000
YEAR_S = 31_557_600
# Eleven seconds pass at once when pin 5 rises.
LATE = """
import time
import device.clock
import device.main
from machine import Pin

pin = Pin(5, Pin.IN)

class Time:
    ticks_diff = staticmethod(time.ticks_diff)
    gmtime = staticmethod(time.gmtime)

    @staticmethod
    def ticks_ms():
        return time.ticks_ms() + 11_000 * pin.value()

device.clock.time = Time
device.main.main()
"""


async def asked(blank: Rig) -> str:
    """Connected, and the nonce of its open question."""
    await blank.provision()
    return str((await blank.site.next("time"))["n"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n": "00" * 16}, "time_nonce"),
        ({"n": ""}, "time_nonce"),
        ({"dev": "dev_" + "e0" * 8}, "time_nonce"),
        ({"t": "1"}, "time"),
        ({"t": -1}, "time"),
        ({"t": 1_000_000_000_000}, "below_floor"),
    ],
)
async def test_a_wrong_answer_sets_no_time(blank: Rig, changes: dict[str, object], reason: str) -> None:
    site = blank.site
    site.answers_time = False
    async with site.serving():
        nonce = await asked(blank)
        await site.answer_time(nonce, **changes)
        counters = await site.counters()
        assert counters[f"down_time_{reason}"] == 1
        key = site.key_for_phone(not_after=int(time.time()) + 60)
        assert (await blank.phone().unlock(key)).status == "clock_uncertain"


@pytest.mark.parametrize(
    "t",
    [
        int((time.time() + 21 * YEAR_S) * 1000),
        10_413_792_000_000,  # 2300
        int(time.time() * 1_000_000),  # microseconds
        (1 << 63) - 1,
        1 << 200,
    ],
    ids=["21 years on", "2300", "microseconds", "63 bits", "201 bits"],
)
async def test_an_absurd_time_of_the_cloud_locks_nobody_out(blank: Rig, t: int) -> None:
    """It would be the floor, and every true time below it, over all resets."""
    site = blank.site
    site.answers_time = False
    async with site.serving():
        await site.answer_time(await asked(blank), t=t)
        assert (await site.counters())["down_time_beyond_horizon"] == 1
        await blank.reset()
        site.answers_time = True
        await site.admission.kick(DEVICE)
        await site.synchronised()
        key = site.key_for_phone(not_after=int(time.time()) + 60)
        assert (await blank.phone().unlock(key)).granted


@pytest.mark.parametrize("seal_with", ["another key", "config label"])
async def test_a_time_that_the_cloud_did_not_seal_is_refused(blank: Rig, seal_with: str) -> None:
    site = blank.site
    site.answers_time = False
    async with site.serving():
        payload = {"dev": DEVICE, "n": await asked(blank), "t": int(time.time() * 1000)}
        key, label = keys.time_key(site.k_dev), LABEL_TIME
        if seal_with == "another key":
            key = bytes(32)
        else:
            label = LABEL_CONFIG
        await site.down("time", seal(key, label, payload))
        assert (await site.counters())["down_time_bad_mac"] == 1


async def test_an_answer_works_once(door: Rig) -> None:
    site = door.site
    await site.down("time", site.times[-1])
    assert (await site.counters())["down_time_time_nonce"] == 1


async def test_an_answer_to_the_session_before_is_refused(blank: Rig) -> None:
    """A gateway that holds an answer back and cuts the session cannot make the door believe an old time."""
    site = blank.site
    site.answers_time = False
    async with site.serving():
        nonce = await asked(blank)
        await site.admission.kick(DEVICE)
        await site.next("time")
        await site.answer_time(nonce)
        assert (await site.counters())["down_time_time_nonce"] == 1


async def test_a_slow_answer_is_refused_and_asked_again(blank: Rig) -> None:
    site = blank.site
    site.answers_time = False
    async with site.serving():
        await blank.provision(main=LATE)
        first = (await site.next("time"))["n"]
        blank.board.pins.set_input(5, 1)
        await site.answer_time(first)
        assert (await site.next("time"))["n"] != first
        assert (await site.next("state"))["clk"] is None
        counters = await site.counters()
        assert counters.get("down_time_round_trip", 0) + counters.get("down_time_time_nonce", 0) == 1


async def test_time_comes_back_after_an_outage_and_serves_time_limited_keys(door: Rig) -> None:
    site = door.site
    key = site.key_for_phone(not_after=int(time.time()) + 600)
    assert (await door.phone().unlock(key)).granted
    await door.reset()
    await site.synchronised()
    assert (await door.phone().unlock(key)).granted


async def test_a_time_of_the_future_ends_the_keys_of_today(door: Rig) -> None:
    """The floor moves with it, over a boot: no later answer may turn the clock back."""
    site = door.site
    site.time_offset_ms = 48 * HOUR_MS
    await site.admission.kick(DEVICE)
    while (await site.next("state"))["clk"][0] < time.time() + 24 * 3600:
        await site.admission.kick(DEVICE)
    key = site.key_for_phone(not_after=int(time.time()) + 3600)
    assert (await door.phone().unlock(key)).status == "outside_window"
    site.time_offset_ms = 0
    await door.reset()
    await site.next("time")
    assert (await site.counters())["down_time_below_floor"] >= 1


def test_a_board_that_has_learnt_its_crystal_is_within_ten_seconds_after_a_reset_and_a_week_alone(
    tmp_path: Path,
) -> None:
    assert "learnt" in run_on_vm("clock_learns.py", cwd=tmp_path, heap="1M")


async def test_a_state_tells_what_is_known_of_the_crystal(door: Rig) -> None:
    """Of a minute nothing can be: it is what it says of every board of its kind."""
    await door.site.admission.kick(DEVICE)
    assert (await door.site.next("state"))["drift_ppm"] == [0, 100]


def test_the_uptime_outlives_the_wrap_of_the_ticks(tmp_path: Path) -> None:
    """Forty days without a soul: the clock task alone keeps the uptime, and the token bucket fills."""
    assert "forty days" in run_on_vm("clock_wraps.py", cwd=tmp_path, heap="1M")
