"""Cards that the API takes are those that a door's readers can read, no more and no fewer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wiegand
from protocol.host.cards import check_card
from tests.protocol.test_wiegand import USUAL, by_the_sheet, decoded, encoded

READ = {name: shape for name, shape in USUAL.items() if shape in wiegand.STANDARD}


def data_of(name: str, facility: int, number: int) -> str:
    """The bits between the parities."""
    bits, width = USUAL[name]
    field = f"{facility:0{width}b}" if width else ""
    return field + f"{number:0{bits - 2 - width}b}"


@given(st.sampled_from(sorted(READ)), st.data())
def test_every_card_that_a_door_reads_is_taken(name: str, data: st.DataObject) -> None:
    bits, width = READ[name]
    sent = encoded(name, data.draw(st.text("01", min_size=bits - 2, max_size=bits - 2)))
    facility, number = by_the_sheet(name, sent)
    check_card(bits, number, facility if width else None)
    assert decoded(wiegand.STANDARD, sent) == wiegand.card(bits, number, facility if width else -1)


@given(
    st.sampled_from((26, 34, 37)) | st.integers(0, 70),
    st.integers(0, 1 << 60) | st.integers(0, 1 << 17),
    st.none() | st.integers(0, 300) | st.integers(0, 1 << 17),
)
def test_every_card_that_is_taken_is_read_by_a_door(bits: int, number: int, facility: int | None) -> None:
    try:
        check_card(bits, number, facility)
    except ValueError:
        return
    name = next(name for name, shape in READ.items() if shape[0] == bits)
    sent = encoded(name, data_of(name, facility or 0, number))
    assert decoded(wiegand.STANDARD, sent) == wiegand.card(bits, number, -1 if facility is None else facility)


@pytest.mark.parametrize(("facility", "number"), [(0, 1), (12, 3456), (65535, 524287)])
def test_a_card_of_37_bits_with_a_facility_is_read_as_the_number_that_the_refusal_names(
    facility: int, number: int
) -> None:
    with pytest.raises(ValueError, match="facility \\* 524288 \\+ number"):
        check_card(37, number, facility)
    sent = encoded("H10304", data_of("H10304", facility, number))
    assert decoded(wiegand.STANDARD, sent) == wiegand.card(37, facility * 524288 + number)
