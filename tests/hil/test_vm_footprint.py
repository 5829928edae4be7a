"""The heap that a board's VM has beyond its firmware's is what the bench's own modules take, and not more."""

import subprocess
import sys
from pathlib import Path

from hil.vm.footprint import BENCH_KIB
from tests.hil.board_rig import DEADLINE, powered

SLACK_KIB = 4  # what the modules may grow by before the firmware is robbed of it
# _late: a board loads it when the host had no processor for it.
IN_USE = "import gc; gc.collect(); print('in use', gc.mem_alloc())"
MODULES = f"""
import bluetooth, machine, network, select, time
from machine import Pin, RTC, Signal, Timer, UART, WDT
bluetooth.BLE(), network.WLAN(), UART(1, 9600, tx=17, rx=16), RTC().datetime(), Timer(0)
import _late
{IN_USE}
"""


async def test_the_firmware_is_given_back_what_the_bench_takes(tmp_path: Path) -> None:
    bare = bare_vm()
    async with powered(tmp_path, MODULES) as board:
        match = await board.console.wait_for(r"in use (\d+)\r?\n", DEADLINE)
    taken = (int(match[1]) - bare) / 1024
    assert BENCH_KIB <= taken <= BENCH_KIB + SLACK_KIB


def bare_vm() -> int:
    """Bytes in use in a VM that has nothing loaded."""
    vm = Path(sys.executable).with_name("micropython")
    done = subprocess.run([vm, "-c", IN_USE], capture_output=True, text=True, check=True, timeout=DEADLINE)
    return int(done.stdout.split()[-1])
