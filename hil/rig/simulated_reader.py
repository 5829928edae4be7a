"""The driver for the readers of a simulated board: Wiegand, OSDP, a matrix keypad, or none."""

import asyncio
from collections.abc import Awaitable, Callable

from hil.board.board import Board
from hil.board.readers import parity_framed
from hil.board.signals import WaitTimeout
from hil.osdp_reader import Reader, Terminal
from hil.rig.capabilities import Unwired
from hil.rig.protocols import ReaderProtocol
from hil.rig.wiring import no_card, no_keypad
from hil.stack.event_log import RETRY_S
from protocol.keys import osdp_key

SECURE_S = 15.0  # for the secure channel, which the panel opens
BITS, FACILITY_BITS = 26, 8
HOLD_S = 0.08  # of a key, and before the next: an unhurried finger


class WiredReader:
    """ReaderProtocol: a Wiegand reader; keys go to the matrix keypad if there is one, else to the reader's."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def install(self, root_key: bytes) -> None:
        """It has no key: its wires trust whoever touches them."""

    def remove(self) -> None:
        """It is part of the board."""

    async def card(self, facility: int, number: int) -> None:
        if why := no_card(self._board.name, self._board.description):
            raise Unwired(why)
        await self._board.wiegand.card(facility, number)

    async def key(self, keys: str) -> None:
        tap = self._tap()
        for name in keys:
            await tap(name, HOLD_S)

    def _tap(self) -> Callable[[str, float], Awaitable[None]]:
        about = self._board.description
        if about.keypad is not None:
            return self._board.keypad.tap
        if about.wiegand is not None:
            return self._pressed
        raise Unwired(no_keypad(self._board.name, about))

    async def _pressed(self, name: str, hold_s: float) -> None:
        """A Wiegand keypad tells of a key once, however long it is held."""
        await self._board.wiegand.key(name)
        await asyncio.sleep(hold_s)


class OsdpReader:
    """ReaderProtocol: libosdp's reader at a serial line of the board, over Secure Channel."""

    def __init__(self, board: Board, line: int) -> None:
        self._board = board
        self._line = line
        self._reader: Reader | None = None

    def install(self, root_key: bytes) -> None:
        terminal = Terminal(self._board.uarts[self._line].open_pty())
        self._reader = Reader(terminal, osdp_key(root_key))
        self._reader.start()

    def remove(self) -> None:
        if self._reader is not None:
            self._reader.stop()

    async def card(self, facility: int, number: int) -> None:
        framed = parity_framed(facility, FACILITY_BITS, number, BITS)
        padded = framed.ljust((BITS + 7) // 8 * 8, "0")
        (await self._secured()).present(BITS, int(padded, 2).to_bytes(len(padded) // 8, "big"))

    async def key(self, keys: str) -> None:
        (await self._secured()).type(keys)

    async def _secured(self) -> Reader:
        if self._reader is None:
            raise Unwired(f"the reader of {self._board.name} has no key yet: provision the board first")
        try:
            async with asyncio.timeout(SECURE_S):
                while not self._reader.secure:  # noqa: ASYNC110 - libosdp runs in a thread
                    await asyncio.sleep(RETRY_S / 10)
        except TimeoutError:
            raise WaitTimeout(
                f"no secure channel to the reader of {self._board.name} in {SECURE_S:g} s"
            ) from None
        return self._reader


def reader(board: Board) -> ReaderProtocol:
    """What the board's description says is at the door."""
    for line in board.description.uart:
        if line.kind == "osdp":
            return OsdpReader(board, line.number)
    return WiredReader(board)
