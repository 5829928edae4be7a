"""What the roles of a board's Bluetooth stack share: its connections, and the program's handler of events."""

import asyncio
import itertools
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from bumble import hci

from hil.log import Log
from hil.radio import ble_errors as errors
from hil.radio import ble_ops as ops

log = Log(__name__)

ANSWER_TIMEOUT = 5.0  # seconds for a firmware handler; an ATT client gives up after 30
MAX_UNSEEN = 32  # advertisements the program has not seen yet; the controller drops more
MAX_STEP = 16  # events in one frame of the board link
MAX_REQUEST = 0xFFFF
TURNS = 3  # of the event loop, in which a coroutine goes on and sends
# Packets that wait for the controller, in 12 blocks of 256 bytes and 24 of 320: CONFIG_BT_NIMBLE_MSYS_1 and _2 of ESP-IDF
HOST_BUFFERS = 36
NO_CONNECTION = 0xFFFF  # BLE_HS_CONN_HANDLE_NONE

PUBLIC, RANDOM, RPA, NRPA = range(4)  # MicroPython's addr_mode

Interrupt = Callable[[int, bytes], None]


class BleHost:
    """``tell`` raises an event, ``ask`` also waits for what the handler returns.

    As with NimBLE's host task, handlers run in the order of these calls, those of one step of the stack without the program
    between them, and what waits for a handler's answer goes on before what the program does next.
    """

    def __init__(self, device: Any, name: str, interrupt: Interrupt) -> None:
        self.device = device
        self.name = name
        self.addr_mode = PUBLIC
        self._irq = interrupt
        self._step: list[tuple[int, bytes]] = []
        self._requests = itertools.count(1)
        self._answers: dict[int, asyncio.Future[ops.Answer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def silence(self) -> None:
        """No more events: the stack is going down."""
        self._irq = _no_interrupt

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        for future in self._answers.values():
            future.cancel()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def tell(self, event: int, pattern: str, *fields: ops.Field) -> None:
        self._raise(event, ops.encode_event(0, pattern, *fields))

    def tell_if_seen(self, event: int, pattern: str, *fields: ops.Field) -> None:
        """Raise an event that may be lost if the program is behind: an advertisement."""
        if len(self._answers) < MAX_UNSEEN:
            request, future = self._request()
            future.add_done_callback(lambda _: self._answers.pop(request, None))
            self._raise(event, ops.encode_event(request, pattern, *fields))

    async def ask(self, event: int, pattern: str, *fields: ops.Field) -> ops.Answer:
        """What the handler returned. TimeoutError if it did not return in time."""
        request, future = self._request()
        self._raise(event, ops.encode_event(request, pattern, *fields))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await future
        except TimeoutError:
            log.warning("firmware_ignores_bluetooth", board=self.name, irq=event)
            raise
        finally:
            del self._answers[request]

    def _raise(self, event: int, payload: bytes) -> None:
        if not self._step:
            asyncio.get_running_loop().call_soon(self.flush)
        self._step.append((event, payload))
        if len(self._step) >= MAX_STEP:
            self.flush()

    def flush(self) -> None:
        """Send the events of this step; before the answer to an operation they are of."""
        step, self._step = self._step, []
        if len(step) == 1:
            self._irq(*step[0])
        elif step:
            self._irq(ops.IRQ_SEVERAL, ops.encode_several(step))

    def _request(self) -> "tuple[int, asyncio.Future[ops.Answer]]":
        request = next(self._requests) % MAX_REQUEST + 1
        while request in self._answers:
            request = next(self._requests) % MAX_REQUEST + 1
        future: asyncio.Future[ops.Answer] = asyncio.get_running_loop().create_future()
        self._answers[request] = future
        return request, future

    async def answer(self, payload: bytes) -> None:
        request, value = ops.decode_answer(payload)
        future = self._answers.get(request)
        if future is not None and not future.done():
            future.set_result(value)
            await turns()

    def connection(self, number: int) -> Any:
        """Bumble's connection; OSError(ENOTCONN) if there is none."""
        connection = self.device.connections.get(number + 1)
        if connection is None:
            raise errors.host_error(errors.ENOTCONN, "no such connection")
        return connection

    def is_open(self, connection: Any) -> bool:
        return self.device.connections.get(connection.handle) is connection

    @property
    def has_room(self) -> bool:
        """Whether there is memory for another packet, on any connection."""
        queue = self.device.host.le_acl_packet_queue
        return bool(queue.pending < queue.max_in_flight + HOST_BUFFERS)

    def require_room(self) -> None:
        """Raises OSError(ENOMEM): a program that sends faster than the radio has to wait."""
        if not self.has_room:
            raise errors.host_error(errors.ENOMEM, "the radio has not sent what it was given")

    @property
    def own_address_type(self) -> int:
        return int(hci.OwnAddressType.PUBLIC if self.addr_mode == PUBLIC else hci.OwnAddressType.RANDOM)


async def turns(times: int = 1) -> None:
    """Let coroutines that can go on do so."""
    for _ in range(times * TURNS):
        await asyncio.sleep(0)


def number_of(connection: Any) -> int:
    """NimBLE counts connections from 0, Bumble from 1."""
    return int(connection.handle) - 1


def peer_of(connection: Any) -> tuple[int, bytes]:
    """(address type, address big endian), the identity if it is known."""
    address = connection.peer_address
    return int(address.address_type) & 1, bytes(address)[::-1]


def unpack(pattern: str, payload: bytes) -> tuple[Any, ...]:
    """Fields of an operation and the rest of it."""
    return *struct.unpack_from("<" + pattern, payload), payload[struct.calcsize("<" + pattern) :]


def _no_interrupt(_op: int, _payload: bytes) -> None:
    """For a stack that is being shut down."""
