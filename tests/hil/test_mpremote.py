"""``mpremote``, as it comes from PyPI, on the console of a board that stays on the bench."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hil.test_board_command import Bench

MPREMOTE = str(Path(sys.executable).with_name("mpremote"))
DEADLINE = 40.0


class Board:
    def __init__(self, bench: Bench, tty: str) -> None:
        self.bench = bench
        self.tty = tty

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [MPREMOTE, "connect", self.tty, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)

    def ok(self, *arguments: str | Path) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def boots(self) -> int:
        """How often its VM has started."""
        return int(self.bench.listed()["a"]["boots"])


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    bench = Bench(tmp_path_factory.mktemp("boards"))
    yield Board(bench, bench.start("a")["tty"])
    bench.ok("stop", "--all")


@pytest.fixture(params=["", "resume"])
def how(request: pytest.FixtureRequest) -> list[str]:
    """Of connecting: with a soft reset, or to what is there."""
    return [request.param] if request.param else []


def test_exec_eval_and_run(board: Board, how: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint('run', sys.platform, __name__)\n")
    assert board.ok(*how, "exec", "print('sum é€', 1 + 1)") == "sum é€ 2\n"
    assert board.ok(*how, "eval", "3 * 4") == "12\n"
    assert board.ok(*how, "run", script) == "run esp32 __main__\n"
    failed = board.run(*how, "exec", "1 / 0")
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stdout + failed.stderr


def test_a_script_with_the_line_ends_of_another_system(board: Board, tmp_path: Path) -> None:
    script = tmp_path / "crlf.py"
    script.write_bytes(b'x = """a\r\nb"""\r\nprint(repr(x), 1 + \\\r\n 2)\r\nraise ValueError\r\n')
    failed = board.run("run", script)
    assert "'a\\nb' 3\n" in failed.stdout
    assert "line 5, in <module>" in failed.stdout + failed.stderr


def test_files(board: Board, how: list[str], tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "big.bin").write_bytes(data)
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.py").write_text("A = 1\n")
    (tree / "sub" / "ü.txt").write_text("ünï")
    board.ok(*how, "fs", "cp", tmp_path / "big.bin", ":big.bin")
    assert hashlib.sha256(data).hexdigest() in board.ok(*how, "fs", "sha256sum", "big.bin")
    board.ok(*how, "fs", "cp", ":big.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == data
    board.ok(*how, "fs", "cp", "-r", tree, ":")
    assert board.ok(*how, "fs", "cat", "tree/sub/ü.txt") == "ünï"
    board.ok(*how, "fs", "mkdir", "new", "+", "fs", "touch", "new/empty")
    listed = board.ok(*how, "fs", "ls").split()
    assert {"big.bin", "boot.py", "new/", "tree/"} <= set(listed)
    assert "bench/" not in listed
    assert "empty" in board.ok(*how, "fs", "tree")
    board.ok(*how, "fs", "rm", "new/empty", "+", "fs", "rmdir", "new")
    board.ok(*how, "fs", "rm", "-r", "tree", "+", "fs", "rm", "big.bin")
    left = board.ok(*how, "fs", "ls").split()
    assert "boot.py" in left
    assert not {"big.bin", "tree/", "new/"} & set(left)


def test_a_folder_of_the_host_is_mounted(board: Board, how: list[str], tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text("X = 'from afar'\n")
    program = "import far; print(far.X); open('/remote/made', 'w').write('by the board')"
    assert "from afar" in board.ok(*how, "mount", tmp_path, "exec", program)
    assert (tmp_path / "made").read_text() == "by the board"


def test_clock_disk_and_sleep(board: Board, how: list[str]) -> None:
    board.ok(*how, "rtc", "--set", "+", "sleep", "0.01")
    assert not board.ok(*how, "rtc").startswith("(2000")
    rows = board.ok(*how, "df").splitlines()
    assert [row.split()[-1] for row in rows[1:]] == ["/"]


def test_romfs_is_built_deployed_and_imported_from(board: Board, tmp_path: Path) -> None:
    source = tmp_path / "rom"
    source.mkdir()
    (source / "inrom.py").write_text("X = 'of rom'\n")
    assert "Not a valid ROMFS" in board.ok("romfs", "query")
    board.ok("romfs", "--output", str(tmp_path / "x.romfs"), "build", source)
    assert "ROMFS image deployed" in board.ok("romfs", "deploy", tmp_path / "x.romfs")
    assert "ROMFS image size" in board.ok("romfs", "query")
    assert board.ok("exec", "import inrom; print(inrom.X)") == "of rom\n"


def test_resets(board: Board) -> None:
    board.ok("exec", "import machine; machine.RTC().memory(b'kept')")
    boots = board.boots()
    board.ok("reset")  # a tenth of a second after mpremote has gone
    deadline = time.monotonic() + DEADLINE
    while board.boots() == boots and time.monotonic() < deadline:
        pass
    assert board.ok("resume", "exec", "import machine; print(machine.reset_cause())") == "2\n"
    board.ok("soft-reset")
    assert board.ok("resume", "exec", "import machine; print(machine.reset_cause())") == "5\n"


def test_boot_and_main_run_as_on_hardware(board: Board, tmp_path: Path) -> None:
    (tmp_path / "boot.py").write_text("B = 'boot'\n")
    (tmp_path / "main.py").write_text("print('main after', B)\nM = 1\nwhile True:\n    pass\n")
    board.ok("fs", "cp", tmp_path / "boot.py", tmp_path / "main.py", ":")
    board.bench.ok("reset", "a")
    assert board.ok("resume", "exec", "print(B, M)") == "boot 1\n"  # Ctrl-C in main
    assert board.ok("exec", "print(B, 'M' in globals())") == "boot False\n"  # the raw REPL skips main
    (tmp_path / "main.py").write_text("import sys\nprint('once')\nraise ValueError('of main')\n")
    board.ok("fs", "cp", tmp_path / "main.py", ":")
    board.bench.ok("reset", "a", "--soft")
    said = board.bench.ok("console", "a", text="1\n")
    assert "once\nTraceback" in said
    assert "ValueError: of main\nMicroPython" in said
    board.ok("fs", "rm", "main.py")


def test_a_program_that_resets_the_board_at_once_is_slowed_down_and_broken_into(
    board: Board, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text("import machine\nprint('again')\nmachine.reset()\n")
    board.ok("fs", "cp", tmp_path / "main.py", ":")
    board.bench.run("reset", "a")
    deadline = time.monotonic() + DEADLINE
    while board.bench.listed()["a"]["state"] != "asleep":
        assert time.monotonic() < deadline
    assert board.ok("fs", "rm", "main.py") == "rm :main.py\n"
    assert board.ok("resume", "exec", "print('free')") == "free\n"
