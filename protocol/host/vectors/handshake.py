"""Vectors of the Bluetooth handshake, both sides, and of its fragments."""

import struct
from typing import Any

from protocol import handshake as h
from protocol.access import STATUS_REVOKED
from protocol.credential import attenuate
from protocol.fragment import split
from protocol.host.vectors.case import (
    BOOT,
    DOOR,
    K_CRED,
    NOW,
    ROOT,
    TOKEN_BYTES,
    Parts,
    Vector,
    bad,
    flipped,
    good,
    joined,
)
from protocol.host.vectors.credential import UNLOCK_ONLY, UNTIL
from protocol.keys import MAC_SIZE

_DOOR_NONCE = bytes(range(0xC0, 0xD0))
_PHONE_NONCE = bytes(range(0x90, 0xA0))
_REVOCATION = 9
_ISSUED_MS = 10_000
_CLOCK = (NOW, 2)
_SHARED = attenuate(attenuate(K_CRED, UNTIL), UNLOCK_ONLY)
_CAVEATS = [UNTIL, UNLOCK_ONLY]
# What the door knows when an AUTH comes: its CHAL follows from it.
_DOOR_SIDE: dict[str, Any] = {
    "root": ROOT,
    "door": DOOR,
    "boot": BOOT,
    "nonce": _DOOR_NONCE,
    "clock": _CLOCK,
    "rev_seq": _REVOCATION,
    "issued_ms": _ISSUED_MS,
    "now_ms": _ISSUED_MS + 80,
}


def _door() -> tuple[h.DoorSide, bytes]:
    door = h.DoorSide(DOOR, BOOT)
    return door, door.challenge(_DOOR_NONCE, _ISSUED_MS, _CLOCK, _REVOCATION)


def _chal_parts() -> Parts:
    return (
        ("11", "version 1, message 1 (CHAL)"),
        ("01", "flags: the time is known"),
        (DOOR, "door"),
        (struct.pack(">I", BOOT), "boot epoch 3"),
        (_DOOR_NONCE, "nonce"),
        (struct.pack(">I", NOW), "unix seconds"),
        ("0002", "± 2 s"),
        (struct.pack(">I", _REVOCATION), "revocation sequence 9"),
    )


def _challenges(chal: bytes) -> list[Vector]:
    known = {"door": DOOR, "boot": BOOT, "nonce": _DOOR_NONCE, "time": NOW, "uncertainty": 2, "rev_seq": 9}
    side = h.DoorSide(DOOR, BOOT)
    lost = side.challenge(_DOOR_NONCE, 0, None, 0)
    offer = {"door": DOOR, "boot": BOOT, "nonce": _DOOR_NONCE, "clock": _CLOCK, "rev_seq": _REVOCATION}
    return [
        good("challenge", "challenge", {"wire": chal}, known, _chal_parts()),
        good(
            "challenge_without_time",
            "challenge",
            {"wire": lost},
            {**known, "time": None, "uncertainty": 0xFFFF, "rev_seq": 0},
        ),
        good("offer", "offer", offer, chal),
        good("offer_without_time", "offer", {**offer, "clock": None, "rev_seq": 0}, lost),
        bad("challenge_short", "challenge", {"wire": chal[:-1]}, "challenge"),
        bad("challenge_long", "challenge", {"wire": chal + b"\0"}, "challenge"),
        bad("challenge_of_version_2", "challenge", {"wire": b"\x21" + chal[1:]}, "challenge"),
    ]


def _prove(caveats: list[bytes], key: bytes) -> dict[str, Any]:
    return {
        "token": TOKEN_BYTES,
        "caveats": caveats,
        "key": key,
        "door": DOOR,
        "action": h.ACTION_UNLOCK,
        "nonce": _PHONE_NONCE,
    }


def _auths(chal: bytes) -> tuple[list[Vector], bytes]:
    plain = h.PhoneSide(TOKEN_BYTES, [], K_CRED, DOOR).authenticate(chal, h.ACTION_UNLOCK, _PHONE_NONCE)
    shared = h.PhoneSide(TOKEN_BYTES, _CAVEATS, _SHARED).authenticate(chal, h.ACTION_UNLOCK, _PHONE_NONCE)
    head: Parts = (
        ("12", "version 1, message 2 (AUTH)"),
        ("01", "action 1: unlock"),
        (_PHONE_NONCE, "nonce"),
        (TOKEN_BYTES, "token"),
    )
    parts = (*head, (plain[-MAC_SIZE:], "MAC"))
    shared_parts = (
        *head,
        (UNTIL, "caveat: not-after"),
        (UNLOCK_ONLY, "caveat: actions"),
        (shared[-MAC_SIZE:], "MAC"),
    )
    assert joined(parts) == plain
    assert joined(shared_parts) == shared
    out = [
        good("prove", "prove", {"wire": chal, **_prove([], K_CRED)}, plain),
        good("prove_shared", "prove", {"wire": chal, **_prove(_CAVEATS, _SHARED)}, shared),
        bad(
            "prove_to_another_door",
            "prove",
            {"wire": chal, **_prove([], K_CRED), "door": bytes(8)},
            "wrong_device",
        ),
        _taken("auth", plain, [], K_CRED, parts),
        _taken("auth_shared", shared, _CAVEATS, _SHARED, shared_parts),
        good(
            "auth_at_the_last_moment",
            "auth",
            {"wire": plain, **_DOOR_SIDE, "now_ms": 15_000},
            _out([], K_CRED),
        ),
    ]
    return out + _refused_auths(plain, shared), plain


def _out(caveats: list[bytes], key: bytes) -> dict[str, Any]:
    return {"token": TOKEN_BYTES, "caveats": caveats, "action": h.ACTION_UNLOCK, "key": key}


def _taken(name: str, wire: bytes, caveats: list[bytes], key: bytes, parts: Parts) -> Vector:
    return good(name, "auth", {"wire": wire, **_DOOR_SIDE}, _out(caveats, key), parts)


def _refused_auths(plain: bytes, shared: bytes) -> list[Vector]:
    def refused(name: str, wire: bytes, error: str, **changes: object) -> Vector:
        return bad(name, "auth", {"wire": wire, **_DOOR_SIDE, **changes}, error)

    token_at, caveats_at = 18, 44
    return [
        refused("auth_too_late", plain, "nonce_expired", now_ms=_ISSUED_MS + h.NONCE_LIFE_MS + 1),
        refused("auth_again", plain, "no_challenge", before=plain),
        refused("auth_after_a_wrong_one", plain, "no_challenge", before=flipped(plain)),
        refused("auth_for_another_challenge", plain, "auth_mac", nonce=bytes(16)),
        refused("auth_for_another_boot", plain, "auth_mac", boot=BOOT + 1),
        refused("auth_for_another_door", plain, "auth_mac", door=bytes(8)),
        refused("auth_with_a_key_of_another_device", plain, "auth_mac", root=bytes(32)),
        refused("auth_with_a_changed_mac", flipped(plain), "auth_mac"),
        refused("auth_with_a_changed_token", flipped(plain, token_at + 17), "auth_mac"),
        refused("auth_with_another_action", plain[:1] + b"\x02" + plain[2:], "auth_mac"),
        refused("auth_without_its_last_caveat", shared[:-19] + shared[-16:], "auth_mac"),
        refused(
            "auth_with_its_caveats_in_another_order",
            shared[:caveats_at] + UNLOCK_ONLY + UNTIL + shared[-16:],
            "auth_mac",
        ),
        refused("auth_with_an_unknown_action", plain[:1] + b"\x04" + plain[2:], "auth"),
        refused("auth_of_version_2", b"\x22" + plain[1:], "auth"),
        refused("auth_short", plain[:59], "auth"),
        refused("auth_longer_than_any", plain + bytes(41), "auth"),
        refused("auth_with_a_token_of_version_2", plain[:18] + b"\2" + plain[19:], "token_version"),
        refused("auth_with_an_unknown_caveat", plain[:44] + b"\x05\x01\0" + plain[44:], "caveat_unknown"),
    ]


def _results(chal: bytes, auth: bytes) -> list[Vector]:
    door, _ = _door()
    taken = door.receive_auth(auth, _ISSUED_MS, ROOT)
    granted = door.result(taken, 0, 42, _REVOCATION, NOW)
    denied = door.result(taken, STATUS_REVOKED, 43, _REVOCATION, 0)
    parts = (
        ("13", "version 1, message 3 (RESULT)"),
        ("00", "status 0: granted"),
        ("0000002a", "audit sequence 42"),
        ("00000009", "revocation sequence 9"),
        (struct.pack(">I", NOW), "unix seconds"),
        (granted[-MAC_SIZE:], "MAC"),
    )
    assert joined(parts) == granted
    phone = {"challenge": chal, **_prove([], K_CRED)}
    out = {"status": 0, "audit_seq": 42, "rev_seq": 9, "time": NOW}
    say = {"wire": auth, **_DOOR_SIDE, "status": 0, "audit_seq": 42, "time": NOW}
    return [
        good("result", "result", {"wire": granted, **phone}, out, parts),
        good(
            "result_denied",
            "result",
            {"wire": denied, **phone},
            {**out, "status": STATUS_REVOKED, "audit_seq": 43, "time": 0},
        ),
        good("answer", "answer", say, granted),
        bad("result_of_another_status", "result", {"wire": flipped(denied, 1), **phone}, "result_mac"),
        bad("result_with_a_changed_mac", "result", {"wire": flipped(granted), **phone}, "result_mac"),
        bad(
            "result_of_another_handshake",
            "result",
            {"wire": granted, **phone, "nonce": bytes(16)},
            "result_mac",
        ),
        bad("result_short", "result", {"wire": granted[:-1], **phone}, "result"),
        bad("result_long", "result", {"wire": granted + b"\0", **phone}, "result"),
        bad("result_of_version_2", "result", {"wire": b"\x23" + granted[1:], **phone}, "result"),
    ]


def handshake() -> list[Vector]:
    _, chal = _door()
    assert joined(_chal_parts()) == chal
    auths, plain = _auths(chal)
    return [*_challenges(chal), *auths, *_results(chal, plain)]


def fragment() -> list[Vector]:
    """AUTH of one credential, whole at MTU 185 and in four at MTU 23; and runs that do not join."""
    _, chal = _door()
    auth = h.PhoneSide(TOKEN_BYTES, [], K_CRED).authenticate(chal, h.ACTION_UNLOCK, _PHONE_NONCE)
    wide, narrow = split(auth, 185), split(auth, 23)

    def join(name: str, fragments: list[bytes], error: str) -> Vector:
        return bad(name, "join", {"fragments": fragments}, error)

    return [
        good("auth_at_mtu_185", "split", {"message": auth, "mtu": 185}, wide),
        good("auth_at_mtu_23", "split", {"message": auth, "mtu": 23}, narrow),
        good("largest_message", "split", {"message": bytes(512), "mtu": 23}, split(bytes(512), 23)),
        good("join_one", "join", {"fragments": wide}, auth),
        good("join_four", "join", {"fragments": narrow}, auth),
        good("join_begins_anew", "join", {"fragments": [narrow[0], narrow[1], *narrow]}, auth),
        good("join_byte_by_byte", "join", {"fragments": split(auth, 5)}, auth),
        join("no_first", [narrow[1]], "fragment_order"),
        join("one_missing", [narrow[0], narrow[2]], "fragment_order"),
        join("one_twice", [narrow[0], narrow[1], narrow[1]], "fragment_order"),
        join("first_with_a_counter", [b"\x81\0"], "fragment_order"),
        join("header_alone", [b"\xc0"], "fragment_empty"),
        join("nothing", [b""], "fragment_empty"),
        join("more_than_a_message", [b"\x80" + bytes(512), b"\x41\0"], "fragment_size"),
    ]
