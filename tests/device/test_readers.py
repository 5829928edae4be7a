"""Wiegand readers and matrix keypads on a real board: pulses on wires and contacts between them, through interrupts."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.board.description import builtin
from protocol.wiegand import card
from tests.device.rig import Rig, rig

WAIT = 10.0
TOUCH_S = 0.08
DESCRIPTION = builtin("reader_door")
# Prints what is read, and shows what the bench asks it to.
READERS = """
    import asyncio, gc
    gc.threshold(8192)  # as the firmware's main
    from device import pinmap
    from device.keypad_matrix import KeypadMatrix
    from device.wiegand_reader import WiegandReader
    from protocol import wiegand

    pins = pinmap.load()
    reader = WiegandReader(
        pins,
        wiegand.formats(),
        lambda number: print("card", number.hex()),
        lambda name: print("wiegand key", name),
        lambda reason: print("refused", reason),
    )
    keypad = KeypadMatrix(pins, lambda name: print("key", name))

    async def readers():
        asyncio.create_task(keypad.run())
        asyncio.create_task(reader.run())
        await asyncio.sleep_ms(1)  # the two begin to listen
        print("readers run")
"""
ALONE = f"""{READERS}
    async def main():
        await readers()
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def wired(folder: Path) -> AsyncIterator[Rig]:
    async with rig(folder, description=DESCRIPTION) as one:
        await one.execute(
            f"with open('/pins.json', 'w') as f:\n    f.write({json.dumps(DESCRIPTION.pin_map)!r})"
        )
        yield one


@pytest.fixture
async def readers(tmp_path: Path) -> AsyncIterator[Rig]:
    """Both readers, and nothing else."""
    async with wired(tmp_path) as one:
        one.site.port = 1
        await one.provision(ALONE)
        await one.board.console.wait_for("readers run", WAIT)
        yield one


async def said(one: Rig, pattern: str) -> str:
    """What the board printed, once it matches; and nothing of it for the next time."""
    await one.board.console.wait_for(pattern, WAIT)
    text = one.board.console.text
    one.board.console.clear()
    return text


async def heard(one: Rig) -> list[str]:
    """All that was read until a last card, which is not told."""
    await one.board.wiegand.card(255, 65535)
    text = await said(one, f"card {card(26, 65535, 255).hex()}\n")
    lines = [line for line in text.splitlines() if line.startswith(("card", "key", "wiegand", "refused"))]
    return lines[:-1]


@pytest.mark.parametrize(
    ("facility", "width", "number", "bits"),
    [(12, 8, 3456, 26), (0, 8, 0, 26), (54321, 16, 12345, 34), (0, 0, (1 << 35) - 1, 37)],
)
async def test_a_card_is_read(readers: Rig, facility: int, width: int, number: int, bits: int) -> None:
    readers.board.console.clear()
    await readers.board.wiegand.card(facility, number, bits=bits, width=width)
    expected = card(bits, number, facility if width else -1)
    assert await heard(readers) == [f"card {expected.hex()}"]


async def test_cards_one_after_the_other_stay_apart(readers: Rig) -> None:
    readers.board.console.clear()
    for number in range(1, 6):
        await readers.board.wiegand.card(1, number)
    assert await heard(readers) == [f"card {card(26, number, 1).hex()}" for number in range(1, 6)]


@pytest.mark.parametrize(
    ("burst", "reason"),
    [
        ("1" + "0" * 25, "card_parity"),  # D1's wire lost all but one
        ("0" * 25, "card_bits"),
        ("0" * 32, "card_bits"),
        ("1", "card_bits"),
        ("1100", "card_key"),
        ("01110111", "card_key"),
        ("01" * 40, "card_storm"),
    ],
)
async def test_a_damaged_burst_is_refused_and_the_next_card_is_read(
    readers: Rig, burst: str, reason: str
) -> None:
    readers.board.console.clear()
    await readers.board.wiegand.send(burst)
    await said(readers, f"refused {reason}")
    if reason == "card_storm":
        await asyncio.sleep(1.1)  # it does not listen meanwhile, and nothing tells when it does again
    assert await heard(readers) == []


@pytest.mark.parametrize("line", ["d0", "d1"])
async def test_a_wire_that_is_cut_gives_no_card(readers: Rig, line: str) -> None:
    readers.board.console.clear()
    readers.board.wiegand.cut = {line}
    await readers.board.wiegand.card(12, 3456)
    await said(readers, "refused card_bits")
    readers.board.wiegand.cut = set()
    assert await heard(readers) == []


async def test_both_wires_cut_are_silence(readers: Rig) -> None:
    readers.board.console.clear()
    readers.board.wiegand.cut = {"d0", "d1"}
    await readers.board.wiegand.card(12, 3456)
    readers.board.wiegand.cut = set()
    assert await heard(readers) == []


async def test_keys_of_the_reader_come_in_both_lengths(readers: Rig) -> None:
    readers.board.console.clear()
    for name in "0123456789*#":
        await readers.board.wiegand.key(name)
        await readers.board.wiegand.key(name, bits=8)
    assert await heard(readers) == [f"wiegand key {name}" for name in "0123456789*#" for _ in range(2)]


async def test_a_line_that_chatters_does_not_stop_the_keypad(readers: Rig) -> None:
    readers.board.console.clear()
    board, chattering = readers.board, True

    async def chatter() -> None:
        while chattering:
            for level in (0, 1) * 50:
                board.pins.set_input("wiegand_d0", level)
            await asyncio.sleep(0.002)
        board.pins.set_input("wiegand_d0", None)

    task = asyncio.create_task(chatter())
    await said(readers, "refused card_storm")
    for name in "1379":
        await board.keypad.tap(name)
    await said(readers, "key 1(.|\n)*key 3(.|\n)*key 7(.|\n)*key 9")
    chattering = False
    await task
    assert "interrupt lost" not in board.console.text
    await asyncio.sleep(1.1)
    board.console.clear()
    assert await heard(readers) == []


async def test_the_reader_shines_and_sounds_as_it_is_told(readers: Rig) -> None:
    board = readers.board
    board.console.write(b"\x03")
    tell = "from device import pinmap\nfrom device.wiegand_reader import WiegandReader\nimport asyncio\n"
    tell += "reader = WiegandReader(pinmap.load(), {}, None, None, None)\n"
    tell += "async def show(granted):\n    reader.show(granted)\n    await reader._showing\n"
    changes: list[tuple[str, int]] = []
    await readers.execute(tell + "asyncio.run(show(True))")
    assert not board.wiegand.green
    board.pins.listen(lambda name, level, _: changes.append((name, level)))
    await readers.execute(tell + "asyncio.run(show(True))")
    assert changes == [(name, level) for level in (0, 1) for name in ("wiegand_buzzer", "wiegand_led")]
    changes.clear()
    await readers.execute(tell + "asyncio.run(show(False))")
    assert changes == [("wiegand_buzzer", level) for level in (0, 1) * 3]


async def test_each_key_of_the_matrix_is_read_once(readers: Rig) -> None:
    readers.board.console.clear()
    for name in "1234567890*#":
        await readers.board.keypad.tap(name)
    assert await heard(readers) == [f"key {name}" for name in "1234567890*#"]


async def test_a_key_waits_for_a_host_that_is_busy(readers: Rig) -> None:
    """That its processors have other work for longer than a finger stays is nothing that happens to a chip."""
    readers.board.console.clear()
    assert readers.board.pid is not None
    os.kill(readers.board.pid, signal.SIGSTOP)
    tap = asyncio.create_task(readers.board.keypad.tap("5", TOUCH_S))
    await asyncio.sleep(3 * TOUCH_S)
    os.kill(readers.board.pid, signal.SIGCONT)
    await tap
    assert await heard(readers) == ["key 5"]


async def test_a_long_press_is_one_key(readers: Rig) -> None:
    readers.board.console.clear()
    await readers.board.keypad.tap("5", 1.5)
    await readers.board.keypad.tap("5")
    assert await heard(readers) == ["key 5", "key 5"]


@pytest.mark.parametrize(
    ("scans", "keys"),
    [
        (["8", "", "8", "8", "8", "", "8", "", ""], "8"),
        (["8", "", ""], ""),
        (["1", "1", "12", "12", "2", "2", "", ""], "12"),
        (["12", "12", "2", "2", "23", "23", "", ""], ""),
        (["1", "1", "1346", "1346", "13", "13", "", ""], "1"),
        (["5"] * 1000 + ["", ""], "5"),
    ],
)
async def test_what_is_scanned_becomes_keys(readers: Rig, scans: list[str], keys: str) -> None:
    """Contacts that bounce, overlap, and stick, as no finger on a bench can repeat them."""
    readers.board.console.write(b"\x03")
    told = await readers.execute(f"""
        import asyncio
        from device import keypad_matrix, pinmap
        scans = {scans[:10]!r} + {scans[10:11]!r} * {len(scans) - 12} + {scans[-2:] if len(scans) > 12 else []!r}
        class Scripted(keypad_matrix.KeypadMatrix):
            def _scan(self):
                return scans.pop(0)
        async def rest(ms):
            pass
        asyncio.sleep_ms = rest
        asyncio.run(Scripted(pinmap.load(), lambda name: print(name, end=""))._follow())
        print(".", len(scans))
    """)
    assert told.strip() == f"{keys}. 0"


async def test_a_key_before_the_last_is_up_counts(readers: Rig) -> None:
    """As quick fingers type."""
    keypad = readers.board.keypad
    readers.board.console.clear()
    keypad.press("1")
    await said(readers, "key 1")
    keypad.press("2")
    await said(readers, "key 2")
    keypad.release("1")
    keypad.release("2")
    assert await heard(readers) == []


async def test_two_keys_at_once_are_none(readers: Rig) -> None:
    keypad = readers.board.keypad
    readers.board.console.clear()
    keypad.press("1")
    keypad.press("6")
    await asyncio.sleep(0.2)
    keypad.release("1")
    keypad.release("6")
    await asyncio.sleep(0.2)
    await keypad.tap("4")
    assert await heard(readers) == ["key 4"]


async def test_the_ghost_of_three_keys_is_none(readers: Rig) -> None:
    """1, 3 and 4 down join 6's row and column too."""
    keypad = readers.board.keypad
    readers.board.console.clear()
    keypad.press("1")
    await said(readers, "key 1")
    keypad.press("3")
    await said(readers, "key 3")
    keypad.press("4")
    await asyncio.sleep(0.2)
    for name in "134":
        keypad.release(name)
    await asyncio.sleep(0.2)
    await keypad.tap("9")
    assert await heard(readers) == ["key 9"]


async def test_a_key_that_is_down_at_boot_is_one_press(readers: Rig) -> None:
    readers.board.keypad.press("7")
    readers.board.console.clear()
    await readers.board.reset()
    await said(readers, "key 7")
    readers.board.keypad.release("7")
    await readers.board.keypad.tap("2")
    assert await heard(readers) == ["key 2"]


async def test_card_and_keys_at_the_same_time(readers: Rig) -> None:
    readers.board.console.clear()

    async def keys() -> None:
        for name in "2580":
            await readers.board.keypad.tap(name)

    async def cards() -> None:
        for number in range(1, 6):
            await readers.board.wiegand.card(9, number)

    await asyncio.gather(keys(), cards())
    lines = await heard(readers)
    assert [line for line in lines if line.startswith("key")] == [f"key {name}" for name in "2580"]
    assert [line for line in lines if not line.startswith("key")] == [
        f"card {card(26, number, 9).hex()}" for number in range(1, 6)
    ]


async def test_an_idle_keypad_and_reader_let_the_board_sleep(readers: Rig) -> None:
    from tests.hil.board_rig import switches

    pid = readers.board.pid
    assert pid is not None
    await asyncio.sleep(0.3)
    before = switches(pid)
    await asyncio.sleep(1)
    assert switches(pid) - before <= 3
