"""What a board prints ends its lines as a board's UART does, and has no frames of what is C on a chip."""

import pytest

from hil.board.frames import MAX_HELD, Frames
from hil.board.newlines import Newlines


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_lone_line_feed_gets_a_carriage_return_however_it_is_cut(size: int) -> None:
    text = b"one\ntwo\r\n\n\rthree\r\r\n\x04\n"
    newlines = Newlines()
    cooked = b"".join(newlines.cooked(text[at : at + size]) for at in range(0, len(text), size))
    assert cooked == b"one\r\ntwo\r\n\r\n\rthree\r\r\n\x04\r\n"


def test_bytes_of_code_that_writes_bytes_pass_until_the_vm_restarts() -> None:
    newlines = Newlines()
    for part in (b"out = sys.stdout.buf", b"fer", b"\x04"):
        newlines.typed(part)
    assert newlines.binary
    newlines.typed(b"other code")
    assert newlines.binary
    newlines.restarted()
    assert not newlines.binary


TRACEBACK = b"""\
\x04Traceback (most recent call last):
  File "<stdin>", line 1, in <module>
  File "_i2c", line 85, in readfrom
  File "_board", line 106, in call\r
OSError: [Errno 19] ENODEV
  File "main.py", line 3, in call
  File "machine.py", line 4, in of_somebody_else
 File "machine", line 5, in no_frame
amid  File "machine", line 6, in a_line
"""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_frames_of_the_benchs_modules_are_cut_out_of_what_is_printed_in_any_pieces(size: int) -> None:
    frames = Frames()
    shown = b"".join(frames.cut(TRACEBACK[at : at + size]) for at in range(0, len(TRACEBACK), size))
    lines = TRACEBACK.splitlines(keepends=True)
    assert shown == b"".join(lines[:2] + lines[4:])


def test_a_line_that_only_begins_as_a_frame_is_not_kept_back_for_long() -> None:
    frames = Frames()
    assert frames.cut(b'ab\n  File "mach') == b"ab\n"
    assert frames.rest() == b'  File "mach'
    long = b'  File "' + b"x" * MAX_HELD
    assert frames.cut(b"\n" + long) == b"\n" + long
    assert frames.cut(b">>> ") == b">>> "
    assert frames.cut(b"\n  Filename: ") == b"\n  Filename: "
