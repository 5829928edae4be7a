"""Schedules, holidays and daylight rules at a real door: what is configured is what opens, and nothing else."""

import time
import zoneinfo
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from protocol import journal
from protocol.access import STATUS_GRANTED, STATUS_SCHEDULE
from protocol.host.calendar_rows import holiday_row, window_row
from tests.device.rig import Rig
from tests.device.site import DEVICE

DAY = timedelta(days=1)
ALL_WEEK, ALL_DAY = 127, (0, 1440)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


async def configured(door: Rig, version: int, **calendar: str) -> None:
    newest = door.site.newest
    await door.site.down("config", door.site.config(version, **calendar))
    record = await door.site.record(journal.EVENT_CONFIG_APPLIED, after=newest)
    assert record.value == version


async def unlock(door: Rig, schedule: int) -> str:
    """The answer to a key of that schedule; the relay and the record say the same."""
    pulses = door.site.newest
    key = door.site.key_for_phone(schedule_id=schedule, credential_id=schedule.to_bytes(8, "big"))
    result = await door.phone().unlock(key)
    granted = result.status == "granted"
    kind = journal.EVENT_ACCESS_GRANTED if granted else journal.EVENT_ACCESS_DENIED
    record = await door.site.record(kind, after=pulses)
    assert record.status == (STATUS_GRANTED if granted else STATUS_SCHEDULE)
    if granted:
        await door.door.strike.wait(1, 10)
        await door.door.strike.wait(0, 10)
    assert not door.board.pins.level("relay")
    return str(result.status)


async def at(door: Rig, moment: datetime) -> None:
    """Let the cloud say that it is `moment`, and wait until the door believes it."""
    site = door.site
    site.time_offset_ms = int((moment.timestamp() - time.time()) * 1000)
    site.messages.pop("time", None)
    await site.admission.kick(DEVICE)
    await site.next("time")
    assert abs((await site.heard())["clk"][0] - moment.timestamp()) < 120


def schedules(now: datetime) -> dict[str, str]:
    """1: always, but on holidays; 2: always, also on holidays of kind 1; 3: from two hours on, for an hour."""
    minute = now.hour * 60 + now.minute
    return {
        "schedules": window_row(1, ALL_WEEK, 0, *ALL_DAY)
        + window_row(2, ALL_WEEK, 1, *ALL_DAY)
        + window_row(3, ALL_WEEK, 255, (minute + 120) % 1440, (minute + 180) % 1440)
    }


async def test_a_schedule_and_a_holiday_refuse_and_what_they_leave_is_granted(door: Rig) -> None:
    now = datetime.now(UTC)
    weekly = schedules(now)
    await configured(door, 2, **weekly)
    assert [await unlock(door, n) for n in (1, 2, 3, 4)] == ["granted", "granted", *["outside_schedule"] * 2]
    days = (now - DAY).date(), (now + DAY).date()
    first = holiday_row(*days, 1, every_year=False)
    await configured(door, 3, holidays=first, **weekly)
    assert [await unlock(door, n) for n in (1, 2, 3)] == ["outside_schedule", "granted", "outside_schedule"]
    second = first + holiday_row(*days, 2, every_year=True)
    await configured(door, 4, holidays=second, **weekly)
    assert [await unlock(door, n) for n in (1, 2)] == ["outside_schedule"] * 2
    await door.reset()
    await door.site.synchronised()
    assert await unlock(door, 2) == "outside_schedule"


async def test_a_window_is_in_the_time_of_the_zone(door: Rig) -> None:
    now = datetime.now(UTC)
    here = {
        "schedules": window_row(
            1, ALL_WEEK, 0, (now.hour * 60 + now.minute - 30) % 1440, (now.hour * 60 + 90) % 1440
        )
    }
    for version, tz, status in (
        (2, "UTC0", "granted"),
        (3, "<+12>-12", "outside_schedule"),
        (4, "<-24>24", "granted"),
    ):
        await configured(door, version, tz=tz, **here)
        assert await unlock(door, 1) == status


def next_change(after: datetime) -> datetime:
    """The first midnight in Berlin of a day on which its clocks change."""
    day = after.astimezone(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0)
    while (day + DAY).utcoffset() == day.utcoffset():
        day += DAY
    return day


async def test_a_daylight_change_moves_the_bound_of_a_window(door: Rig) -> None:
    """With no word from the cloud but the time: the rules are in the configuration."""
    footer = (resources.files("tzdata") / "zoneinfo" / "Europe" / "Berlin").read_bytes().rsplit(b"\n", 2)[1]
    eight_to_nine = window_row(1, ALL_WEEK, 0, 480, 540)
    await configured(door, 2, tz=footer.decode(), schedules=eight_to_nine)
    change = next_change(datetime.now(UTC) + 2 * DAY)
    before, after = (day.replace(hour=8, minute=30).astimezone(UTC) for day in (change - DAY, change + DAY))
    same = before + 2 * DAY
    assert abs(same - after) == timedelta(hours=1)
    expected = {before: "granted", same: "outside_schedule", after: "granted"}
    for moment in sorted(expected):
        await at(door, moment)
        assert await unlock(door, 1) == expected[moment], moment


async def test_a_calendar_that_is_wrong_or_too_large_leaves_the_last_good_one(door: Rig) -> None:
    site = door.site
    now = datetime.now(UTC)
    today = holiday_row((now - DAY).date(), (now + DAY).date(), 1, every_year=False)
    await configured(door, 2, holidays=today, **schedules(now))
    open_to_all = window_row(1, ALL_WEEK, 255, *ALL_DAY)
    bad: list[tuple[str, dict[str, Any]]] = [
        ("timezone", {"tz": "Europe/Berlin"}),
        ("config_rows", {"schedules": open_to_all * 65}),
        ("timezone", {"tz": "CET-1CEST", "schedules": open_to_all}),
        ("schedule_window", {"schedules": open_to_all + window_row(1, ALL_WEEK, 255, 1440, 1440)}),
        ("config_rows", {"holidays": today * 33}),
        ("timezone", {"schedules": open_to_all, "tz": 60}),
        ("schedule_holiday", {"schedules": open_to_all, "holidays": today[:-2] + "00"}),
        ("config_hex", {"schedules": open_to_all, "holidays": today[:-1]}),
    ]
    for reason, change in bad:
        await site.down("config", site.config(3, **change))
        while (state := await site.next("state")).get("cfg_refused") != reason:
            pass
        assert state["cfg"] == 2
    assert [await unlock(door, n) for n in (1, 2)] == ["outside_schedule", "granted"]


async def test_a_door_that_does_not_know_the_time_follows_no_schedule(lonely: Rig) -> None:
    config = lonely.site.config(2, schedules=window_row(1, ALL_WEEK, 255, *ALL_DAY))
    await lonely.provision(config=config)
    await lonely.running()
    phone = lonely.phone()
    assert (await phone.unlock(lonely.site.key_for_phone(schedule_id=1))).status == "clock_uncertain"
    assert not lonely.board.pins.level("relay")
    assert (await phone.unlock(lonely.site.key_for_phone())).granted
