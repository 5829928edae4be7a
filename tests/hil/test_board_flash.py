"""The flash survives the loss of power at every single write; NVS keeps what was committed."""

import asyncio
from pathlib import Path

import pytest

from hil.board.board import Board
from hil.board.flash import Cut, Where
from tests.hil.board_rig import DEADLINE, powered

# Replaces a record of 300 bytes, all of one digit, by the next; a torn record would mix digits or be short.
REPLACE = """
import os
def read():
    with open("/record") as f:
        return f.read()
if "record" not in os.listdir("/"):
    with open("/record", "w") as f:
        f.write("0" * 300)
    print("made")
else:
    old = read()
    assert len(old) == 300 and old == old[0] * 300, old
    print("found", old[0])
    with open("/record.new", "w") as f:
        f.write(str((int(old[0]) + 1) % 10) * 300)
    os.rename("/record.new", "/record")
    print("replaced", read()[0])
"""


async def life(board: Board) -> str:
    """Power on, until the program printed its last line or the power is gone; returns what was printed."""
    board.console.clear()
    await board.power_on()
    ends = [
        asyncio.ensure_future(board.console.wait_for("replaced|made|Error", DEADLINE)),
        asyncio.ensure_future(board.wait_off(DEADLINE)),
    ]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    assert "Error" not in board.console.text, board.console.text
    return board.console.text


@pytest.mark.parametrize("where", list(Where))
async def test_power_cut_at_every_write_leaves_the_old_or_the_new_record(
    tmp_path: Path, where: Where
) -> None:
    async with powered(tmp_path, REPLACE, on=False) as board:
        assert "made" in await life(board)
        await board.power_cut()
        survived = 0
        for write in range(1, 100):
            board.cut_power_at(Cut(write, where))
            if "replaced" in await life(board):
                break
            assert board.state.value == "off"
            survived += 1
        assert 3 <= survived < 99
        await board.power_cut()
        assert "found" in await life(board)


async def test_cut_can_be_set_on_a_running_board(tmp_path: Path) -> None:
    source = """
    import machine, time
    rex = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    while rex():
        machine.idle()
    with open("/x", "w") as f:
        f.write("x" * 5000)
    print("unharmed")
    """
    async with powered(tmp_path, source) as board:
        board.cut_power_at(Cut(2))
        board.door.press_rex()
        await board.wait_off(DEADLINE)
        assert "unharmed" not in board.console.text


async def test_the_wear_of_every_block_is_counted_and_is_kept(tmp_path: Path) -> None:
    async with powered(tmp_path, REPLACE, on=False) as board:
        assert not any(map(any, board.wear()))
        await life(board)
        await board.power_cut()
        first = board.wear()
        assert len(first) == board.description.mcu.flash_kib // 4
        worn = [block for block, wear in enumerate(first) if any(wear)]
        assert {0, 1} < set(worn)  # the root directory's pair, and the record's block
        assert len(worn) < 10
        await life(board)
        assert all(after >= before for before, after in zip(first, board.wear(), strict=True))
        assert board.wear() != first


@pytest.mark.parametrize("write", [0, 70_000])
async def test_impossible_cut_is_refused(tmp_path: Path, write: int) -> None:
    async with powered(tmp_path, "pass", on=False) as board:
        with pytest.raises(ValueError, match="outside"):
            board.cut_power_at(Cut(write))


async def test_nvs_keeps_what_was_committed_and_only_that(tmp_path: Path) -> None:
    source = """
    import esp32
    nvs = esp32.NVS("door")
    def get():
        buffer = bytearray(8)
        try:
            return nvs.get_i32("boots"), bytes(buffer[: nvs.get_blob("key", buffer)])
        except OSError as e:
            return e.errno
    print("found", get())
    nvs.set_i32("boots", -7)
    nvs.set_blob("key", b"abc")
    nvs.commit()
    nvs.set_i32("boots", 8)
    print("set", get())
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("found -4354", DEADLINE)
        await board.console.wait_for(r"set \(8, b'abc'\)", DEADLINE)
        await board.power_cut()
        await board.power_on()
        await board.console.wait_for(r"found \(-7, b'abc'\)", DEADLINE)
    async with powered(
        tmp_path,
        "import esp32\nn = esp32.NVS('door')\nn.erase_key('boots')\nn.commit()\n"
        "try:\n    n.get_i32('boots')\nexcept OSError as e:\n    print('erased', e)",
    ) as board:
        await board.console.wait_for("erased .*ESP_ERR_NVS_NOT_FOUND", DEADLINE)


async def test_spaces_of_nvs_are_apart_and_names_are_checked(tmp_path: Path) -> None:
    source = """
    import esp32
    esp32.NVS("a").set_i32("x", 1)
    try:
        esp32.NVS("b").get_i32("x")
    except OSError as e:
        print("apart", e.errno)
    try:
        esp32.NVS("a" * 16)
    except OSError as e:
        print("long", e.errno)
    try:
        for i in range(100):
            esp32.NVS("a").set_blob("k%d" % i, bytes(1000))
    except OSError as e:
        print("full", i, e.errno)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("apart -4354", DEADLINE)
        await board.console.wait_for("long -4361", DEADLINE)
        await board.console.wait_for("full 16 -4357", DEADLINE)


async def test_main_py_on_the_flash_comes_before_the_firmware_in_rom(tmp_path: Path) -> None:
    source = """
    with open("/boot.py", "w") as f:
        f.write("print('boot.py')")
    with open("/main.py", "w") as f:
        f.write("print('main.py', __name__)")
    print("rom")
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("rom", DEADLINE)
        board.console.clear()
        await board.reset()
        await board.console.wait_for(r"boot.py\r?\nmain.py __main__", DEADLINE)
        assert "rom" not in board.console.text


async def test_wifi_is_joined_lost_and_refused(tmp_path: Path) -> None:
    source = """
    import network, time
    w = network.WLAN(network.STA_IF)
    try:
        w.connect("site", "key")
    except OSError as e:
        print("not started")
    w.active(True)
    print("scan", w.scan()[0][0])
    def join(key):
        w.connect("site", key)
        while w.status() == network.STAT_CONNECTING:
            time.sleep_ms(5)
    join("wrong")
    print("wrong", w.status() == network.STAT_WRONG_PASSWORD, w.isconnected())
    join("key")
    print("joined", w.isconnected(), w.ifconfig()[0], w.config("ssid"), w.status("rssi"))
    while w.isconnected():
        time.sleep_ms(5)
    print("lost", w.status() == network.STAT_BEACON_TIMEOUT)
    while not w.isconnected():
        time.sleep_ms(5)
    print("back")
    w.active(False)
    print("off", w.isconnected())
    """
    async with powered(tmp_path, source, on=False) as board:
        board.wifi.ssid, board.wifi.key = "site", "key"
        await board.start()
        await board.console.wait_for("not started", DEADLINE)
        await board.console.wait_for("scan b'site'", DEADLINE)
        await board.console.wait_for("wrong True False", DEADLINE)
        await board.console.wait_for(r"joined True 127\.[0-9.]+ site -55", DEADLINE)
        board.wifi.set_up(False)
        await board.console.wait_for("lost True", DEADLINE)
        board.wifi.set_up(True)
        await board.console.wait_for("back", DEADLINE)
        await board.console.wait_for("off False", DEADLINE)
