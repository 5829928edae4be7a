"""The Bluetooth handshake as two state machines without I/O: the door's side and the phone's.

    CHAL   (40 B) = 0x11 | flags 1 | door 8 | boot 4 | nonce 16 | time 4 | uncertainty 2 | revocation sequence 4
    AUTH          = 0x12 | action 1 | nonce 16 | token 26 | caveats 0..40 | MAC 16
                    MAC = HMAC(K, "auth" | CHAL | AUTH without MAC)[:16]
    RESULT (30 B) = 0x13 | status 1 | audit sequence 4 | revocation sequence 4 | time 4 | MAC 16
                    MAC = HMAC(K, "rslt" | AUTH's MAC | RESULT without MAC)[:16]

The first byte is version (high half) and message (low half). K is the key of the token after its caveats. The door's nonce
is used once and lives NONCE_LIFE_MS.
"""

import struct

from protocol.credential import MAX_CAVEATS, TOKEN_SIZE, Token, attenuate, decode_token, mint, split_caveats
from protocol.errors import BadMac, Expired, LocalError, Malformed, Replayed, WrongDevice
from protocol.keys import MAC_SIZE, constant_equal, epoch_key, hmac_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

    from protocol.keys import Buffer

ACTION_UNLOCK = 1
ACTION_LOCK = 2
ACTION_STATUS = 3
ACTIONS = (ACTION_UNLOCK, ACTION_LOCK, ACTION_STATUS)

NONCE_SIZE = 16
NONCE_LIFE_MS = 5000
CHALLENGE_SIZE = 40
RESULT_SIZE = 30
_AUTH_HEAD = 2 + NONCE_SIZE + TOKEN_SIZE
MAX_AUTH = _AUTH_HEAD + MAX_CAVEATS * 10 + MAC_SIZE
_CHAL, _AUTH, _RESULT = 0x11, 0x12, 0x13
_TIME_KNOWN = 1
_CHAL_FORMAT = ">BB8sI16sIHI"
_RESULT_FORMAT = ">BBIII"


class Auth:
    """A proof that was verified: what the phone may do is for the access decision to say."""

    def __init__(self, token: Token, caveats: "List[bytes]", action: int, key: bytes, mac: bytes) -> None:
        self.token = token
        self.caveats = caveats
        self.action = action
        self.key = key
        self.mac = mac


class Result:
    """The door's answer. `time` is unix seconds or 0."""

    def __init__(self, status: int, audit_seq: int, rev_seq: int, time: int) -> None:
        self.status = status
        self.audit_seq = audit_seq
        self.rev_seq = rev_seq
        self.time = time


class Challenge:
    """A decoded CHAL. `time` is None while the door does not know it."""

    def __init__(
        self, door_id: bytes, boot: int, nonce: bytes, time: "Optional[int]", uncertainty: int, rev_seq: int
    ) -> None:
        self.door_id = door_id
        self.boot = boot
        self.nonce = nonce
        self.time = time
        self.uncertainty = uncertainty
        self.rev_seq = rev_seq


def decode_challenge(raw: "Buffer") -> Challenge:
    """Read a CHAL; raise Malformed."""
    if len(raw) != CHALLENGE_SIZE or raw[0] != _CHAL:
        raise Malformed("challenge")
    _, flags, door, boot, nonce, t, u, rev = struct.unpack(_CHAL_FORMAT, raw)
    return Challenge(bytes(door), boot, bytes(nonce), t if flags & _TIME_KNOWN else None, u, rev)


class DoorSide:
    """One connection's handshake at the door."""

    def __init__(self, door_id: bytes, boot: int) -> None:
        if len(door_id) != 8:
            raise LocalError("door id")
        self._door_id = door_id
        self._boot = boot
        self._challenge = b""
        self._issued_ms = 0

    def challenge(self, nonce: bytes, now_ms: int, clock: "Optional[Tuple[int, int]]", rev_seq: int) -> bytes:
        """A fresh CHAL; the one before is void. `clock` is (unix seconds, uncertainty) or None."""
        if len(nonce) != NONCE_SIZE:
            raise LocalError("nonce")
        t, u = clock if clock else (0, 0xFFFF)
        flags = _TIME_KNOWN if clock else 0
        self._challenge = struct.pack(
            _CHAL_FORMAT, _CHAL, flags, self._door_id, self._boot, nonce, t, min(u, 0xFFFF), rev_seq
        )
        self._issued_ms = now_ms
        return self._challenge

    def receive_auth(self, raw: "Buffer", now_ms: int, credential_root: bytes) -> Auth:
        """Verify an AUTH against the open challenge, which it uses up whatever comes of it."""
        challenge, self._challenge = self._challenge, b""
        if not challenge:
            raise Replayed("no_challenge")
        if now_ms - self._issued_ms > NONCE_LIFE_MS:
            raise Expired("nonce_expired")
        if not _AUTH_HEAD + MAC_SIZE <= len(raw) <= MAX_AUTH or raw[0] != _AUTH or raw[1] not in ACTIONS:
            raise Malformed("auth")
        raw = bytes(raw)
        body, mac = raw[:-MAC_SIZE], raw[-MAC_SIZE:]
        encoded = body[_AUTH_HEAD - TOKEN_SIZE : _AUTH_HEAD]
        token = decode_token(encoded)
        caveats = split_caveats(body[_AUTH_HEAD:])
        key = mint(epoch_key(credential_root, token.epoch), encoded)
        for item in caveats:
            key = attenuate(key, item)
        if not constant_equal(mac, hmac_sha256(key, b"auth", challenge, body)[:MAC_SIZE]):
            raise BadMac("auth_mac")
        return Auth(token, caveats, raw[1], key, mac)

    def result(self, auth: Auth, status: int, audit_seq: int, rev_seq: int, t: int) -> bytes:
        """The RESULT for a verified AUTH."""
        body = struct.pack(_RESULT_FORMAT, _RESULT, status, audit_seq, rev_seq, t)
        return body + hmac_sha256(auth.key, b"rslt", auth.mac, body)[:MAC_SIZE]


class PhoneSide:
    """One handshake at the phone. `key` is the key of `token` after all `caveats`."""

    def __init__(
        self, token: bytes, caveats: "List[bytes]", key: bytes, door_id: "Optional[bytes]" = None
    ) -> None:
        decode_token(token)
        self._token = token
        self._caveats = b"".join(caveats)
        split_caveats(self._caveats)
        self._key = key
        self._door_id = door_id
        self._mac = b""

    def authenticate(self, chal: "Buffer", action: int, nonce: bytes) -> bytes:
        """The AUTH that answers a CHAL; raise Malformed, or WrongDevice if another door asked."""
        if action not in ACTIONS or len(nonce) != NONCE_SIZE:
            raise LocalError("action or nonce")
        challenge = decode_challenge(chal)
        if self._door_id is not None and challenge.door_id != self._door_id:
            raise WrongDevice()
        body = bytes((_AUTH, action)) + nonce + self._token + self._caveats
        self._mac = hmac_sha256(self._key, b"auth", chal, body)[:MAC_SIZE]
        return body + self._mac

    def receive_result(self, raw: "Buffer") -> Result:
        """Verify the RESULT of our AUTH; raise Malformed or BadMac."""
        if len(raw) != RESULT_SIZE or raw[0] != _RESULT:
            raise Malformed("result")
        if not self._mac:
            raise LocalError("result before auth")
        body = bytes(raw[:-MAC_SIZE])
        if not constant_equal(raw[-MAC_SIZE:], hmac_sha256(self._key, b"rslt", self._mac, body)[:MAC_SIZE]):
            raise BadMac("result_mac")
        _, status, audit_seq, rev_seq, t = struct.unpack(_RESULT_FORMAT, body)
        return Result(status, audit_seq, rev_seq, t)
