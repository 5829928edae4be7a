"""The pin map: overrides are taken whole or not at all, and a damaged file never leaves the door without a
relay.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import pinmap

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def test_overrides_replace_what_they_name():
    pins = pinmap.parse('{"relay": {"pin": 5, "invert": true}, "rex": 12, "buzzer": null}')
    assert (pins["relay"].number, pins["relay"].invert) == (5, True)
    assert (pins["rex"].number, pins["rex"].invert, pins["rex"].pull) == (12, True, "up")
    assert "buzzer" not in pins
    assert pins["dps"].number == pinmap.default_map()["dps"].number


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"relay": null}',
        '{"relay": true}',
        '{"relay": -1}',
        '{"relay": 49}',
        '{"relay": "26"}',
        '{"relay": {"pin": 1.5}}',
        '{"rex": {"pull": "sideways"}}',
        '{"rex": {"invert": 1}}',
        '{"siren": 4}',
        '{"led": 26}',
        '{"wiegand": {"d0": 32}}',
        '{"wiegand": {"d0": 32, "d1": 33, "d2": 34}}',
        '{"wiegand": {"d0": 32, "d1": 32}}',
        '{"wiegand": {"d0": 26, "d1": 33}}',
        '{"wiegand": {"d0": {"invert": true}, "d1": 33}}',
        '{"wiegand": {"d0": null, "d1": 33}}',
        '{"wiegand": [32, 33]}',
        '{"wiegand": 32}',
        '{"wiegand_d0": 32}',
        '{"row0": 32}',
        '{"keypad": {}}',
        '{"keypad": {"rows": [4, 5, 12, 13], "cols": [15, 16]}}',
        '{"keypad": {"rows": [4, 5, 12], "cols": [15, 16, 17]}}',
        '{"keypad": {"rows": [4, 5, 12, true], "cols": [15, 16, 17]}}',
        '{"keypad": {"rows": [4, 5, 12, 4], "cols": [15, 16, 17]}}',
        '{"keypad": {"rows": [4, 5, 12, 13], "cols": [15, 16, 17], "key": 3}}',
        '{"keypad": {"rows": "4567", "cols": [15, 16, 17]}}',
        "[" * 100_000,
        '{"osdp": {"tx": 17}}',
        '{"osdp": {"tx": 17, "rx": 17}}',
        '{"osdp": {"tx": 17, "rx": 26}}',
        '{"osdp": {"tx": 17, "rx": 16, "uart": 0}}',
        '{"osdp": {"tx": 17, "rx": 16, "uart": true}}',
        '{"osdp": {"tx": 17, "rx": 16, "baud": 300}}',
        '{"osdp": {"tx": 17, "rx": 16, "address": 127}}',
        '{"osdp": {"tx": 17, "rx": 16, "de": null}}',
        '{"osdp": {"tx": 17, "rx": 16, "key": 3}}',
        '{"osdp": [17, 16]}',
        '{"osdp_tx": 17}',
    ],
)
def test_an_unusable_map_is_refused_and_the_default_is_used(text, tmp_path):
    with pytest.raises(ValueError):
        pinmap.parse(text)
    file = tmp_path / "pins.json"
    file.write_text(text)
    assert pinmap.load(str(file)).keys() == pinmap.default_map().keys()


READERS = """{"wiegand": {"d0": 32, "d1": 33, "led": 18, "buzzer": {"pin": 19, "invert": false}},
              "keypad": {"rows": [4, 5, 12, 13], "cols": [15, 16, 17]}}"""


def test_readers_have_their_roles_only_where_they_are_named():
    pins = pinmap.parse(READERS)
    assert {name: pins[name].number for name in pins.keys() - pinmap.default_map().keys()} == {
        **{"wiegand_d0": 32, "wiegand_d1": 33, "wiegand_led": 18, "wiegand_buzzer": 19},
        **{"row0": 4, "row1": 5, "row2": 12, "row3": 13, "col0": 15, "col1": 16, "col2": 17},
    }
    assert (pins["wiegand_led"].invert, pins["wiegand_buzzer"].invert) == (True, False)
    pins = pinmap.parse('{"osdp": {"tx": 17, "rx": 16, "de": 4, "baud": 115200, "address": 5}}')
    assert [pins["osdp_" + name].number for name in ("tx", "rx", "de")] == [17, 16, 4]
    assert pins["osdp_tx"].line == [1, 115200, 5]
    pins = pinmap.parse('{"osdp": {"tx": 17, "rx": 16}}')
    assert "osdp_de" not in pins
    assert pins["osdp_tx"].line == [1, 9600, 0]
    assert (
        pinmap.parse('{"wiegand": null, "keypad": null, "osdp": null}').keys() == pinmap.default_map().keys()
    )


@given(st.dictionaries(st.sampled_from(["d0", "d1", "led", "buzzer", "x"]), JSON), JSON, JSON)
def test_any_json_of_readers_gives_distinct_pins_or_value_error(wiegand, rows, cols):
    try:
        pins = pinmap.parse(json.dumps({"wiegand": wiegand, "keypad": {"rows": rows, "cols": cols}}))
    except ValueError:
        return
    assert len({role.number for role in pins.values()}) == len(pins)


@given(
    st.dictionaries(
        st.sampled_from(["relay", "dps", "rex", "led", "buzzer", "x", "wiegand", "keypad"]), JSON, max_size=5
    )
)
def test_any_json_gives_a_map_with_a_relay_or_value_error(overrides):
    try:
        pins = pinmap.parse(json.dumps(overrides))
    except ValueError:
        return
    assert "relay" in pins
    assert len({role.number for role in pins.values()}) == len(pins)


def test_no_file_is_the_default(tmp_path):
    assert pinmap.load(str(tmp_path / "none")).keys() == pinmap.default_map().keys()
