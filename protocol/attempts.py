"""What a door remembers of attempts for a while: wrong codes, first halves of dual credentials, and who went in.

In RAM, and a reset forgets it, but for the count of wrong codes, which its owner keeps. Times are milliseconds since boot.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

FIRST_LOCK_MS = 30_000
MAX_LOCK_MS = 960_000
SECOND_MS = 15_000  # from the card to the PIN of its user
MAX_INSIDE = 64  # users whom anti-passback remembers; one more makes it forget the first


class Attempts:
    """Of one door. `wrong` counts the wrong codes since the last right one; from `limit` of them on, each is a lock-out, and
    so is a boot.
    """

    def __init__(self, wrong: int = 0, limit: int = 1) -> None:
        self.wrong = wrong
        self._until = self._lock_ms(limit)
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
        self.wrong += 1
        lock = self._lock_ms(limit)
        self._until = now + lock
        return lock

    def right_code(self) -> None:
        """A code that was granted."""
        self.wrong = 0

    def _lock_ms(self, limit: int) -> int:
        over = self.wrong - max(1, limit)
        return min(MAX_LOCK_MS, FIRST_LOCK_MS << min(over, 8)) if over >= 0 else 0

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
