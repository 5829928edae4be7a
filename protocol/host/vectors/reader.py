"""Vectors of what readers and keypads send: card formats, key bursts, and PINs."""

from collections.abc import Sequence
from typing import Any

from protocol.host.vectors.case import Vector, bad, good
from protocol.wiegand import card

# 35 bits: two parities that pass every third bit by, and one over everything.
CORPORATE_1000 = [35, 21, 12, 1, 20, 0, 0x3B6DB6DB6, 1, 0x36DB6DB6D, 1, 0x7FFFFFFFF]
_UID = [56, 0, 0, 0, 56]
_E0 = [word for bit in range(56, 64) for word in (int(bit > 60), 1 << bit)]  # ISO 15693: each begins with e0
_NUMBER_ONLY = [10, 0, 0, 0, 10]


def _bits(sent: str) -> dict[str, Any]:
    """Bits in the order in which they were sent, spaces aside; the last byte is filled up with zeros."""
    sent = sent.replace(" ", "")
    size = (len(sent) + 7) // 8
    return {"bits": len(sent), "wire": int(sent.ljust(size * 8, "0"), 2).to_bytes(size, "big")}


def _uid(bits: int, number: int) -> dict[str, Any]:
    return {"bits": bits, "wire": number.to_bytes(bits // 8, "big")}


_26 = "0 00001100 0000110110000000 1"  # facility 12, number 3456
_34 = "0 0000000000001100 0000110110000000 1"
_37 = "0 00000000000011000000000110110000000 1"


def _cards() -> list[Vector]:
    tagged = [64, 0, 0, 0, 56, *_E0]
    return [
        good("h10301", "card", _bits(_26), card(26, 3456, 12)),
        good("h10306", "card", _bits(_34), card(34, 3456, 12)),
        good("h10302", "card", _bits(_37), card(37, 12 << 19 | 3456)),
        good("h10304", "card", {**_bits(_37), "formats": [[37, 16]]}, card(37, 3456, 12)),
        good("h10302_of_35_bits", "card", _bits(f"0{'1' * 35}1"), card(37, (1 << 35) - 1)),
        good(
            "corporate_1000",
            "card",
            {**_bits("01 000000001100 00000000110110000000 0"), "formats": [CORPORATE_1000]},
            card(35, 3456, 12),
        ),
        good("serial_of_7_bytes", "card", {**_uid(56, 0x04A1B2C3D4E5F6), "formats": [_UID]}, _seven()),
        good(
            "serial_with_a_fixed_byte",
            "card",
            {**_uid(64, 0xE004010012345678), "formats": [tagged]},
            card(64, 0x04010012345678),
        ),
        bad(
            "serial_of_another_maker",
            "card",
            {**_uid(64, 0xE104010012345678), "formats": [tagged]},
            "card_parity",
        ),
        bad("first_parity", "card", _bits("1" + _26[1:]), "card_parity"),
        bad("last_parity", "card", _bits(_26[:-1] + "0"), "card_parity"),
        bad("one_bit_changed", "card", _bits(_26.replace("1101100", "1101000")), "card_parity"),
        bad("one_bit_lost", "card", _bits(_26[:-1]), "card_bits"),
        bad("two_bursts_as_one", "card", _bits(_26 + _26), "card_bits"),
        bad("no_format_of_this_length", "card", _bits("0" * 32), "card_bits"),
        bad("no_bit", "card", {"bits": 0, "wire": b""}, "card_bits"),
        bad("fewer_bytes_than_bits", "card", {"bits": 26, "wire": b"\x86\x06"}, "card_bits"),
        *(_refused(name, formats) for name, formats in _BAD_FORMATS),
    ]


def _seven() -> bytes:
    return card(56, 0x04A1B2C3D4E5F6)


_BAD_FORMATS: tuple[tuple[str, Sequence[Any]], ...] = (
    ("format_of_a_name", ["H10301"]),
    ("two_of_one_length", [[37, 0], [37, 16]]),
    ("usual_with_nothing_but_a_facility", [[26, 24]]),
    ("usual_with_a_wide_facility", [[64, 25]]),
    ("nine_formats", [[bits, 0, 0, 0, bits] for bits in range(10, 19)]),
    ("format_of_nothing", [[]]),
    ("format_of_even_size", [[*_NUMBER_ONLY, 1]]),
    ("format_of_words", [["10", 0, 0, 0, 10]]),
    ("format_below_zero", [[10, -1, 0, 0, 10]]),
    ("format_as_short_as_a_key", [[8, 0, 0, 0, 8]]),
    ("format_too_long", [[65, 0, 0, 0, 56]]),
    ("number_too_wide", [[57, 0, 0, 0, 57]]),
    ("number_too_wide_beside_a_facility", [[34, 33, 1, 0, 33]]),
    ("facility_too_wide", [[40, 15, 25, 0, 15]]),
    ("no_number", [[10, 0, 10, 0, 0]]),
    ("fields_overlap", [[10, 4, 6, 0, 5]]),
    ("field_outside", [[10, 0, 0, 1, 10]]),
    ("a_bit_that_tells_nothing", [[11, 0, 0, 0, 10]]),
    ("a_parity_of_fields_alone", [[11, 0, 0, 0, 10, 0, 1, 0, 0x400]]),
    ("one_parity_for_two_bits", [[12, 0, 0, 0, 10, 0, 0xC00]]),
    ("one_parity_twice", [[12, 0, 0, 0, 10, 0, 0x400, 1, 0x400]]),
    ("a_parity_neither_even_nor_odd", [[11, 0, 0, 0, 10, 2, 0x400]]),
    ("a_parity_outside", [[11, 0, 0, 0, 10, 0, 0xC00]]),
)


def _refused(name: str, formats: Sequence[Any]) -> Vector:
    return bad(name, "formats", {"formats": formats}, "card_format")


def _keys() -> list[Vector]:
    return [
        good("key_of_4_bits", "key_burst", _bits("0111"), "7"),
        good("key_of_8_bits", "key_burst", _bits("1000 0111"), "7"),
        good("star", "key_burst", _bits("1010"), "*"),
        good("hash", "key_burst", _bits("0100 1011"), "#"),
        bad("key_without_complement", "key_burst", _bits("1001 0111"), "card_key"),
        bad("key_that_there_is_not", "key_burst", _bits("1100"), "card_key"),
        bad("key_of_5_bits", "key_burst", _bits("01110"), "card_key"),
        bad("key_of_2_bytes", "key_burst", {"bits": 4, "wire": b"\x70\0"}, "card_key"),
        bad("key_of_nothing", "key_burst", {"bits": 0, "wire": b""}, "card_key"),
    ]


def _typed(keys: str, every_ms: int = 500) -> list[list[Any]]:
    return [[name, 1000 + every_ms * i] for i, name in enumerate(keys)]


def _pins() -> list[Vector]:
    def typed(name: str, keys: list[list[Any]], pins: list[str], length: int = 0) -> Vector:
        return good(name, "pin_entry", {"length": length, "keys": keys}, pins)

    late = [*_typed("12"), ["3", 11_500], ["4", 12_000], ["#", 12_500]]
    return [
        typed("four_digits", _typed("1234#"), ["1234"]),
        typed("two_pins", _typed("1234#5678#"), ["1234", "5678"]),
        typed("cleared", _typed("99*1234#"), ["1234"]),
        typed("nothing_entered", _typed("##*#"), []),
        typed("eight_digits", _typed("12345678#"), ["12345678"]),
        typed("nine_digits_and_cleared", _typed("123456789*1#"), ["1"]),
        typed("left_for_ten_seconds", late, ["34"]),
        typed("slow_but_in_time", _typed("1234#", 9999), ["1234"]),
        typed("fixed_length", _typed("123456781", 500), ["1234", "5678"], 4),
        typed("fixed_length_cleared", _typed("12*3456"), ["3456"], 4),
        bad("nine_digits", "pin_entry", {"length": 0, "keys": _typed("123456789#")}, "pin_long"),
        bad("twenty_digits", "pin_entry", {"length": 0, "keys": _typed("1" * 20 + "#")}, "pin_long"),
        bad("no_key", "pin_entry", {"length": 0, "keys": [["", 0]]}, "pin_key"),
        bad("no_digit", "pin_entry", {"length": 0, "keys": [["A", 0]]}, "pin_key"),
        bad("two_digits_in_one", "pin_entry", {"length": 0, "keys": [["12", 0]]}, "pin_key"),
    ]


def reader() -> list[Vector]:
    return [*_cards(), *_keys(), *_pins()]
