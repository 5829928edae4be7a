"""Commands from the cloud to a device, and the gate that lets each through once at the most.

A command names the device's boot epoch, so the replay window may live in RAM: after a reset every older command is of
another boot. `exp` is unix seconds; a device that does not know the time refuses, for it cannot tell old from new.
"""

from protocol.errors import Expired, LocalError, Malformed, Replayed, WrongDevice
from protocol.ids import check_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Tuple

    from protocol.clock import Interval

WINDOW = 32
MAX_SEQ = 0xFFFFFFFF
OPERATIONS = ("unlock", "lock", "mode")
# What `args.mode` of the operation `mode` may be; the journal has the position.
MODES = ("normal", "unlocked", "lockdown", "lockdown_all", "evacuation")
MODE_UNLOCKED = 1
MODE_LOCKDOWN = 2
MODE_LOCKDOWN_ALL = 3
MODE_EVACUATION = 4
MAX_LIFE_S = 60  # an expiry further away is refused: nobody waits at a door for longer


def replay_admit(high: int, bitmap: int, seq: int) -> "Optional[Tuple[int, int]]":
    """The window after taking `seq`, or None if it was taken already or is too old. Bit n of `bitmap`: high-n was taken."""
    if seq > high:
        shift = seq - high
        bitmap = ((bitmap << shift) | 1) & 0xFFFFFFFF if shift < WINDOW else 1
        return seq, bitmap
    age = high - seq
    if age >= WINDOW or bitmap & (1 << age):
        return None
    return high, bitmap | (1 << age)


class Command:
    """One admitted command."""

    def __init__(self, id: str, seq: int, exp: int, op: str, args: "Dict[str, Any]") -> None:
        self.id = id
        self.seq = seq
        self.exp = exp
        self.op = op
        self.args = args


def build_command(
    id: str, dev: str, boot: int, seq: int, exp: int, op: str, args: "Dict[str, Any]"
) -> "Dict[str, Any]":
    """Payload of a command, to be sealed with LABEL_COMMAND."""
    if op not in OPERATIONS:
        raise LocalError("operation")
    return {"id": id, "dev": dev, "boot": boot, "seq": seq, "exp": exp, "op": op, "args": args}


def _natural(payload: "Dict[str, Any]", name: str) -> int:
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEQ:
        raise Malformed("command_" + name)
    return value


class CommandGate:
    """Admits each command of this boot once, in time."""

    def __init__(self, dev: str, boot: int) -> None:
        self._dev = dev
        self._boot = boot
        self._high = 0
        self._bitmap = 0

    def admit(self, payload: "Dict[str, Any]", clock: "Optional[Interval]") -> Command:
        """Check an opened payload against the device, boot, window and clock; raise a ProtocolError and change nothing."""
        id = check_id("act", payload.get("id"))
        op = payload.get("op")
        args = payload.get("args")
        if op not in OPERATIONS or not isinstance(args, dict):
            raise Malformed("command_op")
        if op == "mode" and args.get("mode") not in MODES:
            raise Malformed("command_mode")
        boot, seq, exp = _natural(payload, "boot"), _natural(payload, "seq"), _natural(payload, "exp")
        if payload.get("dev") != self._dev:
            raise WrongDevice()
        if boot != self._boot:
            raise Replayed("other_boot")
        window = replay_admit(self._high, self._bitmap, seq)
        if seq == 0 or window is None:
            raise Replayed()
        if clock is None:
            raise Expired("clock_unknown")
        if clock.t + clock.u > exp:
            raise Expired()
        if exp > clock.t + clock.u + MAX_LIFE_S:
            raise Expired("expiry_too_far")
        self._high, self._bitmap = window
        return Command(id, seq, exp, str(op), args)


def build_result(id: str, dev: str, seq: int, ok: bool, status: str, t: int, jseq: int) -> "Dict[str, Any]":
    """Payload of a result, to be sealed with LABEL_RESULT. `t` unix seconds or 0, `jseq` the record of the decision."""
    return {"id": id, "dev": dev, "seq": seq, "ok": ok, "status": status, "t": t, "jseq": jseq}


def parse_result(payload: "Dict[str, Any]") -> "Dict[str, Any]":
    """Check an opened result; raise Malformed."""
    check_id("act", payload.get("id"))
    check_id("dev", payload.get("dev"))
    for name in ("seq", "t", "jseq"):
        _natural(payload, name)
    status = payload.get("status")
    if not isinstance(payload.get("ok"), bool) or not isinstance(status, str) or not 0 < len(status) <= 40:
        raise Malformed("result_shape")
    return payload
