"""The description of a board and its door, from TOML, checked before anything is powered."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SD_BLOCK = 512
BOARDS = Path(__file__).resolve().parents[1] / "boards"

MAX_GPIO = 48
PinNumber = Annotated[int, Field(ge=0, le=MAX_GPIO)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]


class DescriptionError(ValueError):
    """The description is not usable; the message names the file, the field and the reason."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mcu(_Strict):
    """``heap_kib`` is the firmware's heap, ``flash_kib`` the LittleFS partition (4 KiB blocks). Ticks run ``drift_ppm`` fast:
    up to far more than a crystal's, to be seen within seconds."""

    heap_kib: int = Field(160, ge=32, le=65536)
    flash_kib: int = Field(1024, ge=64, le=65536, multiple_of=4)
    drift_ppm: int = Field(0, ge=-100_000, le=100_000)


class RelayPart(_Strict):
    """Operate and release times are those of the datasheet: from coil to contact. It bounces for ``bounce_ms`` as it
    closes."""

    pin: PinNumber
    active: Literal["high", "low"] = "high"
    operate_ms: Milliseconds = 8.0
    release_ms: Milliseconds = 4.0
    bounce_ms: Milliseconds = 0.0


class StrikePart(_Strict):
    """A strike or a maglock, fed through a contact of the relay. Fail-secure: locked without
    current. The normally closed contact keeps the current on while the board is without power or in a reset."""

    mode: Literal["fail-secure", "fail-safe"] = "fail-secure"
    contact: Literal["normally-open", "normally-closed"] = "normally-open"
    release_ms: Milliseconds = 15.0
    lock_ms: Milliseconds = 10.0


class LinePart(_Strict):
    """A supervised line: a resistor beside the contact and one in series with it, at its end, and the board's pull-up. So a
    converter tells an open contact from a cut wire, and a closed one from a shorted wire."""

    series_ohm: float = Field(1_000, gt=0)
    parallel_ohm: float = Field(10_000, gt=0)
    pull_up_ohm: float = Field(4_700, gt=0)


class SwitchPart(_Strict):
    """A contact; ``active`` is the level at the pin while the leaf is away, the button is pressed, the key turned, the
    bolt thrown, the enclosure open, or while there is a fire. It bounces for ``bounce_ms`` after each change."""

    pin: PinNumber
    active: Literal["high", "low"]
    bounce_ms: Milliseconds = 0.0
    line: LinePart | None = None


class LeafPart(_Strict):
    """``closer_ms``: how long its closer takes to shut it once nobody holds it; 0: it has none."""

    closer_ms: Milliseconds = 0.0


class SupplyPart(_Strict):
    """What feeds the board; and the lock, if that draws ``lock_ma`` of it, else it has a supply of its own. ``ohms`` is the
    inner resistance with that of the cable: what is drawn lowers the voltage for all. Under ``brown_out_volts`` the chip is in
    reset, under ``off_volts`` its RTC memory is lost too; a coil falls off under ``hold_volts``."""

    volts: float = Field(12.0, gt=0, le=60)
    ohms: float = Field(0.0, ge=0, le=1000)
    board_ma: float = Field(80.0, ge=0)
    coil_ma: float = Field(70.0, ge=0)
    lock_ma: float = Field(0.0, ge=0)
    brown_out_volts: float = Field(6.0, ge=0)
    off_volts: float = Field(3.0, ge=0)
    hold_volts: float = Field(2.5, ge=0)


class OutputPart(_Strict):
    pin: PinNumber
    active: Literal["high", "low"] = "high"


class UartPart(_Strict):
    """A serial line, and what is at its end. ``de`` is the transceiver's driver enable, if it needs one;
    ``baud`` the rate of the device, if it takes one only."""

    number: int = Field(ge=1, le=2)
    kind: Literal["osdp", "serial"] = "serial"
    tx: PinNumber
    rx: PinNumber
    de: PinNumber | None = None
    baud: int | None = Field(None, ge=300, le=5_000_000)


class Wiegand(_Strict):
    """A reader on two wires; ``led`` and ``buzzer`` are on while low. ``pause_ms`` is that between two bursts."""

    d0: PinNumber
    d1: PinNumber
    led: PinNumber | None = None
    buzzer: PinNumber | None = None
    pulse_us: float = Field(50, ge=20, le=200)
    spacing_us: float = Field(1000, ge=500, le=5000)
    pause_ms: Milliseconds = 60.0


class Keypad(_Strict):
    """A matrix: 123, 456, 789, *0#."""

    rows: tuple[PinNumber, PinNumber, PinNumber, PinNumber]
    cols: tuple[PinNumber, PinNumber, PinNumber]


class Wire(_Strict):
    """Pins of the board that are joined to each other, such as an output to an input for a loop-back."""

    pins: tuple[PinNumber, ...] = Field(min_length=2)


class I2cPart(_Strict):
    """A memory as the 24C02, or a thermometer as the LM75."""

    kind: Literal["eeprom", "thermometer"]
    address: int = Field(ge=0x08, le=0x77)
    celsius: float = Field(21.0, ge=-55, le=125)


class I2cBus(_Strict):
    scl: PinNumber
    sda: PinNumber
    devices: tuple[I2cPart, ...] = ()


class SpiPart(_Strict):
    """A flash memory as the 25 series; it listens while ``cs`` is low."""

    kind: Literal["memory"] = "memory"
    cs: PinNumber
    kib: int = Field(1024, ge=4, le=16384)


class SpiBus(_Strict):
    sck: PinNumber
    mosi: PinNumber
    miso: PinNumber
    devices: tuple[SpiPart, ...] = ()


class OneWirePart(_Strict):
    """A thermometer as the DS18B20."""

    kind: Literal["thermometer"] = "thermometer"
    serial: int = Field(1, ge=0, lt=1 << 48)
    celsius: float = Field(21.0, ge=-55, le=125)


class OneWireBus(_Strict):
    pin: PinNumber
    devices: tuple[OneWirePart, ...] = ()


class DhtPart(_Strict):
    """A thermometer with a hygrometer (percent)."""

    pin: PinNumber
    kind: Literal["dht11", "dht22"] = "dht22"
    celsius: float = Field(21.0, ge=-40, le=80)
    humidity: float = Field(40.0, ge=0, le=100)


class Description(_Strict):
    """One door on one board, or a board with nothing but what is wired to it: all parts may be missing."""

    name: str = Field(min_length=1, max_length=60)
    mcu: Mcu = Field(default_factory=lambda: Mcu.model_validate({}))
    relay: RelayPart | None = None
    strike: StrikePart = StrikePart()
    dps: SwitchPart | None = None
    rex: SwitchPart | None = None
    bolt: SwitchPart | None = None
    tamper: SwitchPart | None = None
    key: SwitchPart | None = None
    fire: SwitchPart | None = None
    led: OutputPart | None = None
    buzzer: OutputPart | None = None
    leaf: LeafPart = LeafPart.model_validate({})
    supply: SupplyPart = SupplyPart.model_validate({})
    uart: tuple[UartPart, ...] = ()
    wiegand: Wiegand | None = None
    keypad: Keypad | None = None
    wire: tuple[Wire, ...] = ()
    i2c: tuple[I2cBus, ...] = ()
    spi: tuple[SpiBus, ...] = ()
    onewire: tuple[OneWireBus, ...] = ()
    dht: tuple[DhtPart, ...] = ()
    sdcard: Path | None = None  # the image of a card: a file, beside the description if its path is relative

    @property
    def bare(self) -> bool:
        """No door is wired to it: a development board."""
        return self.relay is None

    @property
    def wires(self) -> tuple[tuple[int, ...], ...]:
        return tuple(wire.pins for wire in self.wire)

    @property
    def pins(self) -> dict[str, int]:
        """GPIO number by role."""
        parts = {
            "relay": self.relay,
            "dps": self.dps,
            "rex": self.rex,
            "bolt": self.bolt,
            "tamper": self.tamper,
            "key": self.key,
            "fire": self.fire,
            "led": self.led,
            "buzzer": self.buzzer,
        }
        pins = {role: part.pin for role, part in parts.items() if part is not None}
        pins |= {f"uart{line.number}_de": line.de for line in self.uart if line.de is not None}
        return pins | self._reader_pins()

    def _reader_pins(self) -> dict[str, int]:
        found: dict[str, int | None] = {}
        if self.wiegand is not None:
            about = self.wiegand
            lines = {"d0": about.d0, "d1": about.d1, "led": about.led, "buzzer": about.buzzer}
            found |= {f"wiegand_{name}": pin for name, pin in lines.items()}
        if self.keypad is not None:
            found |= {f"row{i}": pin for i, pin in enumerate(self.keypad.rows)}
            found |= {f"col{i}": pin for i, pin in enumerate(self.keypad.cols)}
        return {role: pin for role, pin in found.items() if pin is not None}

    @property
    def pin_map(self) -> dict[str, Any]:
        """What the board's ``/pins.json`` must say of this wiring; DescriptionError if the firmware has no door here."""
        if self.relay is None or self.dps is None:
            raise DescriptionError(f"{self.name}: a door needs [relay] and [dps]")
        current_is_low = (self.relay.active == "low") != (self.strike.contact == "normally-closed")
        roles: dict[str, Any] = {"relay": {"pin": self.relay.pin, "invert": current_is_low}}
        for role in ("dps", "rex", "bolt", "tamper", "key", "fire", "led", "buzzer"):
            part = getattr(self, role)
            if part is not None:
                roles[role] = {"pin": part.pin, "invert": part.active == "low"}
            elif role in ("rex", "led", "buzzer"):  # the firmware's default has them
                roles[role] = None
        if self.wiegand is not None:
            lines = self.wiegand.model_dump(include={"d0", "d1", "led", "buzzer"}, exclude_none=True)
            roles["wiegand"] = lines
        if self.keypad is not None:
            roles["keypad"] = {"rows": list(self.keypad.rows), "cols": list(self.keypad.cols)}
        return {"lock": self.strike.mode.replace("-", "_"), **roles}

    @model_validator(mode="after")
    def _pins_are_distinct(self) -> "Description":
        owner: dict[int, str] = {}
        lines = {f"uart{line.number}_{end}": getattr(line, end) for line in self.uart for end in ("tx", "rx")}
        if len(lines) != 2 * len(self.uart):
            raise ValueError("a uart is described twice")
        for role, pin in (self.pins | lines).items():
            if pin in owner:
                raise ValueError(f"pin {pin} is used by {owner[pin]} and {role}")
            owner[pin] = role
        return self


def load_description(path: Path) -> Description:
    """Read a description file; raises DescriptionError."""
    try:
        found = Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DescriptionError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DescriptionError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        reasons = (
            f"{'.'.join(str(step) for step in issue['loc']) or 'description'}: {issue['msg']}"
            for issue in error.errors(include_url=False)
        )
        raise DescriptionError(f"{path}: {'; '.join(reasons)}") from None
    return found if found.sdcard is None else found.model_copy(update={"sdcard": _card(path, found.sdcard)})


def _card(description: Path, named: Path) -> Path:
    card = (description.parent / named).resolve()
    if not card.is_file():
        raise DescriptionError(f"{description}: sdcard: no file {card}; make one: truncate -s 64M {card}")
    if card.stat().st_size % SD_BLOCK or not card.stat().st_size:
        raise DescriptionError(f"{description}: sdcard: {card} is not whole blocks of {SD_BLOCK} bytes")
    return card


def builtin(name: str = "strike_door") -> Description:
    """A description that comes with the bench."""
    return load_description(BOARDS / f"{name}.toml")
