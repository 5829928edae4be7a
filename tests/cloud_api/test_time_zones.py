"""Zones and holidays of a site: named as people name them, told to the devices as rules, and kept true over the years."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from cloud_api import time_zones
from cloud_api.db.migrate import engine_for, migrate
from cloud_api.db.models import Organisation
from cloud_api.db.models import Site as SiteRow
from cloud_api.device_config import MAX_HOLIDAYS, MAX_SCHEDULES, MAX_WINDOWS
from cloud_api.time_zones import holds, newer_rules, posix_rule, usable_zone
from device.policy import parse_config
from protocol.timezone import MAX_TZ, TimeZone
from tests.cloud_api.conftest import Site
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import made

YEAR_S = 366 * 86_400
WINDOW = {"days": [1], "start_minute": 0, "end_minute": 60}
CHRISTMAS = {
    "name": "Christmas",
    "first": "2027-12-24",
    "last": "2028-01-02",
    "every_year": True,
    "kinds": [1, 3],
}


def second(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


def test_a_board_can_read_the_rule_of_every_zone() -> None:
    names = sorted(time_zones._names())
    assert len(names) > 500
    for name in names:
        assert len(posix_rule(name)) <= MAX_TZ
        TimeZone(posix_rule(name))


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Kolkata", "UTC"]
)
def test_a_zone_that_follows_its_rule_can_be_used(name: str) -> None:
    assert usable_zone(name) == name


@pytest.mark.parametrize(
    "name", ["", "Europe/Atlantis", "europe/berlin", "../../etc/passwd", "Europe", "UTC0", "a\0"]
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        usable_zone(name)


def test_a_zone_that_changes_by_no_rule_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Morocco in 2025, by Ramadan: the end of its file says nothing of it."""
    march = second(2025, 3, 1)
    assert not holds(posix_rule("Africa/Casablanca"), "Africa/Casablanca", march, YEAR_S)
    monkeypatch.setattr(time_zones.time, "time", lambda: march)
    with pytest.raises(ValueError, match="by no rule"):
        usable_zone("Africa/Casablanca")


def test_a_rule_that_misses_one_hour_of_the_year_does_not_hold() -> None:
    good, late = "CET-1CEST,M3.5.0,M10.5.0/3", "CET-1CEST,M3.5.0,M10.5.0/4"
    begin = second(2027, 1, 1)
    assert holds(good, "Europe/Berlin", begin, YEAR_S)
    assert not holds(late, "Europe/Berlin", begin, YEAR_S)
    assert holds(late, "Europe/Berlin", begin, 200 * 86_400)


def test_a_newer_rule_reaches_the_sites_once_it_is_true(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    engine = engine_for(url)
    with Session(engine) as session:
        session.add(Organisation(id="org_1", name="x", created_at=0))
        session.flush()
        owned = {
            "organisation_id": "org_1",
            "created_at": 0,
            "name": "x",
            "holidays": [],
            "registry_version": 0,
        }
        for number, (zone, tz) in enumerate(
            (("Europe/Berlin", "CET-1"), ("Atlantis", "AAA1"), ("UTC", "UTC0"))
        ):
            session.add(SiteRow(**owned, id=f"site_{number}", time_zone=zone, tz=tz))
            session.flush()
        summer = second(2027, 7, 1)
        assert newer_rules(session, summer) == []
        held = [site.tz for site in session.query(SiteRow).order_by(SiteRow.ord)]
        assert held == ["CET-1CEST,M3.5.0,M10.5.0/3", "AAA1", "UTC0"]
    engine.dispose()


def test_a_rule_of_next_year_is_not_told_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package has it as soon as it is law; until it is in force the old one stays."""
    monkeypatch.setattr(
        time_zones, "posix_rule", lambda name: "CET-1"
    )  # daylight time is given up in October
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    engine = engine_for(url)
    with Session(engine) as session:
        session.add(Organisation(id="org_1", name="x", created_at=0))
        session.flush()
        old = "CET-1CEST,M3.5.0,M10.5.0/3"
        site = SiteRow(
            id="site_1", organisation_id="org_1", created_at=0, name="x", holidays=[], registry_version=0,
            time_zone="Europe/Berlin", tz=old,
        )  # fmt: skip
        session.add(site)
        session.flush()
        newer_rules(session, second(2027, 10, 29))
        assert site.tz == old
        newer_rules(session, second(2027, 11, 1))
        assert site.tz == "CET-1"
    engine.dispose()


async def test_holidays_of_a_site_reach_its_devices_as_rows(site: Site) -> None:
    path = f"/v1/sites/{site.device.gateway.site_id}"
    once = {
        **CHRISTMAS,
        "name": "Strike",
        "first": "2027-03-01",
        "last": "2027-03-01",
        "every_year": False,
        "kinds": [8],
    }
    changed = await made(await site.api.patch(path, json={"holidays": [CHRISTMAS, once]}), 200)
    assert changed["holidays"] == [CHRISTMAS, once]
    config = await site.device.next_config()
    assert config["holidays"] == "0198002205" + "3661366180"
    changed = await made(await site.api.patch(path, json={"holidays": []}), 200)
    assert changed["holidays"] == []
    assert (await site.device.next_config())["holidays"] == ""


async def test_a_change_that_changes_nothing_troubles_no_device(site: Site) -> None:
    path = f"/v1/sites/{site.device.gateway.site_id}"
    before = await made(await site.api.get(path), 200)
    assert await made(await site.api.patch(path, json={"time_zone": "UTC", "holidays": []}), 200) == before
    assert site.device.gateway.received("config") == 0


async def test_holidays_that_make_no_sense_are_refused(site: Site) -> None:
    path = f"/v1/sites/{site.device.gateway.site_id}"
    for change in (
        {"last": "2027-12-23"},
        {"last": "2028-12-23"},
        {"first": "2027-02-29"},
        {"first": "1999-12-24"},
        {"last": "2128-01-01"},
        {"first": 20271224},
        {"kinds": []},
        {"kinds": [0]},
        {"kinds": [9]},
        {"name": ""},
        {"every_year": 1},
    ):
        answer = await site.api.patch(path, json={"holidays": [{**CHRISTMAS, **change}]})
        problem(answer, 422, "invalid_request")
    answer = await site.api.patch(path, json={"holidays": [CHRISTMAS] * (MAX_HOLIDAYS + 1)})
    problem(answer, 422, "invalid_request")
    assert (await made(await site.api.get(path), 200))["holidays"] == []


async def test_schedules_have_bounds_together_and_the_device_takes_what_fits(site: Site) -> None:
    each = MAX_WINDOWS // MAX_SCHEDULES
    for number in range(MAX_SCHEDULES - 1):
        body = {"name": f"s{number}", "windows": [WINDOW] * each}
        await made(await site.api.post("/v1/schedules", json=body))
    too_many = {"name": "x", "windows": [WINDOW] * (each + 1)}
    problem(await site.api.post("/v1/schedules", json=too_many), 409, "too_many_windows")
    await made(await site.api.post("/v1/schedules", json={"name": "x", "windows": [WINDOW] * each}))
    problem(
        await site.api.post("/v1/schedules", json={"name": "x", "windows": [WINDOW]}),
        409,
        "too_many_schedules",
    )
    while len((config := await site.device.next_config())["schedules"]) < 16 * MAX_WINDOWS:
        pass
    taken = parse_config(json.dumps(config), config["dev"])
    assert len(taken.windows) == 8 * MAX_WINDOWS
    assert taken.zone.offset_at(int(time.time())) == 0
