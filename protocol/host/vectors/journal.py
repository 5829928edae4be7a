"""Vectors of journal records, their chain, and the unsealed messages that carry them."""

import json
import struct
from typing import Any

from protocol import journal as j
from protocol.access import STATUS_REVOKED
from protocol.host.vectors.case import (
    BOOT,
    CREDENTIAL,
    DEVICE_ID,
    GATEWAY_ID,
    K_DEV,
    NOW,
    Parts,
    Vector,
    bad,
    flipped,
    good,
    joined,
)
from protocol.keys import journal_key
from protocol.messages import MAX_ACK, build_events

_START = j.initial_state(journal_key(K_DEV))
_EVENTS: list[dict[str, Any]] = [
    {"kind": j.EVENT_BOOT, "boot": BOOT},
    {
        "kind": j.EVENT_ACCESS_GRANTED,
        "boot": BOOT,
        "time": NOW,
        "uncertainty": 2,
        "method": j.METHOD_BLE,
        "subject": CREDENTIAL,
        "value": 1,
    },
    {
        "kind": j.EVENT_ACCESS_DENIED,
        "boot": BOOT,
        "time": NOW + 60,
        "uncertainty": 2,
        "method": j.METHOD_BLE,
        "status": STATUS_REVOKED,
        "subject": CREDENTIAL,
        "value": 1,
    },
    {"kind": j.EVENT_DOOR_FORCED, "boot": BOOT, "time": NOW + 90, "uncertainty": 2},
]


def _state(state: j.ChainState) -> dict[str, object]:
    return {"seq": state.seq, "digest": state.digest, "key": state.key}


def _fields(raw: bytes) -> dict[str, object]:
    record = j.decode_record(raw)
    return {
        "type": record.type,
        "seq": record.seq,
        "boot": record.boot,
        "time": record.time,
        "uncertainty": record.uncertainty,
        "method": record.method,
        "status": record.status,
        "subject": record.subject,
        "value": record.value,
    }


def _chain() -> tuple[list[bytes], list[j.ChainState]]:
    raws, states = [], [_START]
    for event in _EVENTS:
        raw, state = j.append(states[-1], **event)
        raws.append(raw)
        states.append(state)
    return raws, states


def _granted_parts(raw: bytes) -> Parts:
    return (
        ("01", "version 1"),
        ("02", "access_granted"),
        ("00000002", "seq 2"),
        (struct.pack(">I", BOOT), "boot epoch 3"),
        (struct.pack(">I", NOW), "unix seconds"),
        ("0002", "± 2 s"),
        ("01", "method: bluetooth"),
        ("00", "status: granted"),
        (CREDENTIAL, "subject: the credential id"),
        ("00000001", "value: action 1"),
        (raw[-16:], "MAC"),
    )


def journal() -> list[Vector]:
    raws, states = _chain()
    parts = _granted_parts(raws[1])
    assert joined(parts) == raws[1]
    out = []
    for n, event in enumerate(_EVENTS):
        given = {"state": _state(states[n]), "event": event}
        out.append(
            good(f"append_{n + 1}", "append", given, {"wire": raws[n], "state": _state(states[n + 1])})
        )
    start = {"state": _state(_START)}

    def broken(name: str, records: list[bytes], error: str) -> Vector:
        return bad(name, "chain", {**start, "records": records}, error)

    def anchored(name: str, raw: bytes, state: j.ChainState) -> Vector:
        return good(name, "anchor", {**start, "wire": raw}, _state(state))

    far = b"\1\1" + struct.pack(">I", j.MAX_LEAP + 1) + bytes(40)
    return [
        good("record", "record", {"wire": raws[1]}, _fields(raws[1]), parts),
        *out,
        good("chain", "chain", {**start, "records": raws}, _state(states[-1])),
        broken("one_missing", [raws[0], raws[2]], "chain_gap"),
        broken("one_twice", [raws[0], raws[0]], "chain_gap"),
        broken("changed_event", [flipped(raws[0], 1)], "record_mac"),
        broken("changed_mac", [flipped(raws[0])], "record_mac"),
        broken("changed_before", [raws[0], flipped(raws[1], 28)], "record_mac"),
        bad("record_short", "record", {"wire": raws[0][:-1]}, "record_size"),
        bad("record_long", "record", {"wire": raws[0] + b"\0"}, "record_size"),
        bad("record_of_version_2", "record", {"wire": b"\2" + raws[0][1:]}, "record_version"),
        bad("record_number_0", "record", {"wire": b"\1" + bytes(45)}, "record_version"),
        anchored("anchor_of_the_next", raws[0], states[1]),
        anchored("anchor_behind_a_hole", raws[2], states[3]),
        bad("anchor_backwards", "anchor", {"state": _state(states[2]), "wire": raws[0]}, "chain_gap"),
        bad("anchor_too_far", "anchor", {**start, "wire": far}, "chain_gap"),
    ]


def messages() -> list[Vector]:
    raws, _ = _chain()
    records = json.loads(build_events(raws[:2]))["r"]
    state = {
        "boot": BOOT,
        "jseq": 4,
        "cfg": 7,
        "rev": 9,
        "epoch": 1,
        "fw": "0.1.0",
        "door": "locked",
        "clk": [NOW, 1],
        "drift_ppm": [60, 12],
    }
    nonce = bytes(range(0x70, 0x80)).hex()
    counters = {"uplink_connected": 1, "down_command_bad_mac": 2}
    audit = {
        "seq": 1,
        "type": "admission_refused",
        "t": NOW,
        "data": {"reason": "wrong_pin", "who": DEVICE_ID},
    }
    entry = {"id": DEVICE_ID, "pins": ["00" * 32], "status": "active"}
    said: dict[str, dict[str, Any]] = {
        "site_events": {"r": records},
        "site_state": state,
        "site_time_request": {"n": nonce},
        "site_log": {"counters": counters, "up": 60, "heap": [100_000, 60_000, 20_000]},
        "site_fetch": {"id": "00" * 8, "off": 2048, "len": 256},
        "site_ack": {"seq": 4},
        "cloud_events": {"d": DEVICE_ID, "r": records},
        "cloud_state": {"d": DEVICE_ID, **state, "cfg_refused": "config_pins", "files": {"users": 7}},
        "cloud_time_request": {"d": DEVICE_ID, "n": nonce},
        "cloud_log": {"d": DEVICE_ID, "counters": counters},
        "cloud_sealed": {"d": DEVICE_ID, "e": '{"p": "{}", "m": "' + "0" * 32 + '"}'},
        "cloud_audit": {"g": GATEWAY_ID, "events": [audit]},
        "cloud_hello": {"g": GATEWAY_ID, "registry": 3},
        "cloud_presence": {"away": [DEVICE_ID]},
        "cloud_fetch": {"d": DEVICE_ID, "id": "00" * 8, "off": 2048, "len": 256},
        "cloud_chunk": {"d": DEVICE_ID, "c": "AAAAAAAAAAAAAAAEAQIDBA=="},
        "cloud_ack": {"d": DEVICE_ID, "seq": 4},
        "cloud_registry": {"ver": 3, "devices": [entry]},
    }
    out = [good(name, "object", {"text": json.dumps(message)}, message) for name, message in said.items()]

    def refused(name: str, text: str, error: str) -> Vector:
        return bad(name, "ack", {"text": text}, error)

    return [
        good("events", "events", {"records": raws[:2]}, build_events(raws[:2]).decode()),
        *out,
        good("ack", "ack", {"text": '{"seq": 4}'}, 4),
        good("ack_of_nothing", "ack", {"text": '{"seq": 0}'}, 0),
        good("ack_of_the_last", "ack", {"text": '{"seq": 4294967295}'}, 0xFFFFFFFF),
        refused("ack_without_a_number", "{}", "ack_seq"),
        refused("ack_of_true", '{"seq": true}', "ack_seq"),
        refused("ack_of_a_fraction", '{"seq": 4.0}', "ack_seq"),
        refused("ack_below_0", '{"seq": -1}', "ack_seq"),
        refused("ack_of_33_bits", '{"seq": 4294967296}', "ack_seq"),
        refused("ack_too_long", '{"seq": 4}' + " " * MAX_ACK, "ack_size"),
        refused("ack_of_no_json", "4", "json_shape"),
    ]
