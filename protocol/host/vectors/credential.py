"""Vectors of tokens, caveats, and what a caveat leaves of a token."""

import struct

from protocol import credential as c
from protocol.host.vectors.case import (
    CREDENTIAL,
    DOOR,
    EPOCH,
    K_CRED,
    NOW,
    OPEN_TOKEN,
    ROOT,
    TOKEN,
    TOKEN_BYTES,
    Vector,
    bad,
    good,
    joined,
)
from protocol.keys import epoch_key

UNTIL = c.caveat(c.CAVEAT_NOT_AFTER, struct.pack(">I", NOW + 3600))
UNLOCK_ONLY = c.caveat(c.CAVEAT_ACTIONS, b"\x02")
HERE_ONLY = c.caveat(c.CAVEAT_DOOR, DOOR)
FROM = c.caveat(c.CAVEAT_NOT_BEFORE, struct.pack(">I", NOW - 60))

_TOKEN_PARTS = (
    ("01", "version 1"),
    ("01", "key epoch 1"),
    (CREDENTIAL[:4], "subject: the user"),
    (CREDENTIAL[4:], "serial: the key"),
    ("00000002", "generation 2"),
    (struct.pack(">I", TOKEN.not_before), "not-before, inclusive"),
    (struct.pack(">I", TOKEN.not_after), "not-after, exclusive"),
    ("0000", "flags"),
    ("0000", "schedule: none"),
)


def _fields(token: c.Token) -> dict[str, object]:
    return {
        "epoch": token.epoch,
        "credential_id": token.credential_id,
        "generation": token.generation,
        "not_before": token.not_before,
        "not_after": token.not_after,
        "flags": token.flags,
        "schedule_id": token.schedule_id,
    }


def _tokens() -> list[Vector]:
    assert joined(_TOKEN_PARTS) == TOKEN_BYTES
    flagged = c.Token(255, bytes(8), 0xFFFFFFFF, 1, c.NEVER, c.KNOWN_FLAGS, 0xFFFF)
    return [
        good("token", "token", {"wire": TOKEN_BYTES}, _fields(TOKEN), _TOKEN_PARTS),
        good("token_without_limits", "token", {"wire": OPEN_TOKEN.encode()}, _fields(OPEN_TOKEN)),
        good("token_of_extremes", "token", {"wire": flagged.encode()}, _fields(flagged)),
        bad("token_short", "token", {"wire": TOKEN_BYTES[:-1]}, "token_size"),
        bad("token_long", "token", {"wire": TOKEN_BYTES + b"\0"}, "token_size"),
        bad("token_of_version_2", "token", {"wire": b"\2" + TOKEN_BYTES[1:]}, "token_version"),
        bad(
            "token_with_an_unknown_flag",
            "token",
            {"wire": TOKEN_BYTES[:22] + b"\0\x20" + TOKEN_BYTES[24:]},
            "token_flags",
        ),
    ]


def _keys() -> list[Vector]:
    k_epoch = epoch_key(ROOT, EPOCH)
    shared = c.attenuate(K_CRED, UNTIL)
    return [
        good("mint", "mint", {"k_epoch": k_epoch, "token": TOKEN_BYTES}, K_CRED),
        good(
            "attenuate",
            "attenuate",
            {"key": K_CRED, "caveat": UNTIL},
            shared,
            (("02", "not-after"), ("04", "4 bytes"), (UNTIL[2:], "unix seconds")),
        ),
        good(
            "attenuate_again",
            "attenuate",
            {"key": shared, "caveat": UNLOCK_ONLY},
            c.attenuate(shared, UNLOCK_ONLY),
            (("04", "actions"), ("01", "1 byte"), ("02", "bit 1: unlock")),
        ),
    ]


def _caveats() -> list[Vector]:
    four = [FROM, UNTIL, HERE_ONLY, UNLOCK_ONLY]
    return [
        good("no_caveat", "caveats", {"wire": b""}, []),
        good("four_caveats", "caveats", {"wire": b"".join(four)}, four),
        bad("five_caveats", "caveats", {"wire": UNLOCK_ONLY * 5}, "caveat_count"),
        bad("caveat_of_an_unknown_type", "caveats", {"wire": b"\x05\x01\x00"}, "caveat_unknown"),
        bad("caveat_of_a_wrong_size", "caveats", {"wire": b"\x04\x02\x00\x00"}, "caveat_unknown"),
        bad("caveat_without_a_length", "caveats", {"wire": UNTIL + b"\x04"}, "caveat_truncated"),
        bad("caveat_cut_short", "caveats", {"wire": HERE_ONLY[:-1]}, "caveat_truncated"),
    ]


def _grant(name: str, caveats: list[bytes]) -> Vector:
    grant = c.Grant(TOKEN, caveats)
    out = {
        "not_before": grant.not_before,
        "not_after": grant.not_after,
        "actions": grant.actions,
        "doors": grant.doors,
    }
    return good(name, "grant", {"token": TOKEN_BYTES, "caveats": caveats}, out)


def credential() -> list[Vector]:
    later = c.caveat(c.CAVEAT_NOT_AFTER, struct.pack(">I", NOW + 7200))
    status_too = c.caveat(c.CAVEAT_ACTIONS, b"\x0a")
    return [
        *_tokens(),
        *_keys(),
        *_caveats(),
        _grant("grant_as_the_token", []),
        _grant("grant_narrowed", [FROM, UNTIL, HERE_ONLY, UNLOCK_ONLY]),
        _grant("a_later_caveat_widens_nothing", [UNTIL, later, UNLOCK_ONLY, status_too]),
    ]
