"""What a running board consists of, built in the order of its boot; every later part gets what it needs from
here.
"""

import machine

from device import pinmap
from device.authority import Authority
from device.clock import Clock, set_rtc_to
from device.config_store import NumberFile
from device.counters import Counters
from device.door import Door
from device.identity import BASE, Identity
from device.journal_store import JournalStore
from device.modes import Modes
from device.policy import ConfigKeeper
from device.recorder import Recorder
from device.table_store import TableStore
from protocol import journal
from protocol.command import CommandGate
from protocol.ids import id_bytes
from protocol.table import KIND_REVOCATIONS, KIND_USERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Tuple

    from device.inbox import Inbox


class Parts:
    """The door comes first: what follows may fail on a flash or an identity that does not work."""

    def __init__(self, base: str = BASE) -> None:
        self.counters = Counters()
        self.door_changed: "Callable[[], None]" = _nothing
        # What may be fetched: (version in force, what takes a file of another); see device.inbox.
        self.kinds: "Dict[str, Tuple[Callable[[], int], Callable[[str, int], Any]]]" = {}
        self.inbox: "Optional[Inbox]" = None  # see device.inbox.of
        self.pins = pinmap.load()
        self.door = Door(self.pins, self._door_reported, self._asked)
        self.identity = Identity(base)
        self.clock = Clock(NumberFile(base + "/floor"))
        set_rtc_to(self.clock.floor)
        self.kinds["firmware"] = _firmware, self._update
        self.config = ConfigKeeper(
            base + "/config",
            self.identity.config_key,
            self.identity.device_id,
            self.counters,
            self.identity.epoch,
            self._epoch_raised,
        )
        store = JournalStore(base + "/journal", self.identity.begin_boot())
        self.recorder = Recorder(store, self.clock, self.counters)
        self.modes = Modes(self, NumberFile(base + "/mode"))
        self.users = self._table("users", KIND_USERS)
        self.revocations = self._table("revocations", KIND_REVOCATIONS)
        self.gate = CommandGate(self.identity.device_id, self.identity.boot)
        self.authority = Authority(self)
        self.recorder.record(journal.EVENT_BOOT, value=_boot_cause())
        self._configure()
        self.recorder.commit()

    def _table(self, name: str, kind: int) -> TableStore:
        me = self.identity
        table = TableStore(me.base + "/" + name, kind, me.table_key, id_bytes(me.device_id))
        self.kinds[name] = (
            lambda: table.sequence,
            lambda path, _version: table.activate(path),
        )
        return table

    def config_changed(self) -> None:
        """A new configuration is in force."""
        self._configure()
        self.recorder.record(journal.EVENT_CONFIG_APPLIED, value=self.config.current.version)

    def _epoch_raised(self, epoch: int) -> None:
        self.recorder.record(journal.EVENT_EPOCH_RAISED, value=epoch)
        self.recorder.commit()

    def _configure(self) -> None:
        current = self.config.current
        self.door.configure(current.open_s, current.door)
        self.modes.follow()

    def wake_door(self) -> None:
        """Every few seconds: the door's task is to show that it lives, and the schedule to be followed."""
        self.door.wake()
        self.modes.follow()

    def _door_reported(self, event: int, value: int = 0, subject: bytes = bytes(8)) -> None:
        if event:
            self.recorder.record(event, subject=subject, value=value)
        self.door_changed()

    def _asked(self, method: int) -> None:
        self.authority.asked(method)

    def _update(self, path: str, version: int) -> "Any":
        from device import update

        return update.take(self, path, version)


def _boot_cause() -> int:
    """A mark in RTC memory outlives every reset but a loss of power: a power-on that finds it was a brown-out."""
    rtc = machine.RTC()
    cause = machine.reset_cause()
    if cause == journal.BOOT_POWER_ON and rtc.memory() == b"latchwork":
        cause = journal.BOOT_BROWN_OUT
    rtc.memory(b"latchwork")
    return cause


def _firmware() -> int:
    """Loaded when it is needed: most boots see no update."""
    from device import update

    return update.version()


def _nothing() -> None:
    """Nobody listens yet."""
