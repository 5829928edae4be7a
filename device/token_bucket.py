"""How often a stranger may make the board work."""


class TokenBucket:
    """Lets `burst` through at once and one more every `every_ms`."""

    def __init__(self, burst: int, every_ms: int) -> None:
        self._burst = burst
        self._every = every_ms
        self._left = burst
        self._since = 0

    def take(self, now_ms: int) -> bool:
        """Whether one more may pass; `now_ms` must not wrap, for a door may be left alone for weeks."""
        earned = (now_ms - self._since) // self._every
        self._left = min(self._burst, self._left + earned)
        self._since += earned * self._every
        if self._left < 1:
            return False
        self._left -= 1
        return True
