"""Card data of Wiegand and OSDP readers: which format it is, whether its parity holds, and the number of the card.

A format is a flat sequence of integers: bits, facility shift, facility width, number shift, number width, and then
(odd, mask) for each parity. Bit 0 is the last that is sent. A mask names all bits that a parity is over, itself too.
"""

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Sequence

    from protocol.keys import Buffer

MAX_BITS = 64
MAX_FORMATS = 8
_KEYS = "0123456789*#"
_NO_FACILITY = 0x80

# The names are those of their data sheets. A door has one format of each length.
_NAMED = {
    "H10301": (26, 17, 8, 1, 16, 0, 0x3FFE000, 1, 0x1FFF),
    "H10306": (34, 17, 16, 1, 16, 0, 0x3FFFE0000, 1, 0x1FFFF),
    "H10302": (37, 0, 0, 1, 35, 0, 0x1FFFFC0000, 1, 0x7FFFF),
    "H10304": (37, 20, 16, 1, 19, 0, 0x1FFFFC0000, 1, 0x7FFFF),
}
STANDARD = ("H10301", "H10306", "H10302")


class Formats:
    """The formats of one door: names, and sequences of integers for others. Raises Malformed `card_format`."""

    def __init__(self, formats: "Sequence[Any]" = STANDARD) -> None:
        self._by_bits: "Dict[int, Sequence[int]]" = {}
        if not isinstance(formats, (list, tuple)) or len(formats) > MAX_FORMATS:
            raise Malformed("card_format")
        for item in formats:
            made: "Any" = _NAMED.get(item) if isinstance(item, str) else item
            if not _is_format(made) or made[0] in self._by_bits:
                raise Malformed("card_format")
            self._by_bits[made[0]] = made

    def decode(self, bits: int, wire: "Buffer") -> bytes:
        """The card's 8 bytes; `wire` holds `bits` bits, the first sent being the highest bit of its first byte."""
        made = self._by_bits.get(bits)
        if made is None or len(wire) != (bits + 7) // 8:
            raise Malformed("card_bits")
        value = int.from_bytes(wire, "big") >> (-bits & 7)
        for i in range(5, len(made), 2):
            if _odd(value & made[i + 1]) != made[i]:
                raise Malformed("card_parity")
        _, f_shift, f_width, n_shift, n_width = made[:5]
        return card(
            bits, f_width, value >> f_shift & (1 << f_width) - 1, value >> n_shift & (1 << n_width) - 1
        )


def card(bits: int, facility_width: int, facility: int, number: int) -> bytes:
    """The 8 bytes of a card: its length, then facility 3 and number 4, or number 7 if there is no facility."""
    if facility_width:
        return bytes((bits,)) + (facility << 32 | number).to_bytes(7, "big")
    return bytes((bits | _NO_FACILITY,)) + number.to_bytes(7, "big")


def key(bits: int, wire: "Buffer") -> str:
    """The key of a burst of 4 bits, or of 8 whose first half is the complement of the second."""
    value = wire[0] if len(wire) == 1 else -1
    low = value >> 4 if bits == 4 else value & 15
    if bits not in (4, 8) or value < 0 or (bits == 8 and value >> 4 != 15 - low) or low >= len(_KEYS):
        raise Malformed("card_key")
    return _KEYS[low]


def _odd(value: int) -> int:
    odd = 0
    while value:
        odd ^= 1
        value &= value - 1
    return odd


def _is_format(made: "Any") -> bool:
    """Whether no two cards of the format have one number: no bit is left out, and each parity gives away one."""
    if not isinstance(made, (list, tuple)) or len(made) % 2 != 1 or not 5 <= len(made) <= 5 + 2 * MAX_BITS:
        return False
    for item in made:
        if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < 1 << MAX_BITS:
            return False
    bits, f_shift, f_width, n_shift, n_width = made[:5]
    if not 9 <= bits <= MAX_BITS or f_shift > bits or n_shift > bits:
        return False
    if f_width > 24 or not 0 < n_width <= (32 if f_width else 56):
        return False
    facility, number = (1 << f_width) - 1 << f_shift, (1 << n_width) - 1 << n_shift
    free = (1 << bits) - 1
    if facility & number or (facility | number) & ~free:
        return False
    free &= ~(facility | number)
    for i in range(5, len(made), 2):
        own = made[i + 1] & free
        # Exactly one bit that no field and no parity before has: the others tell what it must be.
        if made[i] > 1 or made[i + 1] >> bits or not own or own & own - 1:
            return False
        free ^= own
    return not free
