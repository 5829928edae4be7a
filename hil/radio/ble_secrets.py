"""Bonds of a board: NimBLE's store, which MicroPython leaves to the program (_IRQ_GET_SECRET and _IRQ_SET_SECRET).

A key is an address as NimBLE has it: its type, and its six bytes little endian. The value is opaque to the program.
"""

import struct
from typing import NamedTuple, Self

from bumble import hci

from hil.radio import ble_ops as ops
from hil.radio.ble_host import BleHost

OUR_SEC, PEER_SEC = 1, 2  # BLE_STORE_OBJ_TYPE_OUR_SEC and PEER_SEC
OUR_IRK = 10
IRK_KEY = b"irk"
MAX_BONDS = 64  # that a program may name when it is asked for all
_VALUE = struct.Struct("<7sBH8s16s16s16sB")
_AUTHENTICATED, _SECURE, _HAS_LTK, _HAS_IRK, _HAS_CSRK = 1, 2, 4, 8, 16


class Bond(NamedTuple):
    """One side's keys of a bond, as struct ble_store_value_sec has them."""

    peer: bytes
    key_size: int
    ediv: int
    rand: bytes
    ltk: bytes
    irk: bytes
    csrk: bytes
    authenticated: bool
    secure: bool

    def encode(self) -> bytes:
        flags = _AUTHENTICATED * self.authenticated | _SECURE * self.secure
        for key, flag in ((self.ltk, _HAS_LTK), (self.irk, _HAS_IRK), (self.csrk, _HAS_CSRK)):
            flags |= flag if key else 0
        return _VALUE.pack(
            self.peer, self.key_size, self.ediv, self.rand, self.ltk, self.irk, self.csrk, flags
        )

    @classmethod
    def decode(cls, value: bytes) -> Self | None:
        """None if it is not what was stored."""
        if len(value) != _VALUE.size:
            return None
        peer, key_size, ediv, rand, ltk, irk, csrk, flags = _VALUE.unpack(value)
        return cls(
            peer,
            key_size,
            ediv,
            rand,
            ltk if flags & _HAS_LTK else b"",
            irk if flags & _HAS_IRK else b"",
            csrk if flags & _HAS_CSRK else b"",
            bool(flags & _AUTHENTICATED),
            bool(flags & _SECURE),
        )

    @property
    def address(self) -> hci.Address:
        return hci.Address(self.peer[1:], hci.Address.RANDOM_DEVICE_ADDRESS if self.peer[0] & 1 else 0)


def key_of(address: hci.Address) -> bytes:
    return bytes((int(address.address_type) & 1,)) + bytes(address)


class Secrets:
    """Asks the program's handler; a program without one, or one that is stuck, has no secrets."""

    def __init__(self, host: BleHost) -> None:
        self._host = host

    async def bond(self, kind: int, peer: hci.Address) -> Bond | None:
        value = await self._get(kind, 0, key_of(peer))
        return None if value is None else Bond.decode(value)

    async def bonds(self) -> list[Bond]:
        """All that the program has of its peers."""
        found: list[Bond] = []
        while len(found) < MAX_BONDS:
            value = await self._get(PEER_SEC, len(found), None)
            bond = None if value is None else Bond.decode(value)
            if bond is None:
                break
            found.append(bond)
        return found

    async def irk(self, fresh: bytes) -> bytes | None:
        """The identity resolving key of this board: the stored one, else ``fresh``; None if it cannot be stored."""
        stored = await self._get(OUR_IRK, 0, IRK_KEY)
        if stored is not None and len(stored) == len(fresh):
            return stored
        return fresh if await self._set(OUR_IRK, IRK_KEY, fresh) else None

    async def keep(self, ours: Bond, theirs: Bond) -> None:
        await self._set(OUR_SEC, ours.peer, ours.encode())
        await self._set(PEER_SEC, theirs.peer, theirs.encode())

    async def forget(self, peer: hci.Address) -> None:
        for kind in (OUR_SEC, PEER_SEC):
            await self._set(kind, key_of(peer), None)

    async def _get(self, kind: int, index: int, key: bytes | None) -> bytes | None:
        pattern = "BBn" if key is None else "BBv"
        try:
            value = await self._host.ask(ops.IRQ_GET_SECRET, pattern, kind, index, key)
        except TimeoutError:
            return None
        return value if isinstance(value, bytes) else None

    async def _set(self, kind: int, key: bytes, value: bytes | None) -> bool:
        pattern = "Bvn" if value is None else "Bvv"
        try:
            return bool(await self._host.ask(ops.IRQ_SET_SECRET, pattern, kind, key, value))
        except TimeoutError:
            return False
