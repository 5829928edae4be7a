"""The site's rules on this board: revocation list, schedules and door policy, from one sealed configuration.

The envelope is kept on flash as it came, and its seal is checked again at each boot.
"""

from device.config_store import SlotFile
from protocol.envelope import LABEL_CONFIG, open_sealed
from protocol.errors import Malformed, ProtocolError, Replayed, WrongDevice
from protocol.schedule import WeeklySchedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

    from device.counters import Counters

# What one configuration can make the board hold; the envelope's own limit is reached at about the same size.
MAX_REVOKED = 400
MAX_SUBJECTS = 300
MAX_SCHEDULES = 32
MAX_WINDOWS = 16


class Config:
    """One configuration, checked."""

    def __init__(self) -> None:
        self.version = 0
        self.revocation = 0
        self.revoked: "set[bytes]" = set()
        self.generations: "Dict[bytes, int]" = {}
        self.schedules: "Dict[int, WeeklySchedule]" = {}
        self.max_u_s = 60
        self.open_s = 5.0
        self.held_s = 30


def parse_config(payload: "Dict[str, Any]", device_id: str) -> Config:
    """Check every field of an opened configuration; raise Malformed or WrongDevice."""
    if payload.get("dev") != device_id:
        raise WrongDevice("config_device")
    config = Config()
    config.version = _integer(payload.get("ver"), 0xFFFFFFFF)
    revocations = _dict(payload.get("rev"))
    config.revocation = _integer(revocations.get("seq"), 0xFFFFFFFF)
    creds = revocations.get("creds", [])
    gens = _dict(revocations.get("gens", {}))
    if not isinstance(creds, list) or len(creds) > MAX_REVOKED or len(gens) > MAX_SUBJECTS:
        raise Malformed("config_rev")
    config.revoked = set(_hex(item, 8) for item in creds)
    config.generations = {_hex(item, 4): _integer(gens[item], 0xFFFFFFFF) for item in gens}
    offset = payload.get("tz", 0)
    if not isinstance(offset, int) or not -1440 < offset < 1440:
        raise Malformed("config_tz")
    _parse_schedules(config, _dict(payload.get("schedules", {})), offset)
    _parse_policy(config, _dict(payload.get("policy", {})))
    return config


def _parse_schedules(config: Config, raw: "Dict[str, Any]", offset: int) -> None:
    if len(raw) > MAX_SCHEDULES:
        raise Malformed("config_schedules")
    for name in raw:
        windows = raw[name]
        if not name.isdigit() or not isinstance(windows, list) or len(windows) > MAX_WINDOWS:
            raise Malformed("config_schedules")
        for window in windows:
            if not isinstance(window, list) or len(window) != 3:
                raise Malformed("config_schedules")
            _integer(window[0], 127)
            _integer(window[1], 1440)
            _integer(window[2], 1440)
        config.schedules[int(name)] = WeeklySchedule([tuple(window) for window in windows], offset)


def _parse_policy(config: Config, raw: "Dict[str, Any]") -> None:
    config.max_u_s = _integer(raw.get("max_u_s", config.max_u_s), 86_400)
    config.held_s = _integer(raw.get("held_s", config.held_s), 86_400)
    open_s = raw.get("open_s", config.open_s)
    if not isinstance(open_s, (int, float)) or not 0.1 <= open_s <= 60:
        raise Malformed("config_policy")
    config.open_s = open_s


def _integer(value: "Any", high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
        raise Malformed("config_integer")
    return value


def _dict(value: "Any") -> "Dict[str, Any]":
    if not isinstance(value, dict):
        raise Malformed("config_shape")
    return value


def _hex(value: "Any", size: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size or value.strip("0123456789abcdef"):
        raise Malformed("config_hex")
    return bytes.fromhex(value)


class ConfigKeeper:
    """The configuration in force. A newer one replaces it on flash first, in RAM then."""

    def __init__(self, path: str, key: bytes, device_id: str, counters: "Counters") -> None:
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

    def accept(self, raw: bytes) -> bool:
        """Take a sealed configuration; False if it is the one in force. Raises ProtocolError or OSError."""
        config = self._open(raw)
        current = self.current
        if config.version < current.version or config.revocation < current.revocation:
            raise Replayed("config_older")
        if config.version == current.version:
            return False
        self._slots.save(raw)
        self.current = config
        return True

    def _open(self, raw: bytes) -> Config:
        return parse_config(open_sealed(self._key, LABEL_CONFIG, raw), self._device_id)
