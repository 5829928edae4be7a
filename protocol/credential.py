"""Credential tokens and caveats: who may open, when, and how a user narrows a key without a network.

    token (26 B) = version 1 | epoch 1 | subject 4 | serial 4 | generation 4 | not-before 4 | not-after 4 | flags 2 | schedule 2
    K_cred       = HMAC(K_epoch, "cred" | token)
    K_child      = HMAC(K_cred, "cav" | caveat)         caveat = type 1 | length 1 | value

Times are unix seconds; the window is [not-before, not-after). Integers are big-endian.
"""

import struct

from protocol.errors import LocalError, Malformed
from protocol.keys import hmac_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, List

    from protocol.keys import Buffer

TOKEN_VERSION = 1
TOKEN_SIZE = 26
NEVER = 0xFFFFFFFF  # not-after of a token that does not end

REMOTE_ONLY = 1
ONE_TIME = 2
DURESS = 4
LOCKDOWN_OVERRIDE = 8
EXTENDED_TIME = 16
KNOWN_FLAGS = REMOTE_ONLY | ONE_TIME | DURESS | LOCKDOWN_OVERRIDE | EXTENDED_TIME

# Of the row of a card or PIN only.
NEEDS_SECOND = 32
PASSBACK_EXEMPT = 64

CAVEAT_NOT_BEFORE = 1
CAVEAT_NOT_AFTER = 2
CAVEAT_DOOR = 3
CAVEAT_ACTIONS = 4
_CAVEAT_SIZES = {CAVEAT_NOT_BEFORE: 4, CAVEAT_NOT_AFTER: 4, CAVEAT_DOOR: 8, CAVEAT_ACTIONS: 1}
MAX_CAVEATS = 4  # bounds the HMACs that a stranger can make the door compute

_FORMAT = ">BB8sIIIHH"


class Token:
    """One credential for one door's key epoch."""

    def __init__(
        self,
        epoch: int,
        credential_id: bytes,
        generation: int = 0,
        not_before: int = 0,
        not_after: int = NEVER,
        flags: int = 0,
        schedule_id: int = 0,
    ) -> None:
        self.epoch = epoch
        self.credential_id = credential_id
        self.generation = generation
        self.not_before = not_before
        self.not_after = not_after
        self.flags = flags
        self.schedule_id = schedule_id

    @property
    def subject(self) -> bytes:
        """The first half of the credential id: whose key it is (4 bytes)."""
        return self.credential_id[:4]

    def encode(self) -> bytes:
        """The 26 bytes."""
        if len(self.credential_id) != 8:
            raise LocalError("credential id is 8 bytes")
        # MicroPython's struct drops the high bits in silence: a token that expires would become another one.
        if not 0 <= self.epoch <= 0xFF or self.flags & ~KNOWN_FLAGS or not 0 <= self.schedule_id <= 0xFFFF:
            raise LocalError("token field")
        for number in (self.generation, self.not_before, self.not_after):
            if not 0 <= number <= NEVER:
                raise LocalError("token field")
        return struct.pack(
            _FORMAT,
            TOKEN_VERSION,
            self.epoch,
            self.credential_id,
            self.generation,
            self.not_before,
            self.not_after,
            self.flags,
            self.schedule_id,
        )


def decode_token(raw: "Buffer") -> Token:
    """Read 26 bytes; unknown versions and flags are refused, for they may restrict."""
    if len(raw) != TOKEN_SIZE:
        raise Malformed("token_size")
    version, epoch, cid, generation, nbf, naf, flags, schedule = struct.unpack(_FORMAT, raw)
    if version != TOKEN_VERSION:
        raise Malformed("token_version")
    if flags & ~KNOWN_FLAGS:
        raise Malformed("token_flags")
    return Token(epoch, bytes(cid), generation, nbf, naf, flags, schedule)


def mint(k_epoch: "Buffer", token: "Buffer") -> bytes:
    """K_cred of an encoded token."""
    return hmac_sha256(k_epoch, b"cred", token)


def caveat(kind: int, value: "Buffer") -> bytes:
    """Encode one caveat; `value` is 4 bytes of unix seconds, 8 of door id, or 1 of action bits."""
    if _CAVEAT_SIZES.get(kind) != len(value):
        raise LocalError("caveat type or size")
    return bytes((kind, len(value))) + bytes(value)


def attenuate(key: "Buffer", caveat_bytes: "Buffer") -> bytes:
    """Key of the narrowed credential. One way: the wider key cannot be had back from it."""
    return hmac_sha256(key, b"cav", caveat_bytes)


def split_caveats(raw: "Buffer") -> "List[bytes]":
    """Cut a run of caveats apart; raise Malformed on unknown types, wrong sizes or too many."""
    out: "List[bytes]" = []
    pos = 0
    while pos < len(raw):
        if pos + 2 > len(raw):
            raise Malformed("caveat_truncated")
        size = raw[pos + 1]
        if _CAVEAT_SIZES.get(raw[pos]) != size:
            raise Malformed("caveat_unknown")
        if pos + 2 + size > len(raw):
            raise Malformed("caveat_truncated")
        out.append(bytes(raw[pos : pos + 2 + size]))
        pos += 2 + size
        if len(out) > MAX_CAVEATS:
            raise Malformed("caveat_count")
    return out


class Grant:
    """What is left of a token after its caveats: the narrowest window, doors and actions."""

    def __init__(self, token: Token, caveats: "Iterable[bytes]") -> None:
        self.token = token
        self.not_before = token.not_before
        self.not_after = token.not_after
        self.actions = 0xFF
        self.doors: "List[bytes]" = []
        for item in caveats:
            self._narrow(item[0], item[2:])

    def _narrow(self, kind: int, value: bytes) -> None:
        if kind == CAVEAT_NOT_BEFORE:
            self.not_before = max(self.not_before, int.from_bytes(value, "big"))
        elif kind == CAVEAT_NOT_AFTER:
            self.not_after = min(self.not_after, int.from_bytes(value, "big"))
        elif kind == CAVEAT_DOOR:
            self.doors.append(value)
        else:
            self.actions &= value[0]

    @property
    def time_limited(self) -> bool:
        """Whether the door must know the time to honour it."""
        return self.not_before > 0 or self.not_after != NEVER or self.token.schedule_id != 0

    def permits(self, door_id: bytes, action: int) -> bool:
        """Whether the caveats leave this door and this action (bit `action` of the action bits)."""
        for door in self.doors:
            if door != door_id:
                return False
        return 0 <= action < 8 and bool(self.actions & (1 << action))
