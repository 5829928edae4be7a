"""Errors of the protocol: the peer's mistakes, each with a stable reason slug, and our own misuse.

A decoder returns a value or raises ProtocolError, nothing else. None of them is raised after the door may have moved:
every check comes before the relay, so it is always safe to retry with a fresh message.
"""


class ProtocolError(Exception):
    """The peer sent something we refuse. `reason` is a stable slug for counters and the audit log."""

    default_reason = "protocol"

    def __init__(self, reason: str = "", detail: str = "") -> None:
        self.reason = reason or self.default_reason
        super().__init__(self.reason + (": " + detail if detail else ""))


class Malformed(ProtocolError):
    """Bytes or JSON that no correct peer sends. Retrying the same message never helps."""

    default_reason = "malformed"


class BadMac(ProtocolError):
    """The seal does not fit: forged, damaged, or made with another key."""

    default_reason = "bad_mac"


class Replayed(ProtocolError):
    """A message that was already used, or belongs to another boot of the device."""

    default_reason = "replayed"


class Expired(ProtocolError):
    """Too late, or the clock cannot prove that it is not. A fresh message may succeed."""

    default_reason = "expired"


class WrongDevice(ProtocolError):
    """Sealed or addressed for another device."""

    default_reason = "wrong_device"


class LocalError(Exception):
    """Our own code used the protocol wrongly: a bug here, not at the peer."""
