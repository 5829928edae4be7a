"""A board description that cannot work is refused, with the file, the field and the reason."""

import json
from pathlib import Path

import pytest

from device import pinmap
from hil.board.description import DescriptionError, builtin, load_description

GOOD = """
name = "door"
[relay]
pin = 26
[dps]
pin = 27
active = "high"
"""


def test_shortest_description_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "door.toml"
    path.write_text(GOOD)
    description = load_description(path)
    assert description.pins == {"relay": 26, "dps": 27}
    assert (description.strike.mode, description.mcu.heap_kib) == ("fail-secure", 160)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not TOML"),
        (GOOD.replace('name = "door"', ""), "name: Field required"),
        (GOOD.replace("26", "99"), "relay.pin: .*less than or equal to 48"),
        (GOOD.replace("27", "26"), "pin 26 is used by relay and dps"),
        (GOOD.replace('"high"', '"up"'), "dps.active: .*'high' or 'low'"),
        (GOOD + "colour = 1", "dps.colour: Extra inputs"),
        (GOOD + "[strike]\nmode = 'open'", "strike.mode: .*'fail-secure'"),
        (GOOD + "[mcu]\nflash_kib = 1001", "mcu.flash_kib: .*multiple of 4"),
        (GOOD + "[mcu]\ndrift_ppm = 200000", "mcu.drift_ppm: .*less than or equal to 100000"),
        (GOOD + "[rex]\npin = 3", "rex.active: Field required"),
        (GOOD + "[wiegand]\nd0 = 32", "wiegand.d1: Field required"),
        (GOOD + "[wiegand]\nd0 = 32\nd1 = 27", "pin 27 is used by dps and wiegand_d1"),
        (GOOD + "[keypad]\nrows = [1, 2, 3, 4]\ncols = [5, 6]", "keypad.cols.2: Field required"),
        (GOOD + "[keypad]\nrows = [1, 2, 3, 4]\ncols = [5, 6, 1]", "pin 1 is used by row0 and col2"),
        (GOOD.replace("pin = 26", "pin = 26\noperate_ms = -1"), "relay.operate_ms"),
    ],
)
def test_error_names_file_field_and_reason(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "door.toml"
    path.write_text(text)
    with pytest.raises(DescriptionError, match=f"door.toml: .*{message}"):
        load_description(path)


def test_missing_and_binary_files_are_description_errors(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="No such file"):
        load_description(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DescriptionError, match="not TOML"):
        load_description(tmp_path / "binary.toml")


def test_the_door_with_readers_has_the_roles_of_a_pin_map_that_names_them() -> None:
    description = builtin("reader_door")
    pins = pinmap.parse(json.dumps(description.pin_map))
    assert description.pins == {role: pin.number for role, pin in pins.items()}


def test_builtin_board_is_wired_as_the_firmware_expects() -> None:
    description = builtin()
    expected = pinmap.default_map()
    assert description.pins == {role: pin.number for role, pin in expected.items()}
    assert description.rex is not None
    assert (description.rex.active == "low") == expected["rex"].invert
    assert (description.dps.active == "low") == expected["dps"].invert
