"""A board description that cannot work is refused, with the file, the field and the reason."""

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
        (GOOD + "[rex]\npin = 3", "rex.active: Field required"),
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


def test_builtin_board_is_wired_as_the_firmware_expects() -> None:
    description = builtin()
    expected = pinmap.default_map()
    assert description.pins == {role: pin.number for role, pin in expected.items()}
    assert description.rex is not None
    assert (description.rex.active == "low") == expected["rex"].invert
    assert (description.dps.active == "low") == expected["dps"].invert
