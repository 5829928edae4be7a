"""``latchwork micropython`` behaves as the ``micropython`` executable beside it, and has a board."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PLAIN = [str(BIN / "micropython")]
BOARD = [str(BIN / "latchwork"), "micropython"]


def run(command: list[str], *arguments: str, text: str = "", **options: object) -> tuple[int, str, str]:
    environment = {k: v for k, v in os.environ.items() if k != "MICROPYPATH"} | dict(options.pop("env", {}))  # type: ignore[call-overload]
    done = subprocess.run(
        [*command, *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        **options,
    )  # type: ignore[call-overload]
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import sys; print(sys.argv)", "a", "--", "-h", "--help"],
        ["-c", "import sys; sys.exit(3)"],
        ["-c", "raise SystemExit('text')"],
        ["-c", "1 / 0"],
        ["-c", "this is no code"],
        ["-X", "heapsize=64K", "-c", "import gc; bytearray(100000)"],
        ["-X", "heapsize=1M", "-c", "print(len(bytearray(500000)))"],
        ["-O3", "-c", "print(__debug__)"],
        ["none.py"],
        ["script.py", "x", "-y"],
        ["-m", "module", "1"],
        ["-i"],
        ["--version"],
        ["-h"],
        ["-c", "import os; print(os.getcwd(), os.getenv('SOME'))"],
        ["-c", "import sys; print(sys.stdin.read().upper()); sys.stderr.write('to stderr')"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_same_output_and_exit_code_as_the_executable(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "script.py").write_text("import sys, beside\nprint(sys.argv, beside.X, __name__, __file__)\n")
    (tmp_path / "beside.py").write_text("X = 'beside'\n")
    (tmp_path / "module.py").write_text("import sys\nprint(__name__, sys.argv)\n")
    results = [
        run(command, *arguments, text="typed\n", cwd=tmp_path, env={"SOME": "value"})
        for command in (PLAIN, BOARD)
    ]
    plain, board = [(code, out, err.replace(PLAIN[0], "micropython")) for code, out, err in results]
    if arguments == ["-h"]:
        plain, board = [(code, out.partition("\n")[2], err) for code, out, err in (plain, board)]
    if arguments in (["-i"], ["--version"]):
        release = re.search(r"^MicroPython (v\d+\.\d+\.\d+\S*) on", board[1])
        assert release is not None
        said = re.sub(r"MicroPython \S+ on", f"MicroPython {release[1]} on", plain[1])
        plain = (plain[0], re.sub("linux .*version", "ESP32 with ESP32", said), plain[2])
    assert board == plain


def test_program_on_standard_input_is_run() -> None:
    assert run(BOARD, text="print(6 * 7)\n") == run(PLAIN, text="print(6 * 7)\n")


def test_micropypath_is_respected(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print('mine')\n")
    code, out, _ = run(BOARD, "-c", "import mine, asyncio", env={"MICROPYPATH": f"{tmp_path}:.frozen"})
    assert (code, out) == (0, "mine\n")


def test_board_is_there() -> None:
    program = (
        "import bluetooth, machine, network, esp32, neopixel\n"
        "p = machine.Pin(4, machine.Pin.IN, machine.Pin.PULL_UP)\n"
        "n = esp32.NVS('a'); n.set_i32('k', 5); n.commit()\n"
        "w = network.WLAN(); w.active(True); w.connect('any')\n"
        "while not w.isconnected(): machine.idle()\n"
        "print(bluetooth.BLE, p.value(), n.get_i32('k'), len(machine.unique_id()))\n"
    )
    code, out, err = run(BOARD, "-X", "heapsize=160K", "-c", program)
    assert (code, out, err) == (0, "<class 'BLE'> 1 5 6\n", "")


def test_sys_has_no_names_that_an_esp32_has_not() -> None:
    program = "import sys\nprint([n for n in ('atexit', 'exc_info', 'executable', 'path', 'exit') if hasattr(sys, n)])\n"
    assert run(BOARD, "-c", program) == (0, "['path', 'exit']\n", "")


def test_it_says_that_it_is_an_esp32() -> None:
    program = (
        "import os, sys\n"
        "u, i = os.uname(), sys.implementation\n"
        "print(sys.platform, i._machine, i._build, u.sysname, u.machine == i._machine, u.release)\n"
        "print(sys.version.startswith('3.'), hasattr(os, 'statvfs'), hasattr(os, 'nothing'))\n"
        "print(sys.version.split()[2], u.version.split()[0])\n"
    )
    code, out, err = run(BOARD, "-c", program)
    first = "esp32 ESP32 module with ESP32 ESP32_GENERIC esp32 True 1."
    assert (code, err) == (0, "")
    assert out.startswith(first)
    flags, versions = out.splitlines()[1:]
    assert flags == "True True False"
    assert re.fullmatch(r"(v1\.\d+\.\d\S*) \1", versions)  # what tools know a board's boot by


def test_radio_comes_on() -> None:
    program = (
        "import bluetooth; b = bluetooth.BLE(); b.active(True); print(b.active(), len(b.config('mac')[1]))"
    )
    assert run(BOARD, "-c", program) == (0, "True 6\n", "")


def test_reset_ends_the_program_and_a_starved_watchdog_kills_it() -> None:
    assert run(BOARD, "-c", "import machine; machine.reset()")[0] == 0
    code, _, err = run(BOARD, "-c", "import machine\nmachine.WDT(timeout=50)\nwhile True: pass")
    assert code == -signal.SIGKILL
    assert "WDT reset" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_act_as_on_the_executable(number: signal.Signals) -> None:
    program = "import time\nprint('up')\ntime.sleep(60)"
    results = []
    for command in (PLAIN, BOARD):
        with subprocess.Popen(
            [*command, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            process.send_signal(number)
            _, err = process.communicate(timeout=20)
            results.append((process.returncode, err.splitlines()[-1:]))
    assert results[0] == results[1]


def test_help_alone_tells_the_options_that_are_the_benchs() -> None:
    code, out, _ = run(BOARD, "--help")
    assert code == 0
    assert all(option in out for option in ("--air", "--name", "--btsnoop", "-X", "LATCHWORK_AIR"))
