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
    ],
)
def test_an_unusable_map_is_refused_and_the_default_is_used(text, tmp_path):
    with pytest.raises(ValueError):
        pinmap.parse(text)
    file = tmp_path / "pins.json"
    file.write_text(text)
    assert pinmap.load(str(file)).keys() == pinmap.default_map().keys()


@given(st.dictionaries(st.sampled_from(["relay", "dps", "rex", "led", "buzzer", "x"]), JSON, max_size=5))
def test_any_json_gives_a_map_with_a_relay_or_value_error(overrides):
    try:
        pins = pinmap.parse(json.dumps(overrides))
    except ValueError:
        return
    assert "relay" in pins
    assert len({role.number for role in pins.values()}) == len(pins)


def test_no_file_is_the_default(tmp_path):
    assert pinmap.load(str(tmp_path / "none")).keys() == pinmap.default_map().keys()
