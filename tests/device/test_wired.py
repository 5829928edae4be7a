"""`latchwork device` against a simulated board without firmware, over its pseudo-terminal: nothing but its console is known."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import serial

from hil.board.description import builtin
from hil.vm import image, symbols
from hil.wired import flash
from hil.wired.port import KNOCKS, BoardPort
from tests.device.rig import Rig, rig

WAIT = 30.0
COMMAND = Path(sys.executable).with_name("latchwork")
# Bytecode that is not in ROM lives on the heap.
HEAP_KIB = 640


def bare_rom(folder: Path) -> Path:
    """MicroPython without the firmware."""
    rom = folder / "empty.romfs"
    rom.write_bytes(image.pack({}))
    return rom


@contextlib.asynccontextmanager
async def bare(folder: Path) -> AsyncIterator[Rig]:
    description = builtin()
    mcu = description.mcu.model_copy(update={"heap_kib": HEAP_KIB})
    description = description.model_copy(update={"mcu": mcu})
    async with rig(folder, description=description, firmware=bare_rom(folder)) as one:
        yield one


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Rig]:
    async with bare(tmp_path) as one:
        yield one


async def latchwork(*words: str, code: int = 0, **env: str) -> str:
    """What `latchwork device …` says."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "device",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env or None,
    )
    async with asyncio.timeout(100):
        out, _ = await process.communicate()
    assert process.returncode == code, out.decode()
    return " ".join(out.decode().split())


async def flashed(one: Rig) -> str:
    return await latchwork("flash", "--port", one.board.console.path)


def files(one: Rig) -> list[str]:
    return [*flash.firmware().files]


async def test_a_flashed_board_boots_from_its_flash_and_opens_its_door(board: Rig) -> None:
    known = board.folder / "symbols.json"
    said = await latchwork("flash", "--port", board.board.console.path, "--symbols", str(known))
    assert f"{len(flash.firmware().files)} files written, 0 were right already, 0 removed." in said
    assert symbols.read(known) == flash.firmware().symbols
    await board.board.console.wait_for("latchwork: not provisioned", WAIT)
    board.site.port = 1
    bundle = board.folder / "bundle.json"
    bundle.write_text(json.dumps(board.site.bundle()))
    said = await latchwork("provision", "--port", board.board.console.path, "--bundle", str(bundle))
    assert "dev_d0d0d0d0d0d0d0d0 is the controller of door_a1a1a1a1a1a1a1a1" in said
    await board.running()
    assert (await board.phone().unlock(board.site.key_for_phone())).granted
    await board.door.strike.wait(1, WAIT)


async def test_a_second_flash_writes_only_what_differs_and_keeps_what_is_the_boards_own(board: Rig) -> None:
    await flashed(board)
    await board.execute("""
        import os
        os.mkdir("/lw")
        for path, text in (
            ("/lw/identity.json", "mine"),
            ("/pins.json", "{}"),
            ("/boot.py", "pass"),
            ("/lib/device/agent.mpy", "damaged"),
            ("/lib/device/agent.py", "raise Exception('an old one that would run instead')"),
        ):
            with open(path, "w") as f:
                f.write(text)
    """)
    listed = await latchwork("flash", "--dry-run", "--port", board.board.console.path)
    assert "write /lib/device/agent.mpy" in listed
    assert "remove /lib/device/agent.py" in listed
    assert "1 to write" in listed
    assert "'damaged'" in await board.execute("print(repr(open('/lib/device/agent.mpy').read()))")
    said = await flashed(board)
    assert f"1 files written, {len(flash.firmware().files) - 1} were right already, 1 removed." in said
    kept = await board.execute(
        "for p in ('/lw/identity.json', '/pins.json', '/boot.py'): print(open(p).read())"
    )
    assert kept.split() == ["mine", "{}", "pass"]
    assert "0 files written" in await flashed(board)
    assert "agent.py" not in await board.execute("import os; print(os.listdir('/lib/device'))")


@pytest.mark.parametrize("after", [1, 20, 45_000])
async def test_a_flash_that_is_cut_leaves_a_locked_board_that_says_so_and_a_second_repairs_it(
    board: Rig, after: int
) -> None:
    class Unplugged(Exception):
        pass

    await flashed(board)
    await board.execute(
        "import os\nfor name in ('agent', 'update'): os.remove('/lib/device/' + name + '.mpy')"
    )
    left = after

    def progress(path: str, size: int) -> None:
        nonlocal left
        left -= size
        if left <= 0:
            raise Unplugged

    def half() -> None:
        wanted = flash.firmware().files
        with BoardPort(board.board.console.path) as port:
            made = flash.plan(port, wanted)
            # As if a new version had all files new.
            made = flash.Plan(wanted, [], [])
            with pytest.raises(Unplugged):
                flash.carry_out(port, made, progress)

    board.board.console.clear()
    await asyncio.to_thread(half)
    await board.board.console.wait_for(
        "the firmware is not complete: run `latchwork device flash` again", WAIT
    )
    assert not board.door.unlocked
    await flashed(board)
    board.board.console.clear()
    await board.board.reset()
    await board.board.console.wait_for("latchwork: not provisioned", WAIT)


async def test_power_that_fails_while_it_is_flashed_leaves_a_board_that_a_second_flash_repairs(
    board: Rig,
) -> None:
    flashing = asyncio.create_task(latchwork("flash", "--port", board.board.console.path, code=1))
    # Each file that is written is hashed; at the fourth some are there, and others are not.
    await board.board.console.wait_for(r"(?:['\"]\n\x04(?:.|\n)*?){4}", WAIT)
    await board.board.power_cut()
    assert "was lost" in await flashing
    await board.board.power_on()
    await board.board.console.wait_for("not complete", WAIT)
    await flashed(board)
    await board.board.console.wait_for("latchwork: not provisioned", WAIT)


async def test_a_running_agent_is_interrupted_and_runs_again_afterwards(board: Rig) -> None:
    board.site.port = 1
    await flashed(board)
    await board.provision()
    await board.running()
    board.board.console.clear()
    assert "0 files written" in await flashed(board)
    await board.running()


async def test_a_port_that_is_not_there_is_told_with_those_that_are() -> None:
    said = await latchwork("flash", "--port", "/dev/ttyNONE", code=1)
    assert "there is no port /dev/ttyNONE; the serial ports of this machine:" in said


async def test_a_port_that_is_in_use_is_told(board: Rig) -> None:
    with serial.Serial(board.board.console.path, exclusive=True):
        said = await latchwork("flash", "--port", board.board.console.path, code=1)
    assert "is in use" in said


async def test_a_file_and_a_port_without_a_board_are_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "cannot be opened" in await latchwork("flash", "--port", str(file), code=1)


async def test_a_port_on_which_nobody_answers_is_given_up_soon_and_told() -> None:
    board, port = os.openpty()
    name = os.ttyname(port)
    try:
        async with asyncio.timeout(20):  # it was 32 s, and the firmware is built before
            said = await latchwork("flash", "--port", name, code=1)
        assert f"nothing answers on {name} within 5 s" in said
        assert "press its reset button" in said
        assert os.read(board, 1000).count(b"\x01") == KNOCKS
    finally:
        os.close(board)
        os.close(port)


@pytest.mark.parametrize(
    ("name", "version", "mpy", "reason"),
    [
        ("micropython", (1, 30), 6, "the default pin map would use the flash pins of an ESP32-S3"),
        ("circuitpython", (9, 0), 6, "the board runs circuitpython 9.0; MicroPython 1.25 or newer is needed"),
        ("micropython", (1, 24), 6, "the board runs micropython 1.24; MicroPython 1.25 or newer is needed"),
        ("micropython", (1, 30), 7, "reads .mpy version 7, and this firmware is compiled to version 6"),
    ],
)
async def test_a_board_that_cannot_run_the_firmware_is_told(
    board: Rig, name: str, version: tuple[int, int], mpy: int, reason: str
) -> None:
    """It says so of itself, in its boot.py."""
    boot = "import sys\nclass implementation:\n"
    boot += f"    name, version, _mpy = {name!r}, {(*version, 0)!r}, {mpy}\n"
    boot += "    _machine = 'Generic ESP32S3 module with ESP32S3'\n"
    boot += "sys.modules['sys'] = type('sys', (), {'implementation': implementation})\n"
    await board.execute(f"with open('/boot.py', 'w') as f:\n    f.write({boot!r})")
    assert reason in await latchwork("flash", "--port", board.board.console.path, code=1)
    assert "/lib" not in await board.execute("import os; print(os.listdir('/'))")


async def test_modules_that_would_run_in_place_of_the_firmware_are_told(board: Rig) -> None:
    await board.execute("import os\nos.mkdir('/device')")
    assert "/device on the board would run in place" in await latchwork(
        "flash", "--port", board.board.console.path, code=1
    )


async def test_a_board_without_room_is_told(tmp_path: Path) -> None:
    description = builtin()
    mcu = description.mcu.model_copy(update={"flash_kib": 64})
    description = description.model_copy(update={"mcu": mcu})
    async with rig(tmp_path, description=description, firmware=bare_rom(tmp_path)) as one:
        said = await latchwork("flash", "--port", one.board.console.path, code=1)
        assert "are free on the board" in said
        assert "'main.py'" not in await one.execute("import os; print(os.listdir('/'))")


async def test_a_board_without_firmware_cannot_be_provisioned(board: Rig, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.json"
    bundle.write_text(json.dumps({"device_id": "dev_d0d0d0d0d0d0d0d0"}))
    said = await latchwork("provision", "--port", board.board.console.path, "--bundle", str(bundle), code=1)
    assert "there is no Latchwork firmware on the board" in said


async def test_an_identity_is_given_again_only_when_that_is_asked_for(blank: Rig) -> None:
    blank.site.port = 1
    bundle = blank.folder / "bundle.json"
    words = ("provision", "--port", blank.board.console.path, "--bundle", str(bundle))
    bundle.write_text(json.dumps(blank.site.bundle()))
    await latchwork(*words)
    await blank.running()
    bundle.write_text(json.dumps(blank.site.bundle(door_id="door_" + "b2" * 8)))
    assert "--again gives it a new identity" in await latchwork(*words, code=1)
    await blank.running()  # it is interrupted, and goes on as who it was
    said = await latchwork(*words, "--again")
    assert "controller of door_b2b2b2b2b2b2b2b2" in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no json", "holds no bundle"),
        ("[]", "holds no bundle: POST /v1/devices gives one"),
        ('{"device_id": "dev_1"}', "the board refuses the bundle, and is as it was: bad_id"),
    ],
)
async def test_a_wrong_bundle_is_told(blank: Rig, content: str, reason: str) -> None:
    bundle = blank.folder / "bundle.json"
    bundle.write_text(content)
    said = await latchwork("provision", "--port", blank.board.console.path, "--bundle", str(bundle), code=1)
    assert reason in said


async def test_half_of_the_options_is_no_call(tmp_path: Path) -> None:
    for words in ([], ["--api", "https://cloud"], ["--bundle", "x", "--api", "https://cloud"]):
        said = await latchwork("provision", "--port", "/dev/ttyNONE", *words, code=2)
        assert "latchwork: " in said
