"""The site's rules on this board: revocation list, key epoch, schedules and door policy, from one sealed configuration.

The envelope is kept on flash as it came, and its seal is checked again at each boot. The key epoch is also kept by itself,
before the configuration that raises it: it never falls, whatever becomes of that one.
"""

from device import door_table
from device.config_store import NumberFile, SlotFile
from device.json_members import members, value
from protocol.envelope import LABEL_CONFIG, open_text
from protocol.errors import Malformed, ProtocolError, Replayed, WrongDevice
from protocol.schedule import WeeklySchedule, check_holidays, check_windows
from protocol.timezone import TimeZone
from protocol.x509_spki import check_pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Optional, Sequence, Tuple

    from device.counters import Counters
    from protocol.keys import Buffer

# What one configuration can make the board hold; the cloud sends no more.
MAX_REVOKED = 64
MAX_SUBJECTS = 64
MAX_WINDOWS = 64
MAX_HOLIDAYS = 32

_ROW = 8


class Rows:
    """Rows of 8 bytes end to end: a set or dict of as many would cost the heap ten times the bytes."""

    def __init__(self, rows: bytes = b"") -> None:
        self._rows = rows

    def find(self, head: bytes) -> "Optional[bytes]":
        """The row that begins with `head`, or None."""
        at = self._rows.find(head)
        while at >= 0 and at % _ROW:
            at = self._rows.find(head, at + 1)
        return self._rows[at : at + _ROW] if at >= 0 else None


class Config:
    """One configuration, checked."""

    def __init__(self) -> None:
        self.version = 0
        self.epoch = -1  # it does not say
        self.revocation = 0
        self.revocations = Rows()
        self.generations = Rows()
        self.windows = b""
        self.holidays = b""
        self.zone = TimeZone()
        self.max_u_s = 60
        self.pins: "Tuple[str, ...]" = ()  # of the broker; none: those of provisioning
        self.open_s = 5.0
        self.unlock_schedule = 0
        self.door: "Sequence[int]" = ()
        self.cards: "Dict[int, Sequence[int]]" = {}  # formats by length; none: the usual ones
        self.codes = 5
        self.passback_s = 0
        self.way_out = 0

    def revoked(self, credential_id: bytes) -> bool:
        """Whether this credential (8 bytes) is on the list."""
        return self.revocations.find(credential_id) is not None

    def min_generation(self, subject: bytes) -> int:
        """The lowest generation of this subject (4 bytes) that is still good."""
        row = self.generations.find(subject)
        return int.from_bytes(row[4:], "big") if row is not None else 0

    def schedule(self, number: int) -> WeeklySchedule:
        """The schedule of that number; it allows nothing if the configuration has no window for it."""
        return WeeklySchedule(number, self.windows, self.holidays, self.zone)


def parse_config(text: str, device_id: str) -> Config:
    """Check every field of an opened configuration; raise Malformed or WrongDevice.

    Piece by piece: the heap does not hold a large one parsed, beside the session that it came by.
    """
    config = Config()
    config.revocation = -1
    plain: "Dict[str, Any]" = {}
    for name, at, end in members(text):
        if name == "rev":
            _parse_revocations(config, text, at)
        elif name == "epoch":
            config.epoch = _integer(value(text, at, end), 255)
        elif name == "schedules":
            config.windows = _rows(value(text, at, end), 8 * MAX_WINDOWS)
            check_windows(config.windows)
        elif name == "holidays":
            config.holidays = _rows(value(text, at, end), 5 * MAX_HOLIDAYS)
            check_holidays(config.holidays)
        elif name == "tz":
            config.zone = TimeZone(value(text, at, end))
        elif name == "policy":
            _parse_policy(config, _dict(value(text, at, end)))
        elif name == "cards":
            from protocol.wiegand import formats

            config.cards = formats(value(text, at, end))
        elif name == "pins":
            config.pins = check_pins(value(text, at, end), "config_pins")
        elif name in ("dev", "ver"):
            plain[name] = value(text, at, end)
    if plain.get("dev") != device_id:
        raise WrongDevice("config_device")
    config.version = _integer(plain.get("ver"), 0xFFFFFFFF)
    if config.revocation < 0:
        raise Malformed("config_rev")
    return config


def _parse_revocations(config: Config, text: str, begin: int) -> None:
    for name, at, end in members(text, begin):
        if name == "seq":
            config.revocation = _integer(value(text, at, end), 0xFFFFFFFF)
        elif name == "creds":
            creds = value(text, at, end)
            if not isinstance(creds, list) or len(creds) > MAX_REVOKED:
                raise Malformed("config_rev")
            rows = bytearray()
            for item in creds:
                rows.extend(_hex(item, 8))
            config.revocations = Rows(bytes(rows))
        elif name == "gens":
            rows = bytearray()
            for subject, start, end in members(text, at):
                rows.extend(_hex(subject, 4))
                rows.extend(_integer(value(text, start, end), 0xFFFFFFFF).to_bytes(4, "big"))
                if len(rows) > MAX_SUBJECTS * _ROW:
                    raise Malformed("config_rev")
            config.generations = Rows(bytes(rows))


def _parse_policy(config: Config, raw: "Dict[str, Any]") -> None:
    config.max_u_s = _integer(raw.get("max_u_s", config.max_u_s), 86_400)
    config.unlock_schedule = _integer(raw.get("unlock_schedule", 0), 0xFFFF)
    fields = door_table.POLICY.split()
    config.door = [
        _integer(raw.get(fields[at], int(fields[at + 1])), int(fields[at + 2]))
        for at in range(0, len(fields), 3)
    ]
    config.codes = _integer(raw.get("codes", config.codes), 100)
    config.passback_s = _integer(raw.get("passback_s", 0), 86_400)
    config.way_out = _integer(raw.get("way_out", 0), 1)
    open_s = raw.get("open_s", config.open_s)
    if not isinstance(open_s, (int, float)) or not 0.1 <= open_s <= 60:
        raise Malformed("config_policy")
    config.open_s = open_s


def _integer(item: "Any", high: int) -> int:
    if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= high:
        raise Malformed("config_integer")
    return item


def _dict(item: "Any") -> "Dict[str, Any]":
    if not isinstance(item, dict):
        raise Malformed("config_shape")
    return item


def _hex(item: "Any", size: int) -> bytes:
    if not isinstance(item, str) or len(item) != 2 * size or item.strip("0123456789abcdef"):
        raise Malformed("config_hex")
    return bytes.fromhex(item)


def _rows(item: "Any", limit: int) -> bytes:
    """A table of at most so many bytes, from hex."""
    if not isinstance(item, str) or len(item) > 2 * limit:
        raise Malformed("config_rows")
    return _hex(item, len(item) // 2)


class ConfigKeeper:
    """The configuration in force. A newer one replaces it on flash first, in RAM then.

    `epoch` is the key epoch in force: the highest of provisioning (given here), of any configuration, of the floor
    on flash. `raised(epoch)` records that a configuration raises it.
    """

    def __init__(
        self,
        path: str,
        key: bytes,
        device_id: str,
        counters: "Counters",
        epoch: int,
        raised: "Callable[[int], None]",
    ) -> None:
        self._slots = SlotFile(path)
        self._key = key
        self._device_id = device_id
        self.current = Config()
        raw = self._slots.load()
        if raw is not None:
            try:
                self.current = self._open(raw)
            except ProtocolError as e:
                counters.up("config_stored_" + e.reason)
        self._floor = NumberFile(path + ".epoch")
        self.current.epoch = max(epoch, self.current.epoch)
        self.epoch = max(self.current.epoch, self._floor.value)
        self._raised = raised

    def accept(self, raw: "Buffer", peer: str = "") -> bool:
        """Take a sealed configuration; False if it is the one in force. Raises ProtocolError or OSError.

        `peer` is the pin of the broker that it came from: pins without it would lock this board out for good.
        """
        config = self._open(raw)
        current = self.current
        if config.version < current.version or config.revocation < current.revocation:
            raise Replayed("config_older")
        if config.version == current.version:
            return False
        if 0 <= config.epoch < self.epoch:
            raise Replayed("config_epoch")
        if config.pins and peer and peer not in config.pins:
            raise ProtocolError("config_broker")  # another broker may bring it
        if config.epoch > current.epoch:
            # In this order: after a cut between them the configuration comes again, and so does the record.
            self._floor.save(config.epoch)
            self.epoch = config.epoch
            self._raised(config.epoch)
        config.epoch = max(config.epoch, current.epoch)
        self._slots.save(raw)
        self.current = config
        return True

    def _open(self, raw: "Buffer") -> Config:
        return parse_config(open_text(self._key, LABEL_CONFIG, raw), self._device_id)
