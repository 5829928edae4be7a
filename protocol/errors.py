"""Errors of the protocol: the peer's mistakes, each with a stable reason slug, and our own misuse.

A decoder returns a value or raises ProtocolError, nothing else. None of them is raised after the door may have moved:
every check comes before the relay, so it is always safe to retry with a fresh message.

`refusal` is the code of a class in the journal, beside those of causes that are no fault of the peer.
"""

LAST_FINAL = 4  # up to here nothing but another file or configuration helps
REFUSED_DAMAGED = 6
REFUSED_FLASH = 7
REFUSED_MEMORY = 8
REFUSED_SILENCE = 9
REFUSED_FAULT = 10


class ProtocolError(Exception):
    """The peer sent something we refuse. `reason` is a stable slug for counters and the audit log."""

    default_reason = "protocol"
    refusal = 0

    def __init__(self, reason: str = "", detail: str = "") -> None:
        self.reason = reason or self.default_reason
        super().__init__(self.reason + (": " + detail if detail else ""))


class Malformed(ProtocolError):
    """Bytes or JSON that no correct peer sends. Retrying the same message never helps."""

    default_reason = "malformed"
    refusal = 1


class BadMac(ProtocolError):
    """The seal does not fit: forged, damaged, or made with another key."""

    default_reason = "bad_mac"
    refusal = 2


class Replayed(ProtocolError):
    """A message that was already used, or belongs to another boot of the device."""

    default_reason = "replayed"
    refusal = 3


class Expired(ProtocolError):
    """Too late, or the clock cannot prove that it is not. A fresh message may succeed."""

    default_reason = "expired"
    refusal = 5


class WrongDevice(ProtocolError):
    """Sealed or addressed for another device."""

    default_reason = "wrong_device"
    refusal = 4


class Damaged(ProtocolError):
    """Not the bytes that were meant: a hop or the flash changed them. The same file may succeed."""

    refusal = REFUSED_DAMAGED


class LocalError(Exception):
    """Our own code used the protocol wrongly: a bug here, not at the peer."""
