"""Which cards a door can read: those whose numbers fit a format of its readers."""

from protocol.wiegand import STANDARD

_NAMES = {26: "H10301", 34: "H10306", 37: "H10302"}
_OWN = "A card of a format of your own goes into card_raw, as a reader makes it."


def check_card(bits: int, number: int, facility: int | None) -> None:
    """Raise ValueError, with what to do instead, for a card that no door would ever open to."""
    widths = dict(STANDARD)
    if bits not in widths:
        known = ", ".join(map(str, widths))
        raise ValueError(f"bits must be the length of a format that doors read: {known}. {_OWN}")
    name, width = f"{bits} bits ({_NAMES[bits]})", widths[bits]
    number_width = bits - 2 - width
    if width and facility is None:
        raise ValueError(f"{name} have a facility of {width} bits: give it beside the number. {_OWN}")
    if not width and facility is not None:
        # H10304 has the same bits under two names.
        raise ValueError(
            f"{name} have no facility: leave it out. Of a card of 37 bits with a facility of 16 (H10304) "
            "the number is facility * 524288 + number."
        )
    if width and facility is not None and facility >> width:
        raise ValueError(f"facility must be at most {(1 << width) - 1}: {name} have {width} for it. {_OWN}")
    if number >> number_width:
        raise ValueError(
            f"number must be at most {(1 << number_width) - 1}: {name} have {number_width} for it. "
            "Check the length of the format; some prints have facility and number in one."
        )
