"""A message is what the contract says, or Malformed; no input makes a validator raise anything else."""

import base64
import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import messages
from protocol.errors import Malformed

from .conftest import events, record

MODELS = [
    messages.Events,
    messages.State,
    messages.TimeRequest,
    messages.Counters,
    messages.Envelope,
    messages.Sealed,
    messages.Acknowledgement,
    messages.RegistryMessage,
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "r",
    "boot",
    "jseq",
    "cfg",
    "rev",
    "fw",
    "door",
    "clk",
    "n",
    "counters",
    "p",
    "m",
    "d",
    "e",
    "seq",
    "ver",
    "devices",
]


@pytest.mark.parametrize("model", MODELS)
@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text costs a second: Unicode's tables
@given(
    data=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda d: json.dumps(d).encode())
)
def test_a_validator_returns_or_raises_malformed(model: type[messages._Message], data: bytes) -> None:
    with contextlib.suppress(Malformed):
        parsed = messages.parse(model, data)
        if isinstance(parsed, messages.Events):
            messages.records(parsed)


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=32))
def test_records_are_ascending_and_whole_or_malformed(raws: list[bytes]) -> None:
    message = json.dumps({"r": [base64.b64encode(raw).decode() for raw in raws]}).encode()
    try:
        found = messages.records(messages.parse(messages.Events, message))
    except Malformed:
        return
    seqs = [seq for seq, _ in found]
    assert seqs == sorted(set(seqs))
    assert [raw for _, raw in found] == raws


def test_records_come_out_as_they_went_in() -> None:
    parsed = messages.records(messages.parse(messages.Events, events(1, 2, 7)))
    assert parsed == ((1, record(1)), (2, record(2)), (7, record(7)))


@pytest.mark.parametrize(
    "text", ["dev_" + "1" * 16 + "\n", "dev_" + "1" * 15, "dev_" + "G" * 16, "gw_" + "1" * 16, "dev_+", ""]
)
def test_a_name_that_is_no_device_s_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        messages.parse(messages.Sealed, json.dumps({"d": text, "e": "{}"}).encode())
