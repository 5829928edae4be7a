"""Vectors of ids and topics."""

from protocol import topics as t
from protocol.host.vectors.case import DEVICE_ID, DOOR, DOOR_ID, SITE_ID, Vector, bad, good
from protocol.ids import KINDS, id_from_bytes


def ids() -> list[Vector]:
    out = [
        good(
            f"id_of_{kind}",
            "check_id",
            {"kind": kind, "text": id_from_bytes(kind, DOOR)},
            id_from_bytes(kind, DOOR),
        )
        for kind in KINDS
    ]
    wrong = {
        "another_kind": DEVICE_ID,
        "capitals": "door_D0D1D2D3D4D5D6D7",
        "short": DOOR_ID[:-1],
        "long": DOOR_ID + "0",
        "line_break": DOOR_ID[:-1] + "\n",
        "no_hex": "door_g0d1d2d3d4d5d6d7",
        "no_kind": "_d0d1d2d3d4d5d6d7",
        "empty": "",
    }
    return [
        *out,
        good("bytes_of_an_id", "id_bytes", {"text": DOOR_ID}, DOOR, (("door_", "kind"), (DOOR, "8 bytes"))),
        good("id_of_bytes", "id_from_bytes", {"kind": "door", "wire": DOOR}, DOOR_ID),
        *(bad(name, "check_id", {"kind": "door", "text": text}, "bad_id") for name, text in wrong.items()),
        bad("bytes_of_an_unknown_kind", "id_bytes", {"text": "cat_d0d1d2d3d4d5d6d7"}, "bad_id"),
        bad("seven_bytes", "id_from_bytes", {"kind": "door", "wire": bytes(7)}, "bad_id"),
    ]


def _leaves() -> list[Vector]:
    out = []
    for leaf in t.UP_LEAVES:
        out.append(
            good(f"device_up_{leaf}", "site_topic", {"text": t.up(DEVICE_ID, leaf)}, [DEVICE_ID, "up", leaf])
        )
    for leaf in t.DOWN_LEAVES:
        topic = t.down(DEVICE_ID, leaf)
        out.append(good(f"device_down_{leaf}", "site_topic", {"text": topic}, [DEVICE_ID, "down", leaf]))
    for leaf in t.SITE_UP_LEAVES:
        topic = t.site_up(3, SITE_ID, leaf)
        out.append(good(f"site_up_{leaf}", "cloud_topic", {"text": topic}, [3, SITE_ID, "up", leaf]))
    for leaf in t.SITE_DOWN_LEAVES:
        topic = t.site_down(15, SITE_ID, leaf)
        out.append(good(f"site_down_{leaf}", "cloud_topic", {"text": topic}, [15, SITE_ID, "down", leaf]))
    return out


def topics() -> list[Vector]:
    d, s = f"d/{DEVICE_ID}", f"s/3/{SITE_ID}"
    site = {
        "a_device_does_not_command": (f"{d}/up/command", "topic_leaf"),
        "no_direction": (f"{d}/sideways/events", "topic_leaf"),
        "wildcard_device": ("d/+/up/events", "bad_id"),
        "one_level_more": (f"{d}/up/events/x", "topic"),
        "one_level_less": (f"{d}/up", "topic"),
        "another_root": (f"x/{DEVICE_ID}/up/events", "topic"),
        "leading_slash": (f"/{d}/up/events", "topic"),
        "too_long": (f"{d}/up/" + "x" * t.MAX_TOPIC, "topic"),
    }
    cloud = {
        "leading_zero": (f"s/03/{SITE_ID}/up/events", "topic"),
        "no_shard": (f"s//{SITE_ID}/up/events", "topic"),
        "shard_of_four_digits": (f"s/1000/{SITE_ID}/up/events", "topic"),
        "signed_shard": (f"s/-1/{SITE_ID}/up/events", "topic"),
        "a_site_has_no_registry_to_send": (f"{s}/up/registry", "topic_leaf"),
        "device_in_place_of_a_site": (f"s/3/{DEVICE_ID}/up/events", "bad_id"),
        "site_topic_on_the_cloud": (f"{d}/up/events", "topic"),
    }
    return [
        *_leaves(),
        *(bad(name, "site_topic", {"text": text}, error) for name, (text, error) in site.items()),
        *(bad(name, "cloud_topic", {"text": text}, error) for name, (text, error) in cloud.items()),
        good("shard", "shard", {"site": SITE_ID, "shards": t.SHARDS}, t.shard_of(SITE_ID)),
        good("shard_of_one", "shard", {"site": SITE_ID, "shards": 1}, 0),
    ]
