"""The one place on the board where it is decided who moves the bolt: Bluetooth, exit button, command.

Each gathers the facts, asks `protocol.access.decide`, and on a grant releases the strike before anything is
written.
"""

from micropython import const

from protocol import access, journal
from protocol.command import MODES
from protocol.credential import EXTENDED_TIME, Grant
from protocol.handshake import ACTION_LOCK, ACTION_STATUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from device.parts import Parts
    from protocol.command import Command
    from protocol.handshake import Auth

# The same refusal again is counted, not recorded: whoever repeats it must not push other records out of the ring.
_REPEAT_MS = const(10_000)


class Authority:
    """Decides and acts. Every call returns after the relay and the journal's commit."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._refused = b""
        self._refused_ms = 0

    def uptime_ms(self) -> int:
        """Milliseconds since boot, never wrapping."""
        return self._parts.clock.uptime_ms()

    def challenge_facts(self) -> "Tuple[Optional[Tuple[int, int]], int]":
        """What a challenge tells: (time, uncertainty) or None, and the revocation sequence."""
        now = self._parts.clock.now()
        clock = (int(now.t), int(now.u)) if now is not None else None
        return clock, self._parts.config.current.revocation

    def bluetooth(self, auth: "Auth") -> "Tuple[int, int]":
        """Decide on a proof that was verified; returns the status and the sequence of its record."""
        parts = self._parts
        status = access.decide(self._credential_facts(auth))
        if auth.action == ACTION_STATUS:
            return status, parts.recorder.store.sequence
        if status == access.STATUS_GRANTED:
            status = self._move(auth.action, bool(auth.token.flags & EXTENDED_TIME))
        elif self._repeats(auth.token.credential_id + bytes((status,))):
            return status, parts.recorder.store.sequence
        sequence = self._record(journal.METHOD_BLE, status, auth.token.credential_id, auth.action)
        return status, sequence

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

    def _credential_facts(self, auth: "Auth") -> "access.Facts":
        config = self._parts.config.current
        token = auth.token
        return access.Facts(
            journal.METHOD_BLE,
            grant=Grant(token, auth.caveats),
            action=auth.action,
            door_id=self._parts.identity.door_id,
            epoch=self._parts.identity.epoch,
            clock=self._parts.clock.now(),
            max_uncertainty=config.max_u_s,
            revoked=config.revoked(token.credential_id),
            min_generation=config.min_generation(token.subject),
            schedule=config.schedule(token.schedule_id),
            lockdown=self._parts.modes.lockdown,
        )
