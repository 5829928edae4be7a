"""What a running board consists of, built in the order of its boot; every later part gets what it needs from
here.
"""

import machine

from device import door_table, pinmap
from device.authority import Authority
from device.clock import Clock, set_rtc_to
from device.config_store import NumberFile
from device.counters import Counters
from device.door import Door
from device.identity import BASE, Identity
from device.journal_store import JournalStore
from device.policy import ConfigKeeper
from device.recorder import Recorder
from protocol import journal
from protocol.command import CommandGate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Tuple

_REPORTS = (
    (door_table.REPORT_OPENED, journal.EVENT_DOOR_OPENED),
    (door_table.REPORT_CLOSED, journal.EVENT_DOOR_CLOSED),
    (door_table.REPORT_FORCED, journal.EVENT_DOOR_FORCED),
    (door_table.REPORT_HELD, journal.EVENT_DOOR_HELD),
)


class Parts:
    """The door comes first: what follows may fail on a flash or an identity that does not work."""

    def __init__(self, base: str = BASE) -> None:
        self.counters = Counters()
        self.door_changed: "Callable[[], None]" = _nothing
        # What may be fetched: (version in force, what takes a file of another); see device.inbox.
        self.kinds: "Dict[str, Tuple[Callable[[], int], Callable[[str, int], Any]]]" = {}
        self.door = Door(pinmap.load(), self._door_reported, self._exit_requested)
        self.identity = Identity(base)
        floor = NumberFile(base + "/floor")
        set_rtc_to(floor.value)
        self.clock = Clock(floor)
        self.config = ConfigKeeper(
            base + "/config", self.identity.config_key, self.identity.device_id, self.counters
        )
        store = JournalStore(base + "/journal", self.identity.begin_boot())
        self.recorder = Recorder(store, self.clock, self.counters)
        self.gate = CommandGate(self.identity.device_id, self.identity.boot)
        self.authority = Authority(self)
        self.recorder.record(journal.EVENT_BOOT, value=machine.reset_cause())
        self._configure()
        self.recorder.commit()

    def config_changed(self) -> None:
        """A new configuration is in force."""
        self._configure()
        self.recorder.record(journal.EVENT_CONFIG_APPLIED, value=self.config.current.version)

    def _configure(self) -> None:
        current = self.config.current
        self.door.configure(current.open_s, current.held_s)

    def _door_reported(self, reports: int) -> None:
        for report, event in _REPORTS:
            if reports & report:
                self.recorder.record(event)
        self.door_changed()

    def _exit_requested(self) -> None:
        self.authority.exit_button()


def _nothing() -> None:
    """Nobody listens yet."""
