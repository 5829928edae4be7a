"""The firmware of a board at a real reader: libosdp at the pseudo-terminal of the board's RS-485 line."""

import asyncio
import contextlib
import json
import os
import pty
import re
import textwrap
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hil.board.board import Board
from hil.board.description import load_description
from hil.osdp_reader import BUZZER, GREEN, LED, RED, SCBK, SCBK_D, Reader, Terminal
from hil.stack import station
from protocol.osdp import crc16
from tests.device import rig
from tests.device.on_vm import ROOT

DEADLINE = 20.0
MAIN = """
import asyncio, gc, machine
from device.osdp_reader import build

class Heard:
    def card(self, bits, raw):
        print("card", bits, raw.hex())
        reader.show(bits == 26)
    def key(self, digit):
        print("key", digit)
    def state(self, online):
        print("online" if online else "offline")
    def tamper(self, active):
        gc.collect()
        print("tamper", active, gc.mem_alloc())

def count(reason):
    print("count", reason)

from device import pinmap
pins = pinmap.parse('{pins}')
reader = build(pins, bytes.fromhex("{scbk}"), Heard(), count)
print("starting")
asyncio.run(reader.run())
"""


@contextlib.asynccontextmanager
async def panel(folder: Path, baud: int = 9600, de: int | None = 4) -> AsyncIterator[Board]:
    """A board that runs the panel only, and whose line has nobody at its end."""
    text = (ROOT / "hil" / "boards" / "osdp_door.toml").read_text().replace("baud = 9600", f"baud = {baud}")
    path = folder / "door.toml"
    path.write_text(text if de else text.replace("de = 4", ""))
    line = {"uart": 1, "tx": 17, "rx": 16, "baud": baud, "address": 1} | ({"de": de} if de else {})
    source = textwrap.dedent(MAIN).replace("{pins}", json.dumps({"osdp": line})).replace("{scbk}", SCBK.hex())
    async with rig.board(folder, description=load_description(path)) as board:
        code = f"with open('/main.py', 'w') as f:\n    f.write({source!r})"
        await asyncio.to_thread(station.execute, board.console.path, code)
        board.console.clear()
        await board.reset()
        yield board


@contextlib.contextmanager
def reader_at(path: str, scbk: bytes | None = SCBK) -> Iterator[Reader]:
    reader = Reader(Terminal(path), scbk)
    reader.start()
    try:
        yield reader
    finally:
        reader.stop()


class Middle:
    """A man in the middle: what the board sends goes through ``down``, what the reader sends through ``up``."""

    def __init__(self, board: Board) -> None:
        self.down: Callable[[bytes], bytes] = bytes
        self.up: Callable[[bytes], bytes] = bytes
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._say = board.uarts[1].attach(lambda data: self._pass(self.down(data), self._to_reader))
        asyncio.get_running_loop().add_reader(self._master, self._from_reader)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _pass(self, data: bytes, on: Callable[[bytes], object]) -> None:
        if data:
            on(data)

    def _to_reader(self, data: bytes) -> None:
        os.write(self._master, data)

    def _from_reader(self) -> None:
        self._pass(self.up(os.read(self._master, 4096)), self._say)


async def shown(reader: Reader, kind: int, key: str, value: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while value not in [command[key] for command in reader.shown(kind)]:  # noqa: ASYNC110  (another thread)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("baud", "de"), [(9600, 4), (115200, 4), (38400, None)], ids=["9600_de", "115200_de", "38400_auto"]
)
async def test_a_reader_comes_up_in_secure_channel_and_serves_a_person(
    tmp_path: Path, baud: int, de: int | None
) -> None:
    async with panel(tmp_path, baud, de) as board:
        console = board.console
        with reader_at(board.uarts[1].open_pty()) as reader:
            await console.wait_for("online", DEADLINE)
            assert reader.secure
            assert board.uarts[1].baud.value == baud
            reader.present(26, bytes.fromhex("0606c040"))
            await console.wait_for("card 26 0606c040", DEADLINE)
            await shown(reader, LED, "on_color", GREEN)
            await shown(reader, BUZZER, "rep_count", 1)
            reader.present(34, bytes.fromhex("0606c04080"))
            await console.wait_for("card 34 0606c04080", DEADLINE)
            await shown(reader, BUZZER, "rep_count", 3)
            assert reader.shown(LED)[-1]["on_color"] == RED
            reader.type("1*9#")
            await console.wait_for(r"key 1\n\r?key \*\n\r?key 9\n\r?key #", DEADLINE)
            reader.tamper(True)
            before = await console.wait_for(r"tamper True (\d+)", DEADLINE)
            await asyncio.sleep(2)  # forty polls
            reader.tamper(False)
            after = await console.wait_for(r"tamper False (\d+)", DEADLINE)
            assert int(after[1]) - int(before[1]) < 100
        assert "offline" not in console.text
        assert "count" not in console.text


async def test_a_reader_that_loses_power_is_offline_soon_and_comes_back(tmp_path: Path) -> None:
    async with panel(tmp_path) as board:
        path = board.uarts[1].open_pty()
        with reader_at(path):
            await board.console.wait_for("online", DEADLINE)
        await board.console.wait_for("offline", 2.0)
        board.console.clear()
        with reader_at(path) as reader:
            await board.console.wait_for(r"online", DEADLINE)
            reader.present(26, bytes(4))
            await board.console.wait_for("card 26 00000000", DEADLINE)


@pytest.mark.parametrize("scbk", [SCBK[::-1], SCBK_D, None], ids=["other", "scbk_d", "new"])
async def test_a_reader_without_our_key_is_never_online(tmp_path: Path, scbk: bytes | None) -> None:
    async with panel(tmp_path) as board:
        with reader_at(board.uarts[1].open_pty(), scbk) as reader:
            reader.present(26, bytes(4))
            await board.console.wait_for("(count osdp_cryptogram\r?\n){4}", DEADLINE)
            assert not reader.secure
        assert "online" not in board.console.text
        assert "card" not in board.console.text


def recheck(data: bytes) -> bytes:
    return data[:-2] + crc16(data[:-2]).to_bytes(2, "little")


def frame(data: bytes) -> bytes:
    return data[data.index(0x53) :]


def flip(data: bytes, past: list[bytes]) -> bytes:
    wire = frame(data)
    return recheck(wire[:9] + bytes((wire[9] ^ 1,)) + wire[10:])


def strip(data: bytes, past: list[bytes]) -> bytes:
    wire = frame(data)
    if not wire[4] & 8:
        return data
    wire = wire[:4] + bytes((wire[4] & ~8,)) + wire[5 + wire[5] :]
    return recheck(wire[:2] + bytes((len(wire),)) + wire[3:])


def plain_card(data: bytes, past: list[bytes]) -> bytes:
    wire = frame(data)
    return recheck(bytes((0x53, wire[1], 16, 0, wire[4] & 7, 0x50, 0, 1, 26, 0)) + bytes(6))


def replay_card(data: bytes, past: list[bytes]) -> bytes:
    cards = [one for one in past if len(one) > 25 and frame(one)[7] == 0x50]
    if not cards:
        return data
    return recheck(frame(cards[0])[:4] + frame(data)[4:5] + frame(cards[0])[5:])


def drop(data: bytes, past: list[bytes]) -> bytes:
    return b""


@pytest.mark.parametrize(
    "attack", [flip, strip, plain_card, replay_card, drop], ids=lambda attack: attack.__name__
)
async def test_a_man_in_the_middle_makes_no_card_and_is_noticed(
    tmp_path: Path, attack: Callable[[bytes, list[bytes]], bytes]
) -> None:
    async with panel(tmp_path) as board:
        middle, past = Middle(board), []
        middle.up = lambda data: past.append(data) or data
        try:
            with reader_at(middle.path) as reader:
                await board.console.wait_for("online", DEADLINE)
                reader.present(26, bytes.fromhex("0606c040"))
                await board.console.wait_for("card 26 0606c040", DEADLINE)
                middle.up = lambda data: attack(data, past)
                await board.console.wait_for("offline", DEADLINE)
                reader.present(26, bytes.fromhex("aaaaaa80"))
                await board.console.wait_for("(count osdp_\\w+\r?\n){3}", DEADLINE)
                middle.up = bytes
                await board.console.wait_for("offline(.*\n)*online", DEADLINE)
        finally:
            middle.close()
        assert re.findall(r"card \d+ (\w+)", board.console.text) in (["0606c040"], ["0606c040", "aaaaaa80"])
