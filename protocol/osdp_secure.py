"""Secure Channel of OSDP v2.2 (annex D), the control panel's side: session keys, cryptograms, MAC chain, encryption.

AES-128 is passed in: `aes(key, iv)` gives an object with `encrypt(data)` and `decrypt(data)` in CBC mode, or in ECB
mode where `iv` is None. Nothing here knows SCBK-D, the key that is the same on all new readers.
"""

from protocol.errors import BadMac, Malformed
from protocol.keys import constant_equal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Tuple

    Aes = Callable[[bytes, Optional[bytes]], Any]

_PROVISIONED = b"\x01"  # the key of SCS_11 to SCS_14: SCBK; 0 would be SCBK-D
CHALLENGE = b"\x03\x11" + _PROVISIONED
PROOF = b"\x03\x13" + _PROVISIONED


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes([x ^ y for x, y in zip(a, b)])  # noqa: B905  (not in MicroPython)


def _padded(data: bytes) -> bytes:
    return data + b"\x80" + bytes(~len(data) & 15)


class Session:
    """One session: born with the challenge `rnd_a` (8 bytes), usable once `check` has returned."""

    def __init__(self, aes: "Aes", scbk: bytes, rnd_a: bytes) -> None:
        base = aes(scbk, None)
        seed = rnd_a[:6] + bytes(8)
        self._aes = aes
        self.rnd_a = rnd_a
        self.s_enc: bytes = base.encrypt(b"\x01\x82" + seed)
        self.s_mac1: bytes = base.encrypt(b"\x01\x01" + seed)
        self._last = aes(base.encrypt(b"\x01\x02" + seed), None)
        self.icv = b""  # what the peer's last message ended with

    def answer(self, block: bytes, body: bytes) -> bytes:
        """The panel's cryptogram for a reader that has proved in osdp_CCRYPT that it holds our key."""
        if block[:2] != b"\x03\x12" or len(block) != 3 or len(body) != 33:
            raise Malformed("osdp_block")
        if block[2:] != _PROVISIONED:
            raise BadMac("osdp_default_key")
        rnd_b = body[9:17]
        cipher = self._aes(self.s_enc, None)
        if not constant_equal(cipher.encrypt(self.rnd_a + rnd_b), body[17:]):
            raise BadMac("osdp_cryptogram")
        proof: bytes = cipher.encrypt(rnd_b + self.rnd_a)
        self.icv = self._last.encrypt(self._aes(self.s_mac1, None).encrypt(proof))
        return proof

    def check(self, block: bytes, body: bytes) -> None:
        """osdp_RMAC_I: the reader has accepted our cryptogram, and the chain begins."""
        if block != b"\x03\x14\x01" or not constant_equal(body[1:], self.icv):
            raise BadMac("osdp_cryptogram")

    def cover(self, body: bytes) -> "Tuple[bytes, bytes]":
        """Security block and body of a command; its data, if it has any, encrypted."""
        if len(body) == 1:
            return b"\x02\x15", body
        return b"\x02\x17", body[:1] + self._cipher().encrypt(_padded(body[1:]))

    def sign(self, wire: bytes) -> bytes:
        """The four bytes behind `wire`, which the chain goes on from."""
        self.icv = self._mac(wire)
        return self.icv[:4]

    def open(self, frame: bytes, at: int) -> bytes:
        """Code and data of a reply whose body begins at `at`. Data must be encrypted, but for osdp_NAK's."""
        kind = frame[6] if at == 7 else 0
        end = len(frame) - 4
        if kind not in (0x16, 0x18) or end <= at or (kind == 0x18 and (end - at) & 15 != 1):
            raise Malformed("osdp_block")
        mac = self._mac(frame[:end])
        if not constant_equal(mac[:4], frame[end:]):
            raise BadMac("osdp_mac")
        body, data = frame[at : at + 1], frame[at + 1 : end]
        if kind == 0x18:
            data = data and self._cipher().decrypt(data).rstrip(b"\x00")
            if data[-1:] != b"\x80":
                raise Malformed("osdp_data")
            data = data[:-1]
        elif data and body != b"\x41":
            raise Malformed("osdp_block")
        self.icv = mac
        return body + data

    def _mac(self, data: bytes) -> bytes:
        if len(data) & 15:
            data = _padded(data)
        icv = self.icv
        if len(data) > 16:
            icv = self._aes(self.s_mac1, icv).encrypt(data[:-16])[-16:]
        mac: bytes = self._last.encrypt(_xor(data[-16:], icv))
        return mac

    def _cipher(self) -> "Any":
        return self._aes(self.s_enc, _xor(self.icv, b"\xff" * 16))
