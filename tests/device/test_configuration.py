"""Configurations: sealed, never older, whole or not at all, and still there after a power cut."""

import json
from datetime import date
from typing import Any
from zlib import crc32

import pytest

from cloud_api.device_config import MAX_HOLIDAYS, MAX_WINDOWS
from cloud_api.revocations import MAX_GENERATIONS, MAX_REVOKED
from device.json_members import members, value
from device.policy import Rows, parse_config
from hil.board.flash import Cut, Where
from protocol import journal, keys
from protocol.envelope import LABEL_COMMAND, LABEL_CONFIG, seal
from protocol.errors import Malformed
from protocol.host.calendar_rows import holiday_row, window_row
from protocol.host.refusals import refusal_name
from protocol.timezone import MAX_TZ
from tests.device.rig import DEADLINE, Rig
from tests.device.site import DEVICE
from tests.largest import LARGEST_FORMATS, LARGEST_POLICY

WINDOW = window_row(65535, 127, 255, 0, 1440)
HOLIDAY = holiday_row(date(2127, 12, 31), date(2127, 12, 31), 128, every_year=False)
LONGEST_ZONE = "<-123456>+24:59:59<+123456>-24:59:59,M10.5.0/-167,M3.5.0/167"
REVOKED = {"seq": 5, "creds": [b"anna0001".hex()], "gens": {}}


async def applied(door: Rig, version: int, **changes: Any) -> None:
    newest = door.site.newest
    await door.site.down("config", door.site.config(version, **changes))
    record = await door.site.record(journal.EVENT_CONFIG_APPLIED, after=newest)
    assert record.value == version


async def test_a_configuration_survives_the_boot_and_its_seal_is_checked_again(door: Rig) -> None:
    await applied(door, 4, rev=REVOKED)
    await door.reset()
    state = await door.site.synchronised()
    assert (state["cfg"], state["rev"]) == (4, 5)
    assert (await door.phone().unlock(door.site.key_for_phone())).status == "revoked"


@pytest.mark.parametrize(
    "older",
    [{"version": 3, "rev": {"seq": 9}}, {"version": 5, "rev": {"seq": 4}}, {"version": 0, "rev": {"seq": 0}}],
)
async def test_an_older_configuration_or_revocation_list_is_refused_and_audited(
    door: Rig, older: dict[str, Any]
) -> None:
    """Whoever replays a configuration gives nobody a revoked key back."""
    await applied(door, 4, rev=REVOKED)
    await door.site.down("config", door.site.config(**older))
    await door.site.record(journal.EVENT_CONFIG_REFUSED)
    assert (await door.site.counters())["down_config_config_older"] == 1
    assert (await door.phone().unlock(door.site.key_for_phone())).status == "revoked"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dev": "dev_" + "e0" * 8}, "config_device"),
        ({"ver": -1}, "config_integer"),
        ({"ver": None}, "config_integer"),
        ({"rev": None}, "json_shape"),
        ({"rev": {}}, "config_rev"),
        ({"rev": {"seq": 2, "creds": ["zz"], "gens": {}}}, "config_hex"),
        ({"rev": {"seq": 2, "creds": ["00" * 8] * 129}}, "config_rev"),
        ({"rev": {"seq": 2, "gens": {"00112233": "1"}}}, "config_integer"),
        ({"rev": {"seq": 2, "gens": {"0011": 1}}}, "config_hex"),
        ({"schedules": {"1": []}}, "config_rows"),
        ({"schedules": [1]}, "config_rows"),
        ({"schedules": WINDOW[:-1]}, "config_hex"),
        ({"schedules": WINDOW[:-2]}, "schedule_window"),
        ({"schedules": WINDOW.upper()}, "config_hex"),
        ({"schedules": WINDOW * (MAX_WINDOWS + 1)}, "config_rows"),
        ({"schedules": WINDOW * (MAX_WINDOWS - 1) + window_row(1, 1, 0, 1440, 1)}, "schedule_window"),
        ({"holidays": None}, "config_rows"),
        ({"holidays": HOLIDAY + "00"}, "schedule_holiday"),
        ({"holidays": HOLIDAY * (MAX_HOLIDAYS + 1)}, "config_rows"),
        ({"holidays": HOLIDAY[:-2] + "00"}, "schedule_holiday"),
        ({"tz": 60}, "timezone"),
        ({"tz": None}, "timezone"),
        ({"tz": "Europe/Berlin"}, "timezone"),
        ({"tz": "CET-1CEST"}, "timezone"),
        ({"tz": "UTC0" + " " * MAX_TZ}, "timezone"),
        ({"policy": []}, "config_shape"),
        ({"policy": {"open_s": 3600}}, "config_policy"),
        ({"policy": {"open_s": "1"}}, "config_policy"),
        ({"policy": {"held_s": -1}}, "config_integer"),
        ({"pins": None}, "config_pins"),
        ({"pins": ["1" * 64]}, "config_pins"),
        ({"pins": ["1" * 64] * 2}, "config_pins"),
        ({"pins": ["1" * 64, "G" * 64]}, "config_pins"),
        ({"pins": ["1" * 64, 2]}, "config_pins"),
        ({"pins": [f"{n:064x}" for n in range(5)]}, "config_pins"),
    ],
)
def test_a_bad_field_is_refused_by_name(changes: dict[str, Any], reason: str) -> None:
    good = {
        "dev": DEVICE,
        "ver": 2,
        "rev": {"seq": 2, "creds": [], "gens": {}},
        "schedules": WINDOW * MAX_WINDOWS,
        "holidays": HOLIDAY * MAX_HOLIDAYS,
        "tz": LONGEST_ZONE,
        "policy": {},
    }
    parse_config(json.dumps(good), DEVICE)
    with pytest.raises(Exception, match=reason):
        parse_config(json.dumps({**good, **changes}), DEVICE)


async def test_a_bad_configuration_changes_nothing(door: Rig) -> None:
    site = door.site
    await applied(door, 4, rev=REVOKED)
    config_key = keys.config_key(site.k_dev)
    first = site.config(5, rev={"seq": 6, "creds": ["zz"]})
    for bad in (
        first,
        site.config(5, rev={"seq": 6, "creds": []}, dev="dev_" + "e0" * 8),
        seal(bytes(32), LABEL_CONFIG, {"dev": DEVICE}),
        seal(config_key, LABEL_COMMAND, {"dev": DEVICE}),
        seal(config_key, LABEL_CONFIG, {}),
    ):
        await site.down("config", bad)
    counters = await site.counters()
    assert counters["down_config_config_hex"] == 1
    record = await site.record(journal.EVENT_CONFIG_REFUSED)
    assert (refusal_name(record.status), record.value) == ("malformed", crc32(first.encode()))
    assert counters["down_config_config_device"] == 2
    assert counters["down_config_bad_mac"] == 2
    assert (await door.phone().unlock(site.key_for_phone())).status == "revoked"
    await applied(door, 5, rev={"seq": 6, "creds": [], "gens": {}})
    assert (await door.phone().unlock(site.key_for_phone())).granted


@pytest.mark.parametrize("write", range(1, 6))
async def test_a_power_cut_while_it_is_written_leaves_the_old_or_the_new(door: Rig, write: int) -> None:
    """Never neither: without a list, a revoked key would open."""
    site = door.site
    await applied(door, 4, rev=REVOKED)
    door.board.cut_power_at(Cut(write, Where.WITHIN))
    await site.down("config", site.config(5, rev={**REVOKED, "seq": 6}))
    await door.board.wait_off(DEADLINE)
    site.booted()
    await door.board.power_on()
    state = await site.synchronised()
    assert (state["cfg"], state["rev"]) in ((4, 5), (5, 6))
    assert (await door.phone().unlock(site.key_for_phone())).status == "revoked"
    await applied(door, 7, rev={**REVOKED, "seq": 7})


async def test_configurations_as_large_as_the_cloud_makes_them_follow_each_other(door: Rig) -> None:
    """On the heap of the board's description, beside a session over TLS and Bluetooth."""
    calendar = {
        "schedules": WINDOW * MAX_WINDOWS,
        "holidays": HOLIDAY * MAX_HOLIDAYS,
        "tz": LONGEST_ZONE,
        "policy": LARGEST_POLICY,
        "cards": LARGEST_FORMATS,
    }
    for version in range(2, 7):
        creds = [f"{version:02x}{n:014x}" for n in range(MAX_REVOKED)]
        gens = {f"{version:02x}{n:06x}": 2**32 - 1 - n for n in range(MAX_GENERATIONS)}
        rev = {"seq": version, "creds": creds, "gens": gens}
        await door.site.down("config", door.site.config(version, rev=rev, **calendar))
        while (await door.site.next("state"))["cfg"] != version:
            pass
    key = door.site.key_for_phone(credential_id=bytes.fromhex(f"06{MAX_REVOKED - 1:014x}"))
    assert (await door.phone().unlock(key)).status == "revoked"
    key = door.site.key_for_phone(credential_id=bytes.fromhex(f"05{MAX_REVOKED - 1:014x}"))
    assert (await door.phone().unlock(key)).granted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a" 1}',
        "{1:2}",
        '{"a":}',
        '{"a":[}',
        '{"a":"',
        '{"a":1,}',
        "{,}",
    ],
)
def test_an_object_that_is_cut_or_crooked_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        [value(text, at, end) for _, at, end in members(text)]


def test_members_are_told_apart_inside_strings_and_brackets() -> None:
    wanted = {"a": [1, {"b": "]},{"}], 'q"uo\\te': "x,y}", "empty": {}, "last": None}
    for text in (json.dumps(wanted), json.dumps(wanted, indent=2)):
        assert {name: value(text, at, end) for name, at, end in members(text)} == wanted


def test_a_row_is_found_only_where_a_row_begins() -> None:
    rows = Rows(b"aaaaaaaabbbbbbbb12345678")
    assert rows.find(b"abbb") is None
    assert rows.find(b"bbbb") == b"bbbbbbbb"
    assert rows.find(b"12345678") == b"12345678"
    assert Rows().find(b"a") is None
