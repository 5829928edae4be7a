"""A terminal on a board's console: what is typed goes to the board, Ctrl-] leaves. With pipes, a script's two ends."""

import os
import select
import sys
import termios
import tty

LEAVE = b"\x1d"  # Ctrl-]
QUIET_S = 0.5  # the board has said nothing for so long after the last of the input: the answer is complete
_CHUNK = 4096


def attach(path: str) -> bool:
    """Until Ctrl-], the end of a piped input and of the answer to it, or the end of the board; False if it ended."""
    board = os.open(path, os.O_RDWR | os.O_NOCTTY)
    keyboard = sys.stdin.fileno()
    modes = termios.tcgetattr(keyboard) if os.isatty(keyboard) else None
    if modes is not None:
        tty.setraw(keyboard, termios.TCSANOW)
    try:
        return _copy(board, keyboard, piped=modes is None)
    finally:
        if modes is not None:
            termios.tcsetattr(keyboard, termios.TCSANOW, modes)
        os.close(board)


def _copy(board: int, keyboard: int, piped: bool) -> bool:
    listening = [board, keyboard]
    while True:
        ready, _, _ = select.select(listening, [], [], QUIET_S if keyboard not in listening else None)
        if not ready:
            return True
        if board in ready:
            try:
                data = os.read(board, _CHUNK)
            except OSError:
                data = b""
            if not data:
                return False
            _write(sys.stdout.fileno(), data)
        if keyboard in ready:
            typed, leave, _ = os.read(keyboard, _CHUNK).partition(LEAVE)
            if not typed and not leave:
                listening.remove(keyboard)
            _write(board, typed.replace(b"\n", b"\r") if piped else typed)
            if leave:
                return True


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
