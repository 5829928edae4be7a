"""Who else is at a supervisor's socket, and supervisors that stand still."""

import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.board.description import BOARDS
from hil.supervisor import client, server, shelf
from hil.supervisor.settings import Settings, Status


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Status]:
    """A board that runs, of a user with no other."""
    monkeypatch.setenv("LATCHWORK_BOARDS", str(tmp_path / "boards"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    status = client.start(Settings(name="a", board=BOARDS / "esp32.toml"))
    try:
        yield status
    finally:
        client.stop("a")


def connected() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    folder = shelf.short(shelf.place("a"))
    sock.connect(str(folder / shelf.SOCKET))
    os.close(int(folder.name))
    return sock


def test_nonsense_is_answered_or_hung_up_on_and_the_board_goes_on(board: Status) -> None:
    with connected() as rogue:
        lines = rogue.makefile("rb")
        for nonsense in (
            b"{",
            b"[]",
            b"1",
            b'{"op": 1}',
            b'{"op": []}',
            b'{"wait": true}',
            b"\xff\xfe",
            b"[" * 4000,
        ):
            rogue.sendall(nonsense + b"\n")
            assert "error" in json.loads(lines.readline())
        rogue.sendall(bytes(3 * server.MAX_REQUEST))
        with pytest.raises(ConnectionError):
            while lines.readline():
                pass
            raise ConnectionResetError
    assert client.ask("a", "status").boots == 1


def test_who_never_reads_and_who_says_nothing_hold_up_nobody(board: Status) -> None:
    with connected() as deaf, connected():
        deaf.setblocking(False)
        with pytest.raises(BlockingIOError):
            for _ in range(100_000):
                deaf.send(b'{"op": "status"}\n')
        assert client.ask("a", "status").boots == 1
        client.ask("a", "reset")
        assert client.ask("a", "status").boots == 2


def test_a_supervisor_that_stands_still_is_told_with_what_ends_it(
    board: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STATUS_S", 0.1)
    os.kill(board.pid, signal.SIGSTOP)
    try:
        assert client.status("a").state == f"board a does not answer; kill -9 {board.pid} ends it"
    finally:
        os.kill(board.pid, signal.SIGCONT)
    assert client.ask("a", "status").boots == 1


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_can_open_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("LATCHWORK_BOARDS", str(folder))
    with pytest.raises(shelf.ShelfError, match="chmod 700"):
        shelf.root()
    assert stat.S_IMODE(folder.stat().st_mode) == mode


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHWORK_BOARDS", str(tmp_path / "boards"))
    shelf.root()
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(shelf.ShelfError, match="folder of yours"):
        shelf.root()


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHWORK_BOARDS", str(tmp_path / "boards"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = shelf.place("a")
    folder.mkdir()
    (folder / shelf.LOG).symlink_to("/dev/full")
    status = client.start(Settings(name="a", board=BOARDS / "esp32.toml"))
    try:
        assert status.vm_pid is not None
        os.kill(status.vm_pid, signal.SIGSEGV)  # a crash is logged
        while client.ask("a", "status").boots < 2:
            pass
        assert client.ask("a", "status").exits == [-signal.SIGSEGV]
    finally:
        client.stop("a")
