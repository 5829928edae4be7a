"""From keys to a PIN: `*` clears, `#` enters, or a fixed number of digits does. Digits are kept no longer than that."""

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

MAX_DIGITS = 8
BETWEEN_KEYS_MS = 10_000


class PinEntry:
    """Of one keypad. With a `length` the last digit enters; times are milliseconds that do not wrap."""

    def __init__(self, length: int = 0) -> None:
        self._length = length
        self._digits = ""
        self._last_ms = 0

    def key(self, name: str, now_ms: int) -> "Optional[str]":
        """The PIN when it is entered, else None. Raises Malformed where more was typed than a PIN has."""
        self.wait_ms(now_ms)
        self._last_ms = now_ms
        digits, self._digits = self._digits, ""
        if name == "*" or (name == "#" and not digits):
            return None
        if name != "#":
            if len(name) != 1 or name not in "0123456789":
                raise Malformed("pin_key")
            if len(digits) <= MAX_DIGITS:
                digits += name
            if len(digits) != self._length:
                self._digits = digits
                return None
        if len(digits) > MAX_DIGITS:
            raise Malformed("pin_long")
        return digits

    def wait_ms(self, now_ms: int) -> int:
        """Forget what was begun and left. How long to wait until then; 0 if nothing is kept."""
        left = self._last_ms + BETWEEN_KEYS_MS - now_ms
        if left <= 0:
            self._digits = ""
        return left if self._digits else 0
