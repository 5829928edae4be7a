"""A terminal on a board's console: what is typed goes to the board, Ctrl-] leaves. With pipes, a script's two ends."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable

LEAVE = b"\x1d"  # Ctrl-]
QUIET_S = 0.5  # the board has said nothing for so long after the last of the input: the answer is complete,
BUSY_S = 10.0  # or, while a statement of that input still runs, for so long
_CHUNK = 4096


def attach(path: str, runs: Callable[[], bool]) -> bool:
    """Until Ctrl-], the end of a piped input and of the answer to it, or the end of the board; False if it ended.

    ``runs`` tells whether a program runs on the board, which never answers more than it says by itself, or a statement.
    """
    board = os.open(path, os.O_RDWR | os.O_NOCTTY)
    keyboard = sys.stdin.fileno()
    modes = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    try:
        if modes is not None:
            tty.setraw(keyboard, termios.TCSANOW)
            return _copy(board, keyboard, piped=False, busy=lambda: False)
        return _copy(board, keyboard, piped=True, busy=(lambda: False) if runs() else runs)
    finally:
        if modes is not None:
            termios.tcsetattr(keyboard, termios.TCSANOW, modes)
        os.close(board)


def _copy(board: int, keyboard: int, piped: bool, busy: Callable[[], bool]) -> bool:
    listening = [board, keyboard]
    heard = time.monotonic()
    while True:
        ready, _, _ = select.select(listening, [], [], QUIET_S if keyboard not in listening else None)
        if not ready and (time.monotonic() - heard > BUSY_S or not busy()):
            return True
        if board in ready:
            try:
                data = os.read(board, _CHUNK)
            except OSError:
                data = b""
            if not data:
                return False
            heard = time.monotonic()
            _write(sys.stdout.fileno(), data)
        if keyboard in ready:
            heard = time.monotonic()
            typed, leave, _ = os.read(keyboard, _CHUNK).partition(LEAVE)
            if not typed and not leave:
                listening.remove(keyboard)
            _write(board, typed.replace(b"\n", b"\r") if piped else typed)
            if leave:
                return True


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
