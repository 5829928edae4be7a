"""What a door remembers of attempts for a while: wrong codes, first halves of dual credentials, and who went in.

All in RAM: a reset forgets it. Times are milliseconds that do not wrap.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

FIRST_LOCK_MS = 30_000
MAX_LOCK_MS = 960_000
SECOND_MS = 15_000  # from the card to the PIN of its user
MAX_INSIDE = 64  # users whom anti-passback remembers; one more makes it forget the first


class Attempts:
    """Of one door."""

    def __init__(self) -> None:
        self._wrong = 0
        self._lock_ms = 0  # of the last lock-out, since the last right code
        self._until = 0
        self._first = b""
        self._first_at = 0
        self._inside: "List[Tuple[bytes, int]]" = []

    def locked_out(self, now: int) -> bool:
        """Whether codes are refused now, whatever they are."""
        return now < self._until

    def wrong_code(self, now: int, limit: int) -> int:
        """A code that is nobody's. After `limit` of them a lock-out begins: how long, else 0.

        The next one after a lock-out begins another of twice the length.
        """
        self._wrong += 1
        if self._wrong < limit and not self._lock_ms:
            return 0
        self._lock_ms = min(MAX_LOCK_MS, self._lock_ms * 2 or FIRST_LOCK_MS)
        self._until = now + self._lock_ms
        return self._lock_ms

    def right_code(self) -> None:
        """A code that was granted."""
        self._wrong = self._lock_ms = 0

    def first(self, user: bytes, now: int) -> None:
        """The card of somebody who also needs a code."""
        self._first, self._first_at = user, now

    def second(self, user: bytes, now: int) -> bool:
        """Whether the card of this user was seen not long ago."""
        return user == self._first and now - self._first_at <= SECOND_MS

    def passed(self, user: bytes, now: int, out: bool) -> None:
        """The door was released for this user, who comes in or goes out."""
        self._first = b""
        self._inside = [entry for entry in self._inside if entry[0] != user]
        if not out:
            if len(self._inside) >= MAX_INSIDE:
                del self._inside[0]
            self._inside.append((user, now))

    def inside(self, user: bytes, now: int, forgiveness_ms: int) -> bool:
        """Whether this user went in less than the forgiveness time ago, and was not seen to go out."""
        for entry in self._inside:
            if entry[0] == user:
                return now - entry[1] < forgiveness_ms
        return False
