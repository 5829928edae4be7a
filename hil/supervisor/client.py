"""The commands' end of a board's supervisor: start one, ask one."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from typing import Any

from hil.credentials import of_peer
from hil.supervisor import shelf
from hil.supervisor.settings import Settings, Status

START_S = 40.0
ASK_S = 35.0  # a reset waits 30 s for its VM
STATUS_S = 5.0  # which is answered at once: one that stands still must not hide the others
_TAIL = 1000


class BoardError(Exception):
    """The command cannot be done; the message says why and what to do."""


def start(settings: Settings) -> Status:
    """Leave a supervisor in a session of its own; returns when the board's REPL answers, or its program runs."""
    if shelf.is_running(settings.name):
        raise BoardError(
            f"board {settings.name} runs already; latchwork board stop {settings.name}, or take another name"
        )
    folder = shelf.place(settings.name)
    folder.mkdir(exist_ok=True, mode=0o700)
    with (folder / shelf.LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hil.supervisor.server", settings.model_dump_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
    assert process.stdout is not None
    line = _first_line(process.stdout.fileno())
    if not line:
        process.kill()
        process.wait()
        tail = (folder / shelf.LOG).read_text(errors="replace")[-_TAIL:].strip()
        raise BoardError(f"board {settings.name} did not start: {tail or 'no answer'}")
    return _status(json.loads(line), settings.name)


def ask(name: str, op: str, deadline: float | None = None, **details: Any) -> Status:
    """Do ``op`` on a board that runs; returns its state afterwards. ``deadline``: seconds, ASK_S if there is none."""
    shelf.sweep(name)
    if not shelf.is_running(name):
        raise BoardError(f"no board {name} runs; latchwork board list, or latchwork board start {name}")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(deadline or ASK_S)
        folder = shelf.short(shelf.place(name))
        try:
            sock.connect(str(folder / shelf.SOCKET))
            sock.sendall(json.dumps({"op": op, **details}).encode() + b"\n")
            line = sock.makefile("rb").readline()
        except TimeoutError:
            raise BoardError(f"board {name} does not answer; kill -9 {of_peer(sock).pid} ends it") from None
        except OSError as error:
            raise BoardError(f"board {name} does not answer: {error}") from None
        finally:
            os.close(int(folder.name))
    if not line:
        raise BoardError(f"board {name} ended; its log is {shelf.place(name) / shelf.LOG}")
    return _status(json.loads(line), name)


def stop(name: str) -> None:
    """Returns when nothing of the board runs any more."""
    ask(name, "stop")
    end = time.monotonic() + ASK_S
    while shelf.is_running(name):
        if time.monotonic() > end:
            raise BoardError(f"board {name} does not end")
        time.sleep(0.01)


def status(name: str) -> Status:
    """Of a running board, also of one whose supervisor does not answer."""
    try:
        return ask(name, "status", STATUS_S)
    except BoardError as error:
        return Status(name=name, state=str(error), pid=0)


def everything() -> list[Status]:
    return [status(name) for name in shelf.running()]


def _status(message: dict[str, Any], name: str) -> Status:
    if "error" in message:
        raise BoardError(f"board {name}: {message['error']}")
    return Status.model_validate(message["status"])


def _first_line(fd: int) -> bytes:
    end, line = time.monotonic() + START_S, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        if not ready or not (data := os.read(fd, 4096)):
            return b""
        line += data
    return line
