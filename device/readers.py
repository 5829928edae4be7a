"""Cards and PINs at the readers of the door: found in the table of users, and what guessing them comes to.

Loaded where there is a reader.
"""

from device.config_store import NumberFile
from protocol import access, journal
from protocol.attempts import Attempts
from protocol.credential import EXTENDED_TIME
from protocol.table import lookup, user_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from device.parts import Parts


class Readers:
    """Of one door; `parts.authority` decides."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._codes = NumberFile(parts.identity.base + "/codes")
        self._attempts = Attempts(self._codes.value, parts.config.current.codes)

    def shown(self, method: int, label: bytes, secret: bytes, out: bool) -> int:
        """Decide on the secret of a card or PIN, and act; returns the status."""
        parts = self._parts
        config = parts.config.current
        attempts = self._attempts
        authority = parts.authority
        now = parts.clock.uptime_ms()
        out = out or bool(config.way_out)
        by_code = method == journal.METHOD_PIN
        locked_out = by_code and attempts.locked_out(now)
        row = None if locked_out else self._row(lookup(parts.identity.lookup_key, label, secret))
        token = user_token(row, parts.config.epoch) if row is not None else None
        facts = authority.facts(method, token)
        facts.locked_out = locked_out
        user = bytes(8)
        if token is not None:
            user = token.credential_id
            facts.second = by_code and attempts.second(user, now)
            facts.inside = not out and attempts.inside(user, now, config.passback_s * 1000)
        status = authority.decide(facts, row[:8] if row is not None else b"")
        if status == access.STATUS_GRANTED:
            parts.door.release(bool(facts.grant and facts.grant.token.flags & EXTENDED_TIME))
            attempts.passed(user, now, out or not config.passback_s)
            if by_code:
                attempts.right_code()
        elif status == access.STATUS_SECOND and not by_code:
            attempts.first(user, now)
        elif status == access.STATUS_UNKNOWN and by_code and attempts.wrong_code(now, config.codes):
            parts.door.alarm(journal.EVENT_WRONG_CODES)
        if by_code:
            self._keep(attempts.wrong)
        if not locked_out:
            authority.tell(method, status, token)
        return status

    def _row(self, key: bytes) -> "Optional[bytes]":
        try:
            return self._parts.users.find(key)
        except OSError:
            self._parts.counters.up("users_read")
            return None

    def _keep(self, wrong: int) -> None:
        """A reset gives no new attempts. A write for each wrong code, which a lock-out makes few, and none before a release."""
        try:
            if self._codes.value != wrong:
                self._codes.save(wrong)
        except OSError:
            self._parts.counters.up("codes_write")
