"""Card formats, against an oracle that takes strings of ones and zeros apart; and that no two cards are one."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wiegand
from protocol.errors import Malformed, ProtocolError
from protocol.host.vectors.reader import CORPORATE_1000

# (bits, facility from, to, number from, to, even parity from, to, odd parity from, to): first bit is 1, as data sheets count.
SHEETS = {
    "H10301": (26, 2, 9, 10, 25, 1, 13, 14, 26),
    "H10306": (34, 2, 17, 18, 33, 1, 17, 18, 34),
    "H10302": (37, 2, 1, 2, 36, 1, 19, 19, 37),
    "H10304": (37, 2, 17, 18, 36, 1, 19, 19, 37),
}

USUAL = {"H10301": (26, 8), "H10306": (34, 16), "H10302": (37, 0), "H10304": (37, 16)}


def left(sent: str) -> bytes:
    size = (len(sent) + 7) // 8
    return int((sent or "0").ljust(size * 8, "0"), 2).to_bytes(size, "big")


def decoded(formats, sent):
    return wiegand.decode(wiegand.formats(formats), len(sent), left(sent))


def by_the_sheet(name, sent):
    """(facility, number) of a string of bits, or None."""
    bits, f1, f2, n1, n2, e1, e2, o1, o2 = SHEETS[name]
    if len(sent) != bits or sent[e1 - 1 : e2].count("1") % 2 or not sent[o1 - 1 : o2].count("1") % 2:
        return None
    return int(sent[f1 - 1 : f2] or "0", 2), int(sent[n1 - 1 : n2], 2)


def encoded(name, data):
    """The bits of a card, as its maker would send them."""
    *_, e1, e2, o1, o2 = SHEETS[name]
    sent = "?" + data + "?"
    even = str(sent[e1:e2].count("1") % 2)
    odd = str(1 - sent[o1 - 1 : o2 - 1].count("1") % 2)
    return even + data + odd


@given(st.sampled_from(sorted(SHEETS)), st.data())
def test_every_card_of_a_format_gives_the_fields_of_its_data_sheet(name, data):
    bits = SHEETS[name][0]
    sent = encoded(name, data.draw(st.text("01", min_size=bits - 2, max_size=bits - 2)))
    facility, number = by_the_sheet(name, sent)
    card = decoded([USUAL[name]], sent)
    if name == "H10302":
        assert card == bytes((bits + 128,)) + number.to_bytes(7, "big")
    else:
        assert card == bytes((bits,)) + facility.to_bytes(3, "big") + number.to_bytes(4, "big")


@given(st.sampled_from(sorted(SHEETS)), st.text("01", min_size=0, max_size=70))
def test_any_burst_is_a_card_by_its_data_sheet_or_a_protocol_error(name, sent):
    expected = by_the_sheet(name, sent)
    if expected is None:
        with pytest.raises(Malformed):
            decoded([USUAL[name]], sent)
    else:
        assert int.from_bytes(decoded([USUAL[name]], sent)[4:], "big") == expected[1] & 0xFFFFFFFF


@given(st.sampled_from(sorted(SHEETS)), st.data())
def test_one_bit_that_is_wrong_is_always_found(name, data):
    """But where two parities overlap, two changed bits may pass: 37 bits share their middle one, which both cover."""
    bits = SHEETS[name][0]
    sent = encoded(name, data.draw(st.text("01", min_size=bits - 2, max_size=bits - 2)))
    at = data.draw(st.integers(0, bits - 1))
    changed = sent[:at] + ("1" if sent[at] == "0" else "0") + sent[at + 1 :]
    with pytest.raises(Malformed, match="card_parity"):
        decoded([USUAL[name]], changed)


@given(st.sampled_from(sorted(SHEETS)), st.data())
def test_a_lost_or_a_gained_bit_is_never_a_card(name, data):
    bits = SHEETS[name][0]
    sent = encoded(name, data.draw(st.text("01", min_size=bits - 2, max_size=bits - 2)))
    at = data.draw(st.integers(0, bits - 1))
    for burst in (sent[:at] + sent[at + 1 :], sent[:at] + "1" + sent[at:]):
        with pytest.raises(Malformed, match="card_bits"):
            decoded([USUAL[name]], burst)


SMALL = st.integers(-1, 14)
MASKS = st.integers(0, 1 << 12)


@st.composite
def formats(draw):
    """Small enough to try every card of one; most of them are bad."""
    head = draw(st.tuples(st.integers(9, 12), SMALL, SMALL, SMALL, SMALL))
    parities = draw(st.lists(st.tuples(st.integers(0, 2), MASKS), max_size=4))
    return [*head, *(word for parity in parities for word in parity)]


@st.composite
def good_formats(draw):
    """Fields, then bits that are left, each with a parity over itself, and over anything that is before it."""
    facility, number, left_over = draw(st.integers(0, 3)), draw(st.integers(6, 8)), draw(st.integers(3, 4))
    made = [facility + number + left_over, left_over + number, facility, left_over, number]
    known = (1 << facility + number + left_over) - (1 << left_over)
    for bit in draw(st.permutations(range(left_over))):
        over = draw(st.integers(0, (1 << made[0]) - 1)) & known
        made += [draw(st.integers(0, 1)), over | 1 << bit]
        known |= 1 << bit
    return made


@st.composite
def damaged_formats(draw):
    """One integer of a good format is another, or its last parity is gone, or one with the one before it."""
    made = draw(good_formats())
    at = draw(st.integers(0, len(made)))
    if at == len(made):
        return [*made[:-3], made[-3] | draw(st.sampled_from((0, made[-1])))]
    made[at] ^= 1 << draw(st.integers(0, 11 if at > 5 and at % 2 == 0 else 3))
    return made


def cards_of(made):
    """The number of every burst that the format takes."""
    found, known = [], wiegand.formats([made])
    for value in range(1 << made[0]):
        with contextlib.suppress(Malformed):
            found.append(wiegand.decode(known, made[0], left(f"{value:0{made[0]}b}")))
    return found


@given(formats() | good_formats() | damaged_formats())
def test_a_format_is_refused_or_has_no_two_cards_with_one_number(made):
    try:
        found = cards_of(made)
    except Malformed as refused:
        assert refused.reason == "card_format"
        return
    assert len(set(found)) == len(found) == 1 << made[2] + made[4]


@given(good_formats())
def test_a_format_whose_parities_give_each_left_bit_away_is_taken(made):
    wiegand.formats([made])


@given(
    st.integers()
    | st.lists(
        st.integers() | st.text(max_size=3) | st.none() | st.floats() | st.lists(st.integers()), max_size=9
    )
)
def test_anything_as_formats_is_taken_or_a_protocol_error(anything):
    try:
        wiegand.formats(anything)
        wiegand.formats([anything])
    except ProtocolError as refused:
        assert refused.reason == "card_format"


def test_cards_of_different_formats_never_have_one_number():
    """Facility and number, or number alone, at their smallest and largest: where short forms would meet."""
    found = [
        wiegand.card(bits, number, facility if facility_width else -1)
        for bits, facility_width, number_width in (
            (26, 8, 16),
            (34, 16, 16),
            (35, 12, 20),
            (37, 16, 19),
            (37, 0, 35),
            (56, 0, 56),
        )
        for facility in ((0, 5, (1 << facility_width) - 1) if facility_width else (0,))
        for number in (0, 7, 5 << 32 | 7, (1 << number_width) - 1)
        if number < 1 << number_width
    ]
    assert len(set(found)) == len(found) > 20
    assert all(len(card) == 8 for card in found)


def test_corporate_1000_finds_each_single_error():
    known, sent = wiegand.formats([CORPORATE_1000]), "01000000001100000000001101100000000"
    assert wiegand.decode(known, 35, left(sent)) == wiegand.card(35, 3456, 12)
    for at in range(35):
        with pytest.raises(Malformed, match="card_parity"):
            wiegand.decode(known, 35, left(sent[:at] + str(1 - int(sent[at])) + sent[at + 1 :]))


@given(st.integers(0, 255), st.integers(0, 9))
def test_a_key_is_one_of_twelve_or_a_protocol_error(byte, bits):
    keys = {f"{i:04b}": name for i, name in enumerate("0123456789*#")}
    keys |= {f"{15 - i:04b}{i:04b}": name for i, name in enumerate("0123456789*#")}
    sent = f"{byte:08b}0"[:bits]
    expected = keys.get(sent)
    try:
        assert wiegand.key(bits, left(sent)) == expected
    except Malformed:
        assert expected is None


def test_a_format_of_very_many_bits_is_refused_before_it_takes_the_memory():
    with pytest.raises(Malformed, match="card_format"):
        wiegand.formats([[10**12, 8]])
