"""OSDP frames: what is sent is taken again, in any pieces; anything else is a protocol error, and never a frame."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hil.osdp_reader import SCBK_D
from protocol.errors import LocalError, Malformed
from protocol.host.aes import Aes
from protocol.osdp import MAX_FRAME, Decoder, crc16, encode
from protocol.osdp_panel import Panel

BODIES = st.binary(min_size=1, max_size=40)
BLOCKS = st.one_of(st.just(b""), st.binary(max_size=6).map(lambda data: bytes((len(data) + 2, 0x15)) + data))


def taken(decoder: Decoder, data: bytes) -> list[object]:
    """Frames and reasons, in their order."""
    found: list[object] = []
    for byte in data:
        try:
            frame = decoder.push(byte)
        except Malformed as error:
            found.append(error.reason)
            continue
        if frame:
            found.append(frame)
    return found


@given(st.integers(0, 126), st.integers(0, 3), BLOCKS, BODIES, st.binary(max_size=5))
def test_a_frame_is_taken_as_it_was_sent_whatever_was_between(address, sequence, block, body, noise):
    wire = encode(address, sequence, block, body)
    ((frame, at),) = taken(Decoder(), noise.replace(b"S", b"") + b"\xff" + wire)
    assert (frame[1], frame[4] & 3, frame[5:at], frame[at:]) == (address, sequence, block, body)


@given(BLOCKS, BODIES, st.data())
def test_a_frame_that_is_cut_is_no_frame_and_spoils_the_next_at_the_most(block, body, data):
    wire = encode(1, 1, block, body)
    decoder = Decoder()
    assert taken(decoder, wire[: data.draw(st.integers(0, len(wire) - 1))]) == []
    decoder.have = 0  # what the panel does before it repeats a command
    assert len(taken(decoder, wire)) == 1


@given(BLOCKS, BODIES, st.data())
def test_a_changed_bit_is_noticed(block, body, data):
    wire = bytearray(encode(1, 1, block, body))
    at, bit = data.draw(st.integers(0, len(wire) - 1)), data.draw(st.integers(0, 7))
    assume((at, bit) != (4, 2))  # then it is a checksum that must fit, which one in 256 does
    wire[at] ^= 1 << bit
    assert not any(isinstance(found, tuple) for found in taken(Decoder(), wire))


@given(st.binary(max_size=400))
def test_anything_is_frames_and_reasons(data):
    for found in taken(Decoder(), data):
        if isinstance(found, str):
            assert found in ("osdp_check", "osdp_check", "osdp_block")
        else:
            frame, at = found
            assert 5 <= at < len(frame) <= MAX_FRAME
            assert at == 5 or frame[5] == at - 5 >= 2


@given(st.binary(min_size=1, max_size=110), st.booleans(), st.integers(0, 255))
def test_well_checked_nonsense_is_taken_apart_or_refused(rest, by_crc, control):
    """What passes its check characters is no safer than what does not."""
    control = control & ~4 | 4 * by_crc
    frame = bytes((0x53, 0x81, len(rest) + 6 + by_crc, 0, control)) + rest
    crc = crc16(frame)
    check = bytes((crc & 255, crc >> 8)) if by_crc else bytes((-sum(frame) & 255,))
    (found,) = taken(Decoder(), frame + check)
    assert found == "osdp_block" or found[0] == frame
    assert control & 8 or found == (frame, 5)


@pytest.mark.parametrize("scbk", [SCBK_D, b"", bytes(15), bytes(32)])
def test_a_panel_is_not_built_with_the_default_key_nor_with_none(scbk):
    with pytest.raises(LocalError):
        Panel(1, scbk, Aes, bytes, None, print)
