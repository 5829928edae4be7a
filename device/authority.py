"""The one place on the board where it is decided who moves the bolt: Bluetooth, readers, exit contact, key switch, command.

Each gathers the facts, asks `protocol.access.decide`, and on a grant releases the lock before anything is written; but that
what opens once was used is written first.
"""

from micropython import const

from protocol import access, journal
from protocol.command import MODES
from protocol.credential import DURESS, EXTENDED_TIME, ONE_TIME, Grant
from protocol.handshake import ACTION_LOCK, ACTION_STATUS, ACTION_UNLOCK
from protocol.table import ALL_KEYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Optional, Tuple

    from device.parts import Parts
    from device.readers import Readers
    from protocol.command import Command
    from protocol.credential import Token
    from protocol.handshake import Auth

# The same refusal again is counted, not recorded: whoever repeats it must not push other records out of the ring.
_REPEAT_MS = const(10_000)


class Authority:
    """Decides and acts. Every call returns after the relay and the journal's commit."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._readers: "Optional[Readers]" = None
        self._refused = b""
        self._refused_ms = 0

    def uptime_ms(self) -> int:
        """Milliseconds since boot, never wrapping."""
        return self._parts.clock.uptime_ms()

    def challenge_facts(self) -> "Tuple[Optional[Tuple[int, int]], int]":
        """What a challenge tells: (time, uncertainty) or None, and the revocation sequence."""
        now = self._parts.clock.now()
        clock = (int(now.t), int(now.u)) if now is not None else None
        table = self._parts.revocations
        # Where there is a table, it has all of them, and the configuration only the first; one that was lost has none.
        revocation = table.sequence if table.highest() else self._parts.config.current.revocation
        return clock, revocation

    def bluetooth(self, auth: "Auth") -> "Tuple[int, int]":
        """Decide on a proof that was verified; returns the status and the sequence of its record."""
        token = auth.token
        facts = self.facts(journal.METHOD_BLE, token, auth.caveats, auth.action)
        self._ask_revocations(facts, token)
        status = self.decide(facts, token.credential_id)
        if auth.action == ACTION_STATUS:
            return status, self._parts.recorder.store.sequence
        if status == access.STATUS_GRANTED:
            status = self._move(auth.action, bool(token.flags & EXTENDED_TIME))
        return status, self.tell(journal.METHOD_BLE, status, token, auth.action)

    def card(self, number: bytes, out: bool = False) -> int:
        """A card, by its canonical number (8 bytes), at the reader on the way in or out; returns the status."""
        return self._shown(journal.METHOD_CARD, b"card", number, out)

    def pin(self, digits: str, out: bool = False) -> int:
        """A code at the keypad on the way in or out; returns the status."""
        return self._shown(journal.METHOD_PIN, b"pin", digits.encode(), out)

    def asked(self, method: int) -> int:
        """Somebody inside pressed the button, or turned the key switch."""
        door = self._parts.door
        status = access.decide(access.Facts(method))
        if status == access.STATUS_GRANTED:
            if method == journal.METHOD_REX:
                door.let_out()
            else:
                door.release()
        self._record(method, status)
        return status

    def command(self, command: "Command") -> "Tuple[int, int]":
        """A command that the gate admitted; returns the status and the sequence of its record."""
        modes = self._parts.modes
        if command.op == "mode":
            sequence = modes.command(MODES.index(command.args["mode"]))
            self._parts.recorder.commit()
            return access.STATUS_GRANTED, sequence
        if command.op == "lock":
            status = self._move(ACTION_LOCK)
            return status, self._record(journal.METHOD_REMOTE, status, value=ACTION_LOCK)
        status = access.decide(access.Facts(journal.METHOD_REMOTE, lockdown=modes.lockdown))
        if status == access.STATUS_GRANTED:
            self._parts.door.release()
        return status, self._record(journal.METHOD_REMOTE, status)

    def _move(self, action: int, extended: bool = False) -> int:
        door = self._parts.door
        if action != ACTION_LOCK:
            door.release(extended)
            return access.STATUS_GRANTED
        door.lock()
        return access.STATUS_MODE if door.released else access.STATUS_GRANTED

    def _shown(self, method: int, label: bytes, secret: bytes, out: bool) -> int:
        if self._readers is None:
            from device.readers import Readers

            self._readers = Readers(self._parts)
        return self._readers.shown(method, label, secret, out)

    def decide(self, facts: "access.Facts", id: bytes) -> int:
        """The decision. What may be used once is used, on flash, before this grants it; `id` (8 bytes) names it there."""
        grant = facts.grant
        once = grant is not None and bool(grant.token.flags & ONE_TIME)
        if once:
            from device.spent import Spent

            spent = Spent(self._parts.identity.base + "/spent")
            facts.spent = not spent.open(id, self._parts.clock.floor)
        status = access.decide(facts)
        if once and grant is not None and status == access.STATUS_GRANTED and facts.action == ACTION_UNLOCK:
            try:
                spent.spend(id, grant.token.not_after)
            except OSError:
                self._parts.counters.up("spent_write")
                status = access.STATUS_SPENT
        return status

    def tell(self, method: int, status: int, token: "Optional[Token]", value: int = 0) -> int:
        """Record what was decided of a credential, and silently that it was shown under duress; the same refusal
        again is only counted."""
        recorder = self._parts.recorder
        user = token.credential_id if token is not None else bytes(8)
        if status != access.STATUS_GRANTED and self._repeats(user + bytes((method, status))):
            return recorder.store.sequence
        if token is not None and token.flags & DURESS:
            self._parts.door.alarm(journal.EVENT_DURESS, user)
        return self._record(method, status, user, value)

    def _record(self, method: int, status: int, subject: bytes = bytes(8), value: int = 0) -> int:
        """Record the decision and make it durable: the answer that follows promises it."""
        granted = status == access.STATUS_GRANTED
        kind = journal.EVENT_ACCESS_GRANTED if granted else journal.EVENT_ACCESS_DENIED
        sequence = self._parts.recorder.record(kind, method, status, subject, value)
        self._parts.recorder.commit()
        return sequence

    def _repeats(self, what: bytes) -> bool:
        """Whether the last refusal was the same and not long ago."""
        now = self.uptime_ms()
        if what == self._refused and now - self._refused_ms < _REPEAT_MS:
            self._parts.counters.up("refused_again")
            return True
        self._refused, self._refused_ms = what, now
        return False

    def facts(
        self,
        method: int,
        token: "Optional[Token]",
        caveats: "Iterable[bytes]" = (),
        action: int = ACTION_UNLOCK,
    ) -> "access.Facts":
        parts = self._parts
        config = parts.config.current
        return access.Facts(
            method,
            Grant(token, caveats) if token is not None else None,
            action,
            parts.identity.door_id,
            parts.config.epoch,
            parts.clock.now(),
            config.max_u_s,
            schedule=config.schedule(token.schedule_id) if token is not None else None,
            lockdown=parts.modes.lockdown,
        )

    def _ask_revocations(self, facts: "access.Facts", token: "Token") -> None:
        """Of the configuration and of the table. A door that has lost its table, or cannot read it, honours no key."""
        config = self._parts.config.current
        table = self._parts.revocations
        facts.revoked = True
        try:
            if (
                table.damaged
                or config.revoked(token.credential_id)
                or table.find(token.credential_id) is not None
            ):
                return
            row = table.find(token.subject + ALL_KEYS)
        except OSError:
            self._parts.counters.up("revocations_read")
            return
        facts.revoked = False
        facts.min_generation = config.min_generation(token.subject)
        if row is not None:
            facts.min_generation = max(facts.min_generation, int.from_bytes(row[8:], "big"))
