"""``latchwork board``: boards that stay on the bench, by their commands."""

import json
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LATCHWORK = str(Path(sys.executable).with_name("latchwork"))
DEADLINE = 40.0


class Bench:
    """The commands of one user, whose boards are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "LATCHWORK_BOARDS": str(folder)}

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [LATCHWORK, "board", *arguments],
            capture_output=True,
            text=True,
            input=text,
            timeout=DEADLINE,
            env=self.env,
        )

    def ok(self, *arguments: str, text: str | None = None) -> str:
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    def start(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self.ok("start", "--json", *arguments)))

    def listed(self) -> dict[str, dict[str, Any]]:
        return {status["name"]: status for status in json.loads(self.ok("list", "--json"))}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / ("deep" * 20) / "boards")  # a socket's path has room for 107 characters
    yield bench
    bench.run("stop", "--all")


def typed(bench: Bench, name: str, text: str) -> str:
    return bench.ok("console", name, text=text)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(*pids: int) -> None:
    end = time.monotonic() + DEADLINE
    while any(map(alive, pids)):
        assert time.monotonic() < end, "a process is left behind"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def seen(fd: int, text: bytes) -> None:
    """Read until that is there."""
    said, end = b"", time.monotonic() + DEADLINE
    while text not in said:
        assert select.select([fd], [], [], max(0.0, end - time.monotonic()))[0], said
        said += os.read(fd, 4096)


def test_a_board_is_started_listed_typed_at_and_stopped(bench: Bench) -> None:
    said = bench.ok("start")
    status = bench.listed()["board1"]
    assert "the REPL answers" in said
    assert f"mpremote connect {status['tty']}" in said
    assert (status["state"], status["boots"], status["exits"], status["program"]) == ("running", 1, [], False)
    assert Path(status["link"]).resolve() == Path(status["tty"])
    assert "\n42\n" in typed(bench, "board1", "6 * 7\n")
    assert "board1" in bench.ok("list")
    processes = [status["pid"], *children(status["pid"])]
    assert status["vm_pid"] in processes
    bench.ok("stop", "board1")
    gone(*processes)
    assert bench.listed() == {}
    assert "no board runs" in bench.ok("list")


def test_state_is_private_and_a_wrong_command_says_what_to_do(bench: Bench) -> None:
    assert "no board none runs; latchwork board list" in bench.refused("reset", "none")
    assert stat.S_IMODE(bench.folder.stat().st_mode) == 0o700
    bench.start("one")
    assert "board one runs already" in bench.refused("start", "one")
    assert "runs: latchwork board stop one" in bench.refused("start", "one", "--erase")
    assert "is no name of a board" in bench.refused("start", "a/b")
    assert "none.toml" in bench.refused("start", "two", "--board", "none.toml")
    assert "a file, or one of esp32, " in bench.refused("start", "two", "--board", "esp23")
    assert "no such file or folder" in bench.refused("start", "two", "--flash", "none.py")
    assert set(bench.listed()) == {"one"}
    assert bench.run("stop").returncode == 2
    assert bench.run("power", "one", "up").returncode == 2


def test_a_bad_description_is_refused_by_its_field(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('name = "x"\n[mcu]\nheap_kib = 1\n')
    assert "mcu.heap_kib" in bench.refused("start", "--board", str(tmp_path / "bad.toml"))


def test_flash_is_put_on_and_outlives_the_board_until_it_is_erased(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "files"
    (source / "lib").mkdir(parents=True)
    (source / "lib" / "mine.py").write_text("X = 'mine'\n")
    (source / "main.py").write_text("import mine\nprint('main has', mine.X)\n")
    bench.start("a", "--flash", str(source))
    assert "main has mine" in typed(bench, "a", "\x04")
    bench.ok("stop", "a")
    extra = tmp_path / "extra.txt"
    extra.write_text("more")
    bench.start("a", "--flash", str(extra))
    assert "['extra.txt', 'lib', 'main.py']" in typed(bench, "a", "import os; sorted(os.listdir())\n")
    bench.ok("stop", "a")
    bench.start("a", "--erase")
    assert "\n['boot.py']" in typed(bench, "a", "import os; os.listdir()\n")


def test_files_that_do_not_fit_are_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "big.dat").write_bytes(bytes(2 << 20))
    assert "the flash is full" in bench.refused("start", "--flash", str(tmp_path / "big.dat"))
    (tmp_path / "odd.img").write_bytes(bytes(100))
    assert "blocks of 4096" in bench.refused("start", "--flash", str(tmp_path / "odd.img"))


def test_power_and_resets_keep_the_console(bench: Bench) -> None:
    status = bench.start("a")
    ask = "import machine; machine.reset_cause()\n"
    assert "\n1\n" in typed(bench, "a", ask)
    bench.ok("reset", "a")
    assert "\n2\n" in typed(bench, "a", ask)
    bench.ok("reset", "a", "--soft")
    assert "\n5\n" in typed(bench, "a", ask)
    bench.ok("power", "a", "off")
    assert bench.listed()["a"]["state"] == "off"
    assert "has no power" in bench.refused("reset", "a")
    assert "latchwork board power a on" in bench.refused("console", "a")
    bench.ok("power", "a", "on")
    assert "\n1\n" in typed(bench, "a", ask)
    bench.ok("power", "a", "cycle")
    after = bench.listed()["a"]
    assert (after["boots"], after["tty"]) == (5, status["tty"])


def test_piped_input_is_answered_to_its_end(bench: Bench) -> None:
    bench.start("a")
    assert "\n42\n" in typed(bench, "a", "import time\ntime.sleep(1.5)\n6 * 7\n")


def test_a_program_that_never_ends_is_told_and_can_be_interrupted(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("while True:\n    pass\n")
    assert bench.start("a", "--flash", str(tmp_path / "main.py"))["program"]
    assert "KeyboardInterrupt" in typed(bench, "a", "\x03")
    assert not bench.listed()["a"]["program"]


def test_a_crash_of_the_vm_is_reported_with_what_it_said(bench: Bench) -> None:
    status = bench.start("a")
    typed(bench, "a", "print('last', 'words')\n")
    os.kill(status["vm_pid"], signal.SIGSEGV)
    end = time.monotonic() + DEADLINE
    while (after := bench.listed()["a"])["boots"] < 2:
        assert time.monotonic() < end
    assert after["exits"] == [-signal.SIGSEGV]
    assert "last words" in after["crash"]
    listed = bench.ok("list")
    assert "a: a VM ended by signal 11; it had printed\n  | " in listed
    assert "  | last words\n" in listed
    assert "\n42\n" in typed(bench, "a", "6 * 7\n")


def test_nothing_is_left_of_a_killed_supervisor_and_its_name_is_free(bench: Bench) -> None:
    status = bench.start("a")
    processes = [status["pid"], *children(status["pid"])]
    os.kill(status["pid"], signal.SIGKILL)
    gone(*processes)
    assert bench.listed() == {}
    assert not Path(status["link"]).is_symlink()
    assert bench.start("a")["boots"] == 1


def test_the_console_is_a_terminal_that_ctrl_bracket_leaves(bench: Bench) -> None:
    bench.start("a")
    master, slave = pty.openpty()
    with subprocess.Popen(
        [LATCHWORK, "board", "console", "a"], stdin=slave, stdout=slave, env=bench.env
    ) as process:
        seen(master, b">>> ")
        os.write(master, b"\x05print(6 * 7)\r\x04")
        seen(master, b"42")
        os.write(master, b"\x1d")
        assert process.wait(DEADLINE) == 0
    os.close(master)
    os.close(slave)


def test_the_firmware_of_the_door_runs_on_a_board_that_stays(bench: Bench) -> None:
    status = bench.start("door", "--firmware")
    assert status["firmware"]
    assert "not provisioned" in typed(bench, "door", "1\n")


def test_the_network_of_a_board_is_disturbed_by_a_command(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as peer:
        connect = f"import socket; s = socket.socket(); s.settimeout(0.2); s.connect(('127.0.0.1', {peer.getsockname()[1]}))\n"
        bench.start("open")
        assert "Error" not in typed(bench, "open", connect)
        bench.ok("link", "open", "--refuse")
        assert "ECONNREFUSED" in typed(bench, "open", connect)
        bench.ok("link", "open", "--partition", "--latency", "10", "--loss", "0.1", "--seed", "4")
        assert "ETIMEDOUT" in typed(bench, "open", connect)
        bench.ok("link", "open")
        assert "Error" not in typed(bench, "open", connect)
    bench.start("closed", "--firmware")
    assert "start it with --networked" in bench.refused("link", "closed", "--refuse")
