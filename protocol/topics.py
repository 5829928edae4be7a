"""Topics of the site broker (`d/<device>/…`) and of the cloud broker (`s/<shard>/<site>/…`)."""

import binascii

from protocol.errors import LocalError, Malformed
from protocol.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

UP_LEAVES = ("events", "result", "state", "time", "log", "fetch")
DOWN_LEAVES = ("command", "ack", "config", "time", "update", "chunk")
SITE_UP_LEAVES = ("events", "result", "state", "time", "log", "fetch", "audit", "hello", "presence")
SITE_DOWN_LEAVES = ("command", "ack", "config", "time", "update", "chunk", "registry")
SHARDS = 16
MAX_SHARD = 999
MAX_TOPIC = 128


def up(dev: str, leaf: str) -> str:
    """Where a device publishes."""
    return _join("d/" + check_id("dev", dev) + "/up/", leaf, UP_LEAVES)


def down(dev: str, leaf: str) -> str:
    """Where a device listens."""
    return _join("d/" + check_id("dev", dev) + "/down/", leaf, DOWN_LEAVES)


def site_up(shard: int, site: str, leaf: str) -> str:
    """Where a gateway publishes to the cloud."""
    return _join(_site(shard, site) + "/up/", leaf, SITE_UP_LEAVES)


def site_down(shard: int, site: str, leaf: str) -> str:
    """Where the cloud publishes to a gateway."""
    return _join(_site(shard, site) + "/down/", leaf, SITE_DOWN_LEAVES)


def _site(shard: int, site: str) -> str:
    if not 0 <= shard <= MAX_SHARD:
        raise LocalError("shard")
    return "s/" + str(shard) + "/" + check_id("site", site)


def _join(prefix: str, leaf: str, leaves: "Tuple[str, ...]") -> str:
    if leaf not in leaves:
        raise LocalError("leaf " + leaf)
    return prefix + leaf


def parse_site_topic(topic: str) -> "Tuple[str, str, str]":
    """(device, "up" or "down", leaf); raise Malformed."""
    parts = topic.split("/") if len(topic) <= MAX_TOPIC else []
    if len(parts) != 4 or parts[0] != "d":
        raise Malformed("topic")
    check_id("dev", parts[1])
    return (parts[1],) + _direction(parts[2], parts[3], UP_LEAVES, DOWN_LEAVES)  # noqa: RUF005  (MicroPython)


def parse_cloud_topic(topic: str) -> "Tuple[int, str, str, str]":
    """(shard, site, "up" or "down", leaf); raise Malformed."""
    parts = topic.split("/") if len(topic) <= MAX_TOPIC else []
    if len(parts) != 5 or parts[0] != "s":
        raise Malformed("topic")
    shard = _shard(parts[1])
    check_id("site", parts[2])
    direction = _direction(parts[3], parts[4], SITE_UP_LEAVES, SITE_DOWN_LEAVES)
    return (shard, parts[2]) + direction  # noqa: RUF005  (MicroPython)


def _shard(text: str) -> int:
    """One number has one spelling: a broker's permissions compare text."""
    if not 0 < len(text) <= 3 or (text[0] == "0" and text != "0"):
        raise Malformed("topic")
    for c in text:
        if c not in "0123456789":
            raise Malformed("topic")
    return int(text)


def _direction(
    direction: str, leaf: str, up_leaves: "Tuple[str, ...]", down_leaves: "Tuple[str, ...]"
) -> "Tuple[str, str]":
    leaves = up_leaves if direction == "up" else down_leaves if direction == "down" else ()
    if leaf not in leaves:
        raise Malformed("topic_leaf")
    return direction, leaf


def shard_of(site_id: str, shards: int = SHARDS) -> int:
    """The shard that a site's messages travel in, which keeps them in order."""
    return binascii.crc32(site_id.encode()) % shards
