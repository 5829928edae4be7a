"""The mode of the door: by command, else by the schedule of its configuration.

A lockdown is kept over a loss of power; what was released by command is not. A schedule releases only while the
clock is certain.
"""

from protocol.command import MODE_EVACUATION, MODE_LOCKDOWN, MODE_LOCKDOWN_ALL, MODE_UNLOCKED
from protocol.journal import (
    EVENT_MODE_CHANGED,
    METHOD_REMOTE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from device.config_store import NumberFile
    from device.parts import Parts


class Modes:
    """`lockdown` is 0; 1: only LOCKDOWN_OVERRIDE opens; 2: no credential does. `kept` is the file of the mode that
    outlives a loss of power.
    """

    def __init__(self, parts: "Parts", kept: "NumberFile") -> None:
        self._parts = parts
        self._kept = kept
        self._commanded = self.mode = kept.value
        self.lockdown = max(0, kept.value - 1)

    def command(self, mode: int) -> int:
        """Put the door into a mode; returns the sequence of its record. Raises OSError if a lockdown cannot be kept, and
        is in force nevertheless; or if it cannot be taken from the flash, and goes on.
        """
        keep = mode if mode in (MODE_LOCKDOWN, MODE_LOCKDOWN_ALL) else 0
        if not keep and self._kept.value:
            self._kept.save(0)
        self._commanded = mode
        sequence = self.follow(METHOD_REMOTE)
        if keep != self._kept.value:
            self._kept.save(keep)
        return sequence

    def follow(self, method: int = 0) -> int:
        """Do what the commanded mode, else the schedule says now; returns the sequence of a record, if there is one."""
        parts = self._parts
        mode = self._commanded
        config = parts.config.current
        now = parts.clock.now()
        if not mode and config.unlock_schedule and now is not None and now.u <= config.max_u_s:
            mode = MODE_UNLOCKED if config.schedule(config.unlock_schedule).allows(now) else 0
        if mode == self.mode:
            if not method:
                return 0
        else:
            self.mode = mode
            self.lockdown = mode - 1 if mode in (MODE_LOCKDOWN, MODE_LOCKDOWN_ALL) else 0
            parts.door.hold(mode in (MODE_UNLOCKED, MODE_EVACUATION))
        return parts.recorder.record(EVENT_MODE_CHANGED, method, value=mode)
