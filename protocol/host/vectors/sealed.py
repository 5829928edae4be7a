"""Vectors of sealed envelopes and of what travels in them: commands, results, time, configuration."""

import json
from typing import Any

from protocol import clock as clocks
from protocol import command as commands
from protocol import envelope as e
from protocol.clock import Interval
from protocol.host.vectors.case import ATTEMPT_ID, BOOT, DEVICE_ID, K_DEV, NOW, Vector, bad, good
from protocol.keys import command_key, config_key, time_key

_COMMAND_KEY = command_key(K_DEV)
_COMMAND = commands.build_command(ATTEMPT_ID, DEVICE_ID, BOOT, 1, NOW + 10, "unlock", {})
_RESULT = commands.build_result(ATTEMPT_ID, DEVICE_ID, 1, True, "granted", NOW, 42)
_NONCE = bytes(range(0x70, 0x80))


def _label(label: bytes) -> str:
    return label.decode()


def _sealed(payload_text: str, key: bytes = _COMMAND_KEY, label: bytes = e.LABEL_COMMAND) -> str:
    """An envelope around any text, also one that no correct peer seals."""
    whole = json.loads(e.seal(key, label, {}))
    mac = e._mac(key, label, payload_text).hex()
    return json.dumps({**whole, "p": payload_text, "m": mac})


def envelope() -> list[Vector]:
    text = e.seal(_COMMAND_KEY, e.LABEL_COMMAND, _COMMAND)
    given = {"key": _COMMAND_KEY, "label": _label(e.LABEL_COMMAND), "text": text}
    outer = json.loads(text)

    def refused(name: str, text: str, error: str, **changes: object) -> Vector:
        return bad(name, "open", {**given, "text": text, **changes}, error)

    return [
        good("open", "open", given, _COMMAND),
        good("open_with_spaces", "open", {**given, "text": json.dumps(outer, indent=1)}, _COMMAND),
        good("open_with_more_fields", "open", {**given, "text": json.dumps({**outer, "x": 1})}, _COMMAND),
        good("seal", "seal", {"key": _COMMAND_KEY, "label": "cmd", "payload": _COMMAND}, _COMMAND),
        refused("another_key", text, "bad_mac", key=bytes(32)),
        refused("another_label", text, "bad_mac", label=_label(e.LABEL_RESULT)),
        refused("changed_payload", text.replace("unlock", "relock"), "bad_mac"),
        refused("capitals_in_the_mac", json.dumps({**outer, "m": outer["m"].upper()}), "bad_mac"),
        refused("spaces_in_the_mac", json.dumps({**outer, "m": outer["m"][:30] + "  "}), "bad_mac"),
        refused("short_mac", json.dumps({**outer, "m": outer["m"][:30]}), "envelope_shape"),
        refused("mac_of_a_number", json.dumps({**outer, "m": 1}), "envelope_shape"),
        refused("payload_as_an_object", json.dumps({**outer, "p": _COMMAND}), "envelope_shape"),
        refused("no_mac", json.dumps({"p": outer["p"]}), "envelope_shape"),
        refused("no_json", "unlock", "json"),
        refused("cut_short", text[:-1], "json"),
        refused("something_behind", text + "x", "json"),
        refused("a_nul_behind", text + "\0", "json"),
        refused("a_list", "[]", "json_shape"),
        refused("sealed_list", _sealed("[]"), "json_shape"),
        refused("sealed_text", _sealed("unlock"), "json"),
        refused("too_large", json.dumps({**outer, "x": "y" * e.MAX_ENVELOPE}), "envelope_size"),
        bad("not_a_number", "object", {"text": '{"a": NaN}'}, "json"),
        bad("nothing", "object", {"text": ""}, "json"),
        bad("null", "object", {"text": "null"}, "json_shape"),
        good("object", "object", {"text": '{"a": [1, "\\u00e9", null, true]}'}, {"a": [1, "é", None, True]}),
    ]


def _commands() -> list[Vector]:
    given: dict[str, Any] = {"key": _COMMAND_KEY, "device": DEVICE_ID, "boot": BOOT, "clock": [NOW, 1]}
    text = e.seal(_COMMAND_KEY, e.LABEL_COMMAND, _COMMAND)
    out = {"id": ATTEMPT_ID, "seq": 1, "exp": NOW + 10, "op": "unlock", "args": {}}

    def refused(name: str, error: str, payload: dict[str, Any], **changes: object) -> Vector:
        sealed = e.seal(_COMMAND_KEY, e.LABEL_COMMAND, {**_COMMAND, **payload})
        return bad(name, "command", {**given, "text": sealed, **changes}, error)

    def ordered(op: str, args: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        sealed = e.seal(_COMMAND_KEY, e.LABEL_COMMAND, {**_COMMAND, "op": op, "args": args})
        return {**given, "text": sealed}, {**out, "op": op, "args": args}

    return [
        good("command", "command", {**given, "text": text}, out),
        good("command_in_its_last_second", "command", {**given, "text": text, "clock": [NOW + 9, 1]}, out),
        refused("command_of_another_device", "wrong_device", {"dev": "dev_0000000000000000"}),
        refused("command_of_another_boot", "other_boot", {"boot": BOOT - 1}),
        refused("command_without_a_clock", "clock_unknown", {}, clock=None),
        refused("command_too_late", "expired", {}, clock=[NOW + 10, 1]),
        refused("command_for_too_long", "expiry_too_far", {"exp": NOW + 62}),
        refused("command_number_0", "replayed", {"seq": 0}),
        refused("command_number_true", "command_seq", {"seq": True}),
        refused("command_number_too_large", "command_seq", {"seq": 1 << 32}),
        refused("command_boot_as_text", "command_boot", {"boot": "3"}),
        refused("command_without_an_expiry", "command_exp", {"exp": None}),
        refused("command_of_an_unknown_operation", "command_op", {"op": "explode"}),
        refused("command_with_a_list_of_arguments", "command_op", {"args": []}),
        good("command_lock", "command", *ordered("lock", {})),
        *[good("command_mode_" + m, "command", *ordered("mode", {"mode": m})) for m in commands.MODES],
        refused("command_of_no_mode", "command_mode", {"op": "mode"}),
        refused("command_of_an_unknown_mode", "command_mode", {"op": "mode", "args": {"mode": "open"}}),
        refused("command_of_a_mode_in_a_list", "command_mode", {"op": "mode", "args": {"mode": ["normal"]}}),
        refused("command_with_a_short_id", "bad_id", {"id": "act_1"}),
    ]


def _gate() -> Vector:
    """One gate, many commands: each number once, and none that is older than the window."""
    outcomes: list[tuple[int, int | str]] = [
        (1, 1),
        (1, "replayed"),
        (3, 3),
        (2, 2),
        (2, "replayed"),
        (40, 40),
        (8, "replayed"),
        (9, 9),
        (39, 39),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (40, "replayed"),
        (0xFFFFFFFF - 31, 0xFFFFFFFF - 31),
        (0xFFFFFFFF - 32, "replayed"),
    ]
    payloads = [{**_COMMAND, "seq": seq} for seq, _ in outcomes]
    given = {"device": DEVICE_ID, "boot": BOOT, "clock": [NOW, 1], "commands": payloads}
    return good("many_commands", "gate", given, [outcome for _, outcome in outcomes])


def _results() -> list[Vector]:
    key = {"key": _COMMAND_KEY}

    def refused(name: str, error: str, changes: dict[str, Any]) -> Vector:
        sealed = e.seal(_COMMAND_KEY, e.LABEL_RESULT, {**_RESULT, **changes})
        return bad(name, "command_result", {**key, "text": sealed}, error)

    text = e.seal(_COMMAND_KEY, e.LABEL_RESULT, _RESULT)
    return [
        good("result", "command_result", {**key, "text": text}, _RESULT),
        refused("result_without_ok", "result_shape", {"ok": None}),
        refused("result_with_a_number_for_ok", "result_shape", {"ok": 1}),
        refused("result_without_a_status", "result_shape", {"status": ""}),
        refused("result_with_a_long_status", "result_shape", {"status": "x" * 41}),
        refused("result_of_no_device", "bad_id", {"dev": "door_0000000000000000"}),
        refused("result_with_a_negative_time", "command_t", {"t": -1}),
        refused("result_without_a_record", "command_jseq", {"jseq": None}),
    ]


def command() -> list[Vector]:
    windows: list[tuple[int, int, int, list[int] | None]] = [
        (0, 0, 1, [1, 1]),
        (1, 1, 2, [2, 3]),
        (2, 3, 2, None),
        (5, 1, 4, [5, 3]),
        (40, 1, 9, [40, 1 << 31 | 1]),
        (40, 1, 8, None),
        (1, 1, 33, [33, 1]),
        (1, 1, 32, [32, 1 << 31 | 1]),
    ]
    out = [
        good(f"window_{n}", "window", {"high": high, "bitmap": bitmap, "seq": seq}, after)
        for n, (high, bitmap, seq, after) in enumerate(windows, 1)
    ]
    return [*_commands(), _gate(), *out, *_results()]


def time() -> list[Vector]:
    key = time_key(K_DEV)
    reply = clocks.build_time_reply(DEVICE_ID, _NONCE.hex(), NOW * 1000 + 250)
    text = e.seal(key, e.LABEL_TIME, reply)
    given = {"key": key, "label": _label(e.LABEL_TIME), "text": text}
    out = [
        good("request", "time_request", {"nonce": _NONCE}, clocks.build_time_request(_NONCE)),
        good("reply", "open", given, reply),
        bad("reply_sealed_as_a_command", "open", {**given, "label": "cmd"}, "bad_mac"),
    ]
    set_at = {"drift_ppm": 100, "t_ms": NOW * 1000 + 250, "u_ms": 41, "ticks_ms": 5_000}
    for name, ticks, expected in (
        ("clock_at_once", 5_000, [NOW, 1]),
        ("clock_after_a_minute", 65_000, [NOW + 60, 1]),
        ("clock_after_a_day", 86_405_000, [NOW + 86_400, 9]),
        ("clock_before_it_was_set", 0, [NOW, 1]),
    ):
        out.append(good(name, "clock", {**set_at, "now_ms": ticks}, expected))
    out += _drifts()
    for t, u, certain in (
        (100, 10, True),
        (99, 10, False),
        (100, 11, False),
        (109, 1, False),
        (109, 0, True),
    ):
        inside = {"t": t, "u": u, "not_before": 90, "not_after": 110 if (t, u) != (100, 10) else 111}
        assert clocks.inside(Interval(t, u), inside["not_before"], inside["not_after"]) is certain
        out.append(good(f"inside_{t}_{u}", "inside", inside, certain))
    return out


def _drifts() -> list[Vector]:
    """A board whose ticks run 60 ppm fast, and one that is told what cannot be."""
    start, day, week = NOW * 1000 + 250, 86_400_000, 7 * 86_400_000

    def learnt(
        name: str, times: list[list[int]], drift: list[list[int]], now: int, time: list[int]
    ) -> Vector:
        given = {"drift_ppm": 100, "times": times, "now_ms": now}
        return good(name, "drift", given, {"drift": drift, "time": time})

    first, next_day = [start, 50, 0], [start + day - 5184, 50, day]
    known = [[-100, 100], [48, 72]]
    return [
        learnt("drift_at_once", [first], known[:1], week, [NOW + 604_800, 61]),
        learnt("drift_after_a_day", [first, next_day], known, day + week, [NOW + 691_158, 9]),
        learnt(
            "drift_of_an_hour",
            [first, [start + 3_600_000 - 216, 50, 3_600_000]],
            [[-100, 100], [22, 98]],
            3_600_000,
            [NOW + 3600, 1],
        ),
        learnt(
            "drift_of_a_time_that_cannot_be",
            [first, next_day, [start + 2 * day - 20_000, 50, 2 * day]],
            [*known, [-100, 100]],
            2 * day,
            [NOW + 2 * 86_400 - 20, 1],
        ),
        learnt(
            "drift_at_its_bound",
            [first, [start + day + 8640, 50, day]],
            [[-100, 100], [-100, -88]],
            day,
            [NOW + 86_408, 1],
        ),
        learnt("drift_of_no_ticks", [first, first], [[-100, 100]] * 2, 0, [NOW, 1]),
    ]


CONFIGURATION: dict[str, Any] = {
    "dev": DEVICE_ID,
    "ver": 7,
    "rev": {"seq": 9, "creds": ["0a0b0c0d05060708"], "gens": {"0a0b0c0d": 2}},
    "epoch": 1,
    "schedules": "00011f0001e0043800026000052801680002000100000168",
    "holidays": "019800220136a136bd02",
    "tz": "CET-1CEST,M3.5.0,M10.5.0/3",
    "policy": {"max_u_s": 60, "open_s": 5, "held_s": 30},
}


_DOOR = {
    "held_s": 45,
    "warn_s": 15,
    "extended_s": 40,
    "relock_ms": 500,
    "jam_s": 2,
    "silence_s": 30,
    "fire_releases": 1,
    "free_egress": 1,
    "unlock_schedule": 2,
}
_HIGHEST = {
    "held_s": 86_400,
    "warn_s": 3600,
    "extended_s": 300,
    "relock_ms": 60_000,
    "jam_s": 60,
    "silence_s": 3600,
    "fire_releases": 1,
    "free_egress": 1,
    "unlock_schedule": 0xFFFF,
}


def config() -> list[Vector]:
    key = config_key(K_DEV)
    given = {"key": key, "device": DEVICE_ID}

    def sealed(changes: dict[str, Any]) -> dict[str, Any]:
        return {**given, "text": e.seal(key, e.LABEL_CONFIG, {**CONFIGURATION, **changes})}

    def refused(name: str, error: str, changes: dict[str, Any]) -> Vector:
        return bad(name, "config", sealed(changes), error)

    taken = {
        "version": 7,
        "revocation": 9,
        "epoch": 1,
        "max_u_s": 60,
        "door": [30, 10, 20, 0, 3, 60, 0, 0],
        "unlock_schedule": 0,
        "open_ms": 5000,
        "windows": 3,
        "holidays": 2,
        "offset": 3600,
    }
    rev = CONFIGURATION["rev"]
    return [
        good("configuration", "config", sealed({}), taken),
        good(
            "configuration_of_a_whole_door",
            "config",
            sealed({"ver": 8, "policy": {**CONFIGURATION["policy"], **_DOOR}}),
            {**taken, "version": 8, "door": [45, 15, 40, 500, 2, 30, 1, 1], "unlock_schedule": 2},
        ),
        good("another_key_epoch", "config", sealed({"epoch": 255}), {**taken, "epoch": 255}),
        refused("key_epoch_that_is_over", "config_epoch", {"epoch": 0}),
        refused("key_epoch_of_two_bytes", "config_integer", {"epoch": 256}),
        *[
            refused("beyond_the_highest_" + name, "config_integer", {"policy": {name: highest + 1}})
            for name, highest in _HIGHEST.items()
        ],
        refused("of_another_device", "config_device", {"dev": "dev_0000000000000000"}),
        refused("version_as_text", "config_integer", {"ver": "7"}),
        refused("credential_in_capitals", "config_hex", {"rev": {**rev, "creds": ["0A0B0C0D05060708"]}}),
        refused("credential_too_short", "config_hex", {"rev": {**rev, "creds": ["0a0b0c0d"]}}),
        refused("too_many_credentials", "config_rev", {"rev": {**rev, "creds": ["00"] * 401}}),
        refused("generation_below_0", "config_integer", {"rev": {**rev, "gens": {"0a0b0c0d": -1}}}),
        refused("zone_as_minutes", "timezone", {"tz": 60}),
        refused("zone_by_its_place", "timezone", {"tz": "Europe/Berlin"}),
        refused("schedules_as_an_object", "config_rows", {"schedules": {"1": [[31, 480, 1080]]}}),
        refused("windows_of_half_a_byte", "config_hex", {"schedules": "00011f0001e0043"}),
        refused("windows_of_half_a_row", "schedule_window", {"schedules": "00011f00"}),
        refused("window_of_a_day_too_many", "schedule_window", {"schedules": "0001800001e00438"}),
        refused("too_many_windows", "config_rows", {"schedules": "00011f0001e00438" * 65}),
        refused("holiday_of_nothing", "schedule_holiday", {"holidays": "0198002200"}),
        refused("too_many_holidays", "config_rows", {"holidays": "0198002201" * 33}),
        refused("open_for_an_hour", "config_policy", {"policy": {"open_s": 3600}}),
    ]
