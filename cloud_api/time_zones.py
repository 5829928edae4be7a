"""What a board is told of a site's time zone: the POSIX TZ string at the end of the zone's file in the tzdata package.

A site keeps the string that its devices have. `follow` exchanges it when the package has a newer one and that is true by
now: a change of the rules that is announced for next year must not move this year's clocks.
"""

import asyncio
import functools
import io
import time
import zoneinfo
from datetime import datetime
from importlib import resources

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.db.models import Site
from cloud_api.device_config import configuration_changed, push_configurations
from cloud_api.services import Cloud
from protocol.timezone import TimeZone

log = structlog.get_logger(__name__)

FOLLOW_EVERY_S = 6 * 3600
_HOUR_S = 3600
_DAY_S = 86_400
# A new site's string must hold for longer than any rule takes to show.
_WHOLE_S = 400 * _DAY_S
_SOON_S = 2 * _DAY_S


@functools.cache
def _names() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text("ascii").split())


def _file(name: str) -> bytes:
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def posix_rule(name: str) -> str:
    """The POSIX TZ string of an IANA zone. Raises ValueError for a name that there is not."""
    if name not in _names():
        raise ValueError("is no time zone of the IANA database, such as Europe/Berlin")
    return _file(name).rsplit(b"\n", 2)[1].decode("ascii")


def holds(rule: str, name: str, from_s: int, length_s: int) -> bool:
    """Whether the string tells the zone's time in each of the hours to come."""
    said, zone = TimeZone(rule), zoneinfo.ZoneInfo.from_file(io.BytesIO(_file(name)), name)
    for t in range(from_s - from_s % _HOUR_S, from_s + length_s, _HOUR_S):
        offset = datetime.fromtimestamp(t, zone).utcoffset()
        if offset is None or offset.total_seconds() != said.offset_at(t):
            return False
    return True


def usable_zone(name: str) -> str:
    """The name, if a board can be told its time; else ValueError."""
    if not holds(posix_rule(name), name, int(time.time()), _WHOLE_S):
        raise ValueError(
            "changes its clocks by no rule that a door can follow; choose a zone of fixed offset"
        )
    return name


def newer_rules(session: Session, now_s: int) -> list[str]:
    """Give the sites the strings that hold by now; returns the devices that must hear of it."""
    devices: list[str] = []
    for site in session.scalars(select(Site)):
        try:
            rule = posix_rule(site.time_zone)
        except ValueError:
            continue  # a name that the package has given up; the devices keep what they have
        if rule != site.tz and holds(rule, site.time_zone, now_s, _SOON_S):
            log.info(
                "time_zone_changed", site_id=site.id, time_zone=site.time_zone, before=site.tz, after=rule
            )
            site.tz = rule
            devices += configuration_changed(session, site_ids=[site.id])
    return devices


async def follow(cloud: Cloud) -> None:
    """Worker: bring newer rules to the devices."""
    while True:
        devices = await cloud.db.write(lambda session: newer_rules(session, int(time.time())))
        await push_configurations(cloud, devices)
        await asyncio.sleep(FOLLOW_EVERY_S)
