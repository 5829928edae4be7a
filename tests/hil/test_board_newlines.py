"""What a board prints in the raw REPL ends its lines as a board's UART does."""

import pytest

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
    assert newlines.cooked(b"\n\x00\n") == b"\n\x00\n"
    newlines.typed(b"other code")
    assert newlines.cooked(b"\n") == b"\n"
    newlines.restarted()
    assert newlines.cooked(b"\n") == b"\r\n"
