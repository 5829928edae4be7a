"""Boards of separate ``latchwork micropython`` commands on one air, and what is left when they are gone."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hil.air import client, ops
from hil.air.folder import Airfield
from hil.air.ops import AirError, Identity
from tests.hil.airs import DEADLINE, eventually, servers

LATCHWORK = str(Path(sys.executable).parent / "latchwork")
BOARD = """
import bluetooth, select, sys, time
ble = bluetooth.BLE()
ble.active(True)
ble.gap_advertise(100_000, b"\\x02\\x01\\x06")
print("on", bytes(ble.config("mac")[1]).hex())
lines = select.poll()
lines.register(sys.stdin, select.POLLIN)
while True:
    lines.poll(-1)
    command = sys.stdin.readline().strip()
    if command == "end":
        break
    try:
        ble.active(command == "on") if command in ("on", "off") else ble.gap_advertise(50_000)
        print("done")
    except OSError as e:
        print("refused", e.errno)
"""


CENTRAL = """
import bluetooth, machine
ble = bluetooth.BLE()
ble.active(True)
events = []
def irq(event, data):
    events.append((event, data and data[0], bytes(data[1]) if event == 5 else None))
ble.irq(irq)
def wait(wanted):
    while True:
        for i in range(len(events)):
            if events[i][0] == wanted:
                return events.pop(i)
        machine.idle()
ble.gap_scan(0, 30_000, 30_000)
_, kind, address = wait(5)
ble.gap_scan(None)
print("found", address.hex())
ble.gap_connect(kind, address)
conn = wait(7)[1]
print("connected")
ble.gap_disconnect(conn)
wait(8)
print("disconnected")
"""


def is_gone(process: int) -> bool:
    """A zombie is gone as well: whoever adopted it may be slow to bury it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def events_of(capture: Path) -> list[str]:
    """Codes of the HCI events in a btsnoop file, as tshark reads them."""
    command = ["tshark", "-r", str(capture), "-Y", "bthci_evt", "-T", "fields", "-e", "bthci_evt.code"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


class Running:
    """A board's process that takes commands, one a line."""

    def __init__(self, *options: str) -> None:
        command = [LATCHWORK, "micropython", *options, "-c", BOARD]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.mac = self.line().removeprefix("on ")

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def end(self) -> int:
        self.process.communicate("end\n", timeout=DEADLINE)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def latchwork(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LATCHWORK, *arguments], capture_output=True, text=True, timeout=DEADLINE)


def seen(name: str = "here") -> dict[str, Any]:
    return asyncio.run(client.look(name))


def radio(name: str) -> dict[str, Any]:
    return next(radio for radio in seen()["radios"] if radio["name"] == name)


def test_two_boards_share_an_air_that_outlives_the_one_that_started_it(air: Airfield) -> None:
    front, back = Running("--name", "front"), Running("--name=back")
    assert front.mac != back.mac
    (server,) = servers(air)
    assert radio("front")["rssi"] == {"back": -50}
    assert front.end() == 0
    eventually(lambda: [member["name"] for member in seen()["members"]] == ["back"])
    assert back.say("advertise") == "done"
    assert servers(air) == [server]
    assert back.end() == 0


def test_a_central_finds_and_connects_to_a_board_of_another_process(air: Airfield, tmp_path: Path) -> None:
    door = Running("--btsnoop", str(tmp_path / "door.btsnoop"))
    done = latchwork("micropython", "-c", CENTRAL)
    assert done.stdout == f"found {door.mac}\nconnected\ndisconnected\n"
    assert door.end() == 0
    captured = events_of(tmp_path / "door.btsnoop")
    assert [code for code in captured if code in ("0x3e", "0x05")] == [
        "0x3e",
        "0x05",
    ]  # connection, disconnection


def test_a_capture_that_cannot_be_written_is_refused_at_once() -> None:
    done = latchwork("micropython", "--btsnoop", "/nowhere/x", "-c", "print(1)")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere/x" in done.stderr


def test_a_named_board_is_the_same_each_time_and_unnamed_ones_differ(air: Airfield) -> None:
    boards = [Running(), Running(), Running("--name", "same")]
    twin = subprocess.run(
        [LATCHWORK, "micropython", "--name", "same", "-c", "import bluetooth; bluetooth.BLE().active(1)"],
        capture_output=True,
        text=True,
    )
    assert "OSError: [Errno 98]" in twin.stdout
    assert "latchwork: same on air here has address" in twin.stderr
    assert len({board.mac for board in boards}) == 3
    for board in boards:
        assert board.end() == 0
    again = Running("--name", "same")
    assert again.mac == boards[2].mac
    again.end()


def test_two_airs_do_not_hear_each_other(air: Airfield) -> None:
    here, there = Running("--name", "a"), Running("--air", "there", "--name", "b")
    assert latchwork("air", "list").stdout == "here: a\nthere: b\n"
    assert [radio["rssi"] for radio in seen()["radios"] + seen("there")["radios"]] == [{}, {}]
    here.end()
    there.end()


def test_of_many_that_start_at_once_one_starts_the_air(air: Airfield) -> None:
    command = [LATCHWORK, "micropython", "-c", BOARD]
    pipe = subprocess.PIPE
    boards = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(4)]
    eventually(lambda: len(servers(air)) == 1 and len(seen()["members"]) == 4)
    for board in boards:
        assert board.communicate(b"end\n", timeout=DEADLINE)[1] == b""


def test_a_kill_of_all_leaves_no_process_and_no_socket(air: Airfield) -> None:
    boards = [Running(), Running()]
    for board in boards:
        board.kill()


def test_an_air_whose_folder_is_removed_ends_with_its_last_member(air: Airfield) -> None:
    board = Running()
    (server,) = servers(air)
    shutil.rmtree(air.socket.parent)
    board.kill()
    eventually(lambda: is_gone(server))


def test_a_board_goes_on_without_its_air_and_the_next_activation_starts_another(air: Airfield) -> None:
    board = Running()
    (server,) = servers(air)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: not servers(air))
    eventually(lambda: board.say("advertise") == "refused 19")
    assert air.socket.exists()  # a dead one's
    assert board.say("off") == "done"
    assert board.say("on") == "done"
    assert board.say("advertise") == "done"
    assert servers(air) != [server]
    board.end()


def test_a_board_that_moves_is_heard_by_the_distance(air: Airfield) -> None:
    boards = [Running("--name", name) for name in ("a", "b")]
    assert latchwork("air", "place", "a", "0", "0").returncode == 0
    assert latchwork("air", "place", "b", "10", "0").returncode == 0
    assert radio("a")["rssi"] == {"b": -65}
    text = latchwork("air", "show").stdout
    assert "at 10, 0, 1 m" in text
    assert "hears b at -65 dBm" in text
    nobody = latchwork("air", "place", "nobody", "1", "1")
    assert (nobody.returncode, nobody.stderr) == (2, "latchwork: nobody is not on air here\n")
    for board in boards:
        board.end()


def test_losses_and_noise_come_and_go(air: Airfield) -> None:
    board = Running("--name", "a")
    for arguments in (
        ("lose", "0.5", "--between", "a", "b", "--seed", "3"),
        ("lose", "0"),
        ("noise", "oven", "1", "2", "--duty", "0.7"),
        ("noise", "oven"),
        ("renew",),
    ):
        done = latchwork("air", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
    assert latchwork("air", "lose", "1.5").returncode == 2
    board.end()


@pytest.mark.parametrize("wanted", [b"[]", b"{}", b'{"lose": 2}', b'{"noise": "x", "position": 1}', b"{"])
async def test_a_disturbance_that_makes_no_sense_is_refused(air: Airfield, wanted: bytes) -> None:
    async with await client.join(None, Identity("x", bytes(6)), ops.BOARD) as member:
        with pytest.raises(AirError) as error:
            await member.ask(ops.AIR, ops.DISTURB, wanted)
        assert error.value.strerror
    await asyncio.to_thread(eventually, lambda: not air.socket.exists())


def test_an_air_that_is_not_there_is_not_started_to_look_at_it(air: Airfield) -> None:
    done = latchwork("air", "show")
    assert (done.returncode, done.stderr) == (
        2,
        "latchwork: there is no air here; see `latchwork air list`\n",
    )


@pytest.mark.parametrize("options", [["--air", "a/b"], ["--air="], ["--air"], ["--name"]])
def test_an_option_without_a_usable_name_is_refused(options: list[str]) -> None:
    done = latchwork("micropython", *options)
    assert done.returncode == 2
    assert done.stderr.startswith("latchwork: ")


def test_a_folder_that_others_can_open_is_refused(air: Airfield) -> None:
    air.socket.parent.chmod(0o755)
    done = latchwork("air", "list")
    assert done.returncode == 2
    assert "chmod 700" in done.stderr


def test_a_runtime_folder_that_is_not_there_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert Airfield("x").socket == tmp_path / f"latchwork-{os.getuid()}" / "x.air"


@pytest.mark.parametrize("made", ["file", "link"])
def test_something_else_in_the_place_of_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if made == "file":
        (tmp_path / "latchwork").touch()
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        (tmp_path / "latchwork").symlink_to("elsewhere")
    with pytest.raises(AirError):
        Airfield("x")


def test_bytes_that_are_no_frames_end_their_connection_only(air: Airfield) -> None:
    board = Running()
    with socket.socket(socket.AF_UNIX) as noise:
        noise.connect(str(air.socket))
        noise.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert noise.recv(1) == b""
    assert board.say("advertise") == "done"
    board.end()


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("teapot", {}, "a member joins once, as one of"),
        ("board", {"mac": b"short"}, "an address has 6 bytes"),
        ("board", {"name": ""}, "a name has 1 to 60"),
        ("board", {"position": (1e9, 0, 0)}, "at most 1,000 km"),
    ],
)
async def test_a_member_that_makes_no_sense_is_told_why(
    air: Airfield, kind: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirError, match=message):
        await client.join(None, Identity(**{"name": "x", "mac": bytes(6)} | fields), kind)
