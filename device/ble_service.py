"""The GATT service of the door: CHALLENGE (read), AUTH (write), RESULT (notify), and its advertising.

A central reads a challenge, writes its proof in fragments, and is notified of the result. A central that is
not done in time, or whose proof fails, is dropped: nobody may hold a connection slot, and every wrong proof
costs a connection. What it writes of a file that it carries goes to `device.carrier`.
"""

import asyncio
import os
import time
from collections import deque

import bluetooth
from micropython import const

from device.token_bucket import TokenBucket
from protocol.carry import CARRY, PIECE
from protocol.errors import ProtocolError
from protocol.fragment import Reassembler, split
from protocol.handshake import DoorSide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from device.carrier import Carrier
    from device.parts import Parts
    from protocol.carry import Load

_SERVICE_UUID = const("6c617463-6877-6f72-6b00-000000000001")
_CHALLENGE_UUID = const("6c617463-6877-6f72-6b00-000000000002")
_AUTH_UUID = const("6c617463-6877-6f72-6b00-000000000003")
_RESULT_UUID = const("6c617463-6877-6f72-6b00-000000000004")

_ADVERTISE_US = const(100_000)
_MTU = const(247)
_MAX_CENTRALS = const(3)
_MAX_QUEUE = const(24)  # fragments that wait
_MAX_WAITING = const(8)  # of one central: its share. What is more is lost, so the message is refused
_IDLE_MS = const(5_000)
_SWEEP_MS = const(500)
_REFRESH_MS = const(4_000)  # younger than the nonce's life by more than a long read takes
_PROOFS_BURST = const(10)  # proofs checked at once, for all centrals; each costs up to ten HMACs
_PROOF_EVERY_MS = const(250)
_NOTIFY_TRIES = const(20)

_IRQ_CENTRAL_CONNECT = const(1)
_IRQ_CENTRAL_DISCONNECT = const(2)
_IRQ_GATTS_WRITE = const(3)
_IRQ_GATTS_READ_REQUEST = const(4)
_IRQ_MTU_EXCHANGED = const(21)
_COMPANY = const(b"\xff\xff")  # "no company", Bluetooth assigned numbers


class Central:
    """One connection slot."""

    def __init__(self) -> None:
        self.handle = -1
        self.mtu = 23
        self.active_ms: "Any" = 0  # ticks
        self.challenge_ms: "Any" = 0  # ticks
        self.challenge = b""
        self.fresh = False
        self.side: "Optional[DoorSide]" = None
        self.fragments = Reassembler()
        self.waiting = 0
        self.load: "Optional[Load]" = None

    def progress(self) -> None:
        """It did something that nobody can do for ever."""
        self.active_ms = time.ticks_ms()


def _queue() -> "Any":
    """Full, it raises instead of forgetting the oldest."""
    return deque((), _MAX_QUEUE, 1)  # type: ignore[call-overload]  # MicroPython takes flags


def advertisement() -> bytes:
    """Flags (general discoverable, no BR/EDR) and the service: what a phone filters for."""
    return b"\x02\x01\x06\x11\x07" + bytes(bluetooth.UUID(_SERVICE_UUID))  # type: ignore[call-overload]  # a UUID is a buffer


def scan_response(door_id: bytes) -> bytes:
    """Name and door id: how a phone tells its door from the neighbour's."""
    name = b"LW-" + door_id.hex()[:6].encode()
    return bytes((len(name) + 1, 9)) + name + bytes((11, 0xFF)) + _COMPANY + door_id


class BleService:
    """`authority` decides and acts; this only carries."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._identity = parts.identity
        self._authority = parts.authority
        self._counters = parts.counters
        self._carrier: "Optional[Carrier]" = None
        self._ble: "Any" = bluetooth.BLE()  # the stubs take handles for memoryviews
        self._flag = asyncio.ThreadSafeFlag()
        self._centrals = [Central() for _ in range(_MAX_CENTRALS)]
        self._writes: "Any" = _queue()
        self._bucket = TokenBucket(_PROOFS_BURST, _PROOF_EVERY_MS)
        self._advertising = False
        self._sweeper: "Any" = None

    def wake(self) -> None:
        """Make the task look at everything once."""
        self._flag.set()

    async def run(self, beat: "Callable[[], None]") -> None:
        """Serve for ever; calls `beat` before each wait."""
        self._start()
        try:
            while True:
                self._advertise()
                self._watch_centrals()
                while self._writes:
                    central, handle, fragment = self._writes.popleft()
                    if central.handle == handle:
                        central.waiting -= 1
                        await self._take(central, fragment)
                beat()
                await self._flag.wait()
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()
                self._sweeper = None
            self._ble.active(False)

    def _start(self) -> None:
        ble = self._ble
        ble.active(True)
        ble.config(mtu=_MTU, gap_name=b"LW-" + self._identity.door_id.hex()[:6].encode())
        ble.irq(self._irq)
        service = (
            bluetooth.UUID(_SERVICE_UUID),
            (
                (bluetooth.UUID(_CHALLENGE_UUID), bluetooth.FLAG_READ),
                (bluetooth.UUID(_AUTH_UUID), bluetooth.FLAG_WRITE | bluetooth.FLAG_WRITE_NO_RESPONSE),
                (bluetooth.UUID(_RESULT_UUID), bluetooth.FLAG_NOTIFY),
            ),
        )
        ((self._challenge_handle, self._auth_handle, self._result_handle),) = ble.gatts_register_services(
            (service,)
        )
        ble.gatts_set_buffer(self._auth_handle, _MTU)
        self._writes = _queue()
        self._advertising = False
        for central in self._centrals:
            central.handle = -1

    def _advertise(self) -> None:
        """The controller stops advertising when a central connects; go on while a slot is free."""
        free = self._central(-1) is not None
        if free and not self._advertising:
            self._ble.gap_advertise(
                _ADVERTISE_US,
                adv_data=advertisement(),
                resp_data=scan_response(self._identity.door_id),
                connectable=True,
            )
            self._advertising = True

    def _central(self, handle: int) -> "Optional[Central]":
        for central in self._centrals:
            if central.handle == handle:
                return central
        return None

    def _irq(self, event: int, data: "Any") -> "Optional[int]":
        """Called by the Bluetooth stack; short, and raises nothing."""
        if event == _IRQ_GATTS_WRITE:
            self._written(data[0], data[1])
        elif event == _IRQ_GATTS_READ_REQUEST:
            central = self._central(data[0])
            if central is not None and data[1] == self._challenge_handle:
                self._offer(central)
        elif event == _IRQ_CENTRAL_CONNECT:
            self._connected(data[0])
        elif event == _IRQ_MTU_EXCHANGED:
            central = self._central(data[0])
            if central is not None:
                central.mtu = data[1]
        elif event == _IRQ_CENTRAL_DISCONNECT:
            central = self._central(data[0])
            if central is not None:
                central.handle = -1
            self._advertising = False
            self._flag.set()
        return None

    def _connected(self, handle: int) -> None:
        self._advertising = False
        central = self._central(-1)
        if central is None:
            self._counters.up("ble_no_slot")
            self._drop(handle)
            return
        central.handle = handle
        central.mtu = 23
        central.progress()
        central.fresh = False
        central.waiting = 0
        central.load = None
        central.side = DoorSide(self._identity.door_id, self._identity.boot)
        central.fragments.reset()
        self._offer(central)
        self._flag.set()

    def _written(self, handle: int, attribute: int) -> None:
        central = self._central(handle)
        if central is None or attribute != self._auth_handle:
            return
        if central.waiting >= _MAX_WAITING or len(self._writes) >= _MAX_QUEUE:
            self._counters.up("ble_queue_full")
            return
        central.waiting += 1
        # Read here: the next write of any central overwrites the value.
        self._writes.append((central, handle, self._ble.gatts_read(attribute)))
        self._flag.set()

    def _offer(self, central: Central) -> None:
        """Put this central's challenge where its read will find it; a new one if the last was used or is
        old.
        """
        now = time.ticks_ms()
        if not central.fresh or time.ticks_diff(now, central.challenge_ms) > _REFRESH_MS:
            side = central.side
            if side is None:
                return
            clock, revocation = self._authority.challenge_facts()
            central.challenge = side.challenge(os.urandom(16), self._authority.uptime_ms(), clock, revocation)
            central.challenge_ms = now
            central.fresh = True
        self._ble.gatts_write(self._challenge_handle, central.challenge)

    async def _take(self, central: Central, fragment: bytes) -> None:
        try:
            message = central.fragments.push(fragment)
            if message is None:
                return
            if message[0] in (CARRY, PIECE):
                if self._carrier is None:
                    from device.carrier import Carrier

                    self._carrier = Carrier(self._parts, self._notify)
                answer = self._carrier.take(central, message)
                if answer is not None:
                    await self._notify(central, answer)
                return
            if not self._bucket.take(self._authority.uptime_ms()):
                self._counters.up("ble_rate")
                self._drop(central.handle)
                return
            answer = self._answer(central, message)
        except ProtocolError as e:
            self._counters.up("ble_" + e.reason)
            self._drop(central.handle)
            return
        except MemoryError:
            # A task that ended here would hang up on the other centrals too.
            self._counters.up("ble_memory")
            self._drop(central.handle)
            return
        await self._notify(central, answer)

    def _answer(self, central: Central, message: bytes) -> bytes:
        side = central.side
        assert side is not None
        central.fresh = False
        central.progress()
        auth = side.receive_auth(message, self._authority.uptime_ms(), self._identity.credential_root)
        status, sequence = self._authority.bluetooth(auth)
        clock, revocation = self._authority.challenge_facts()
        return side.result(auth, status, sequence, revocation, clock[0] if clock else 0)

    async def _notify(self, central: Central, message: bytes) -> None:
        handle = central.handle
        for fragment in split(message, central.mtu):
            for _ in range(_NOTIFY_TRIES):
                if central.handle != handle:
                    return
                try:
                    self._ble.gatts_notify(handle, self._result_handle, fragment)
                    break
                except OSError:
                    # Out of buffers: the link drains them within a connection interval or two.
                    await asyncio.sleep_ms(20)
            else:
                self._counters.up("ble_notify")
                self._drop(handle)
                return

    def _drop(self, handle: int) -> None:
        try:
            self._ble.gap_disconnect(handle)
        except OSError:
            pass  # gone already

    def _connections(self) -> int:
        return sum(central.handle >= 0 for central in self._centrals)

    def _watch_centrals(self) -> None:
        """Sweep while somebody is connected; an idle door does not wake for it."""
        if self._connections() and (self._sweeper is None or self._sweeper.done()):
            self._sweeper = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        """Drop centrals that idle, until nobody is connected."""
        while self._connections():
            await asyncio.sleep_ms(_SWEEP_MS)
            now = time.ticks_ms()
            for central in self._centrals:
                if central.handle >= 0 and time.ticks_diff(now, central.active_ms) > _IDLE_MS:
                    self._counters.up("ble_idle")
                    central.active_ms = now
                    self._drop(central.handle)
