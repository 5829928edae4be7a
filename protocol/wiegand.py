"""Card data of Wiegand and OSDP readers: which format it is, whether its parity holds, and the number of the card.

A format is a flat sequence of integers: bits, facility shift, facility width, number shift, number width, then (odd,
mask) for each parity. Bit 0 is the last that is sent; a mask names all bits that a parity is over, itself too. Short for
the usual ones is (bits, facility width): even over the first half, facility, number, odd over the second half.
"""

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Sequence

    from protocol.keys import Buffer

MAX_BITS = 64
MAX_FORMATS = 8
STANDARD = ((26, 8), (34, 16), (37, 0))  # H10301, H10306, H10302


def formats(wanted: "Any" = STANDARD) -> "Dict[int, Sequence[int]]":
    """The formats of a door by their length, of which each has one. Raises Malformed `card_format`."""
    made: "Dict[int, Sequence[int]]" = {}
    try:
        for item in wanted:
            if len(item) == 2 and item[0] <= MAX_BITS:  # masks of more would take the heap
                item = _usual(*item)
            _check(item)
            made[item[0]] = item
        if len(made) == len(wanted) <= MAX_FORMATS:
            return made
    except (TypeError, ValueError, LookupError):
        pass
    raise Malformed("card_format")


def decode(formats: "Dict[int, Sequence[int]]", bits: int, wire: "Buffer") -> bytes:
    """The card's 8 bytes; `wire` holds `bits` bits, the first sent being the highest bit of its first byte."""
    made = formats.get(bits)
    if made is None or len(wire) != (bits + 7) // 8:
        raise Malformed("card_bits")
    value = int.from_bytes(wire, "big") >> (-bits & 7)
    for i in range(5, len(made), 2):
        if bin(value & made[i + 1]).count("1") & 1 != made[i]:
            raise Malformed("card_parity")
    _, shift, width, n_shift, n_width = made[:5]
    number = value >> n_shift & (1 << n_width) - 1
    return card(bits, number, value >> shift & (1 << width) - 1 if width else -1)


def card(bits: int, number: int, facility: int = -1) -> bytes:
    """The 8 bytes of a card: its length, then facility 3 and number 4; without a facility length + 128, number 7."""
    if facility < 0:
        bits |= 0x80
    else:
        number |= facility << 32
    return (bits << 56 | number).to_bytes(8, "big")


def key(bits: int, wire: "Buffer") -> str:
    """The key of a burst of 4 bits, or of 8 whose first half is the complement of the second."""
    value = wire[0] if len(wire) == 1 else 255
    low = value >> 4 if bits == 4 else value & 15
    if low > 11 or (bits != 4 and (bits != 8 or value >> 4 != 15 - low)):
        raise Malformed("card_key")
    return "0123456789*#"[low]


def _usual(bits: int, width: int) -> "Sequence[int]":
    half = (1 << (bits + 1) // 2) - 1
    number = bits - 2 - width
    return (bits, number + 1, width, 1, number, 0, half << bits // 2, 1, half)


def _check(made: "Sequence[int]") -> None:
    """No two cards of a format have one number: no bit is left out, and each parity gives away exactly one."""
    bits, shift, width, n_shift, n_width = made[:5]
    if not (9 <= bits <= MAX_BITS and shift + width <= bits and n_shift + n_width <= bits):
        raise ValueError
    if not (0 <= width <= 24 and 0 < n_width <= (32 if width else 56)):
        raise ValueError
    field, number = (1 << width) - 1 << shift, (1 << n_width) - 1 << n_shift
    free = (1 << bits) - 1 ^ (field | number)
    for i in range(5, len(made), 2):
        own = made[i + 1] & free
        if made[i] not in (0, 1) or made[i + 1] >> bits or not own or own & own - 1:
            raise ValueError
        free ^= own
    if free or field & number:
        raise ValueError
