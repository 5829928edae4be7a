"""The names of the bench's modules are in the binary's tables, as those of a board's are in its flash."""

import subprocess
import sys
from pathlib import Path

from hil.vm import image, mpy
from hil.vm.identity import extension
from hil.vm.qstrs import pools, texts
from tests.hil.board_rig import DEADLINE, powered

NAMES = """
import bluetooth, esp32, machine, micropython, network, select, socket, time
from machine import ADC, I2C, PWM, RTC, SPI, Pin, Signal, Timer, UART, WDT
bluetooth.BLE(), network.WLAN(), UART(1, 9600, tx=17, rx=16), esp32.NVS("a"), RTC().datetime(), Timer(0)
import _late
micropython.qstr_info()
"""
OWN = 8  # of this program
COUNT = r"n_qstr=(\d+)"
TABLE = 1260  # 20 + 40 + 80 ...: with one more a board pays 14 KiB, in one piece
AT_RUN_TIME = 90  # of files, settings and what is said at the console
# In a process of its own, as its VM has these names from then on.
TOLD = """
import sys
from hil.vm.qstrs import put_into_binary
put_into_binary(b"made_up_%03d" % n for n in range({count}))
import micropython_unix
micropython_unix.run_main(["micropython", "-c", {program!r}])
"""
PROGRAM = """
import micropython
class Thing:
    pass
thing = Thing()
for n in range(0, 100, 7):
    setattr(thing, "made_up_%03d" % n, n)
print([getattr(thing, "made_up_%03d" % n) for n in range(0, 100, 7)])
micropython.qstr_info()
"""


async def test_the_bench_takes_no_names_from_a_program(tmp_path: Path) -> None:
    async with powered(tmp_path, NAMES) as board:
        match = await board.console.wait_for(COUNT, DEADLINE)
    assert int(match[1]) <= OWN


def test_a_name_of_the_binary_is_one_as_any_other() -> None:
    few, many = (_told(count) for count in (0, 100))
    assert few[0] == many[0] == str(list(range(0, 100, 7)))
    assert int(few[1]) - int(many[1]) == len(range(0, 100, 7))


def _told(count: int) -> tuple[str, str]:
    command = [sys.executable, "-c", TOLD.format(count=count, program=PROGRAM)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    return out.splitlines()[0], out.partition("n_qstr=")[2].partition(",")[0]


def test_the_names_of_a_module_are_those_that_it_interns() -> None:
    source = (
        "import machine\ndef turn(leaf, *, swing=1):\n    return leaf.angle + swing\n" + f"n{'x' * 200} = 1\n"
    )
    found = mpy.names(image.compile_sources({"door.py": source})["door.mpy"])
    assert found >= {b"door", b"machine", b"turn", b"swing", b"angle", b"n" + b"x" * 200}
    assert b"import" not in found


def test_all_modules_of_the_firmware_leave_room_in_the_table_of_names() -> None:
    """As a board of its own would count them: what only the bench calls so by chance is in no chip's flash."""
    firmware = _names(image.compile_firmware(image.firmware_files()))
    bench = _names({path.name: path.read_bytes() for path in image.bench_folder().iterdir()})
    binary = {name for pool in pools(extension()) for name in texts(pool)}
    own = {name for name in firmware - binary if name.startswith(b"_") or name not in bench}
    assert len(own) <= TABLE - AT_RUN_TIME


def _names(compiled: dict[str, bytes]) -> set[bytes]:
    return set().union(*map(mpy.names, compiled.values()))
