"""What somebody meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def near(word: str, known: Iterable[str], many: int = 12) -> str:
    """``: did you mean expect-pin?``, or what there is, if that is not much; else nothing."""
    names = sorted(known)
    close = get_close_matches(word, names, 1, 0.6)
    if close:
        return f": did you mean {close[0]}?"
    return f"; there are {', '.join(names)}" if 0 < len(names) <= many else ""
