"""A message is what its model says, or Malformed; what we build is read back; what a board says is accepted."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol import journal
from protocol.clock import build_time_request
from protocol.envelope import LABEL_COMMAND, MAX_ENVELOPE, seal
from protocol.errors import Malformed, ProtocolError
from protocol.host import cloud_messages, site_messages
from protocol.host.messages import Message, parse
from protocol.messages import MAX_RECORDS, build_events, parse_ack
from tests.device import rig

DEV, GATEWAY = "dev_" + "1" * 16, "gw_" + "a" * 16
MODELS: list[type[Message]] = [
    site_messages.Events,
    site_messages.State,
    site_messages.TimeRequest,
    site_messages.Counters,
    site_messages.Envelope,
    site_messages.Ack,
    cloud_messages.Events,
    cloud_messages.State,
    cloud_messages.TimeRequest,
    cloud_messages.Counters,
    cloud_messages.Sealed,
    cloud_messages.Audit,
    cloud_messages.Hello,
    cloud_messages.Ack,
    cloud_messages.Registry,
]
FIELDS = sorted({name for model in MODELS for name in model.model_fields})


def plain(length: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=length)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
u32 = st.integers(0, 0xFFFFFFFF)
i63 = st.integers(0, 2**63 - 1)
hex128 = st.binary(min_size=16, max_size=16).map(bytes.hex)
device_ids = st.binary(min_size=8, max_size=8).map(lambda raw: "dev_" + raw.hex())
gateway_ids = st.binary(min_size=8, max_size=8).map(lambda raw: "gw_" + raw.hex())
pins = st.binary(min_size=32, max_size=32).map(bytes.hex)
seconds = st.floats(0, 2**48)
named = {"d": device_ids}
events = {
    "r": st.lists(st.binary(min_size=46, max_size=46), min_size=1, max_size=MAX_RECORDS).map(tuple),
}
state = {
    "boot": u32,
    "jseq": u32,
    "cfg": u32,
    "rev": u32,
    "fw": plain(64),
    "door": plain(32),
    "clk": st.none() | st.tuples(seconds, seconds),
    "drift_ppm": st.none() | st.tuples(st.integers(-10_000, 10_000), st.integers(0, 10_000)),
}
counters = {"counters": st.dictionaries(plain(64), i63, max_size=64)}
audit_events = st.builds(
    cloud_messages.AuditEvent,
    seq=st.integers(1, 0xFFFFFFFF),
    type=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True),
    t=u32,
    data=st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8), max_size=4),
)
entries = st.builds(
    cloud_messages.RegistryEntry,
    id=device_ids,
    pins=st.lists(pins, max_size=8).map(tuple),
    status=st.sampled_from(["active", "revoked"]),
)
correct: st.SearchStrategy[Message] = st.one_of(
    st.builds(site_messages.Events, **events),
    st.builds(site_messages.State, **state),
    st.builds(site_messages.TimeRequest, n=hex128),
    st.builds(site_messages.Counters, **counters),
    st.builds(site_messages.Envelope, p=st.text(max_size=200), m=hex128),
    st.builds(site_messages.Ack, seq=u32),
    st.builds(cloud_messages.Events, **named, **events),
    st.builds(cloud_messages.State, **named, **state),
    st.builds(cloud_messages.TimeRequest, **named, n=hex128),
    st.builds(cloud_messages.Counters, **named, **counters),
    st.builds(cloud_messages.Sealed, **named, e=st.text(min_size=2, max_size=200)),
    st.builds(
        cloud_messages.Audit,
        g=gateway_ids,
        events=st.lists(audit_events, min_size=1, max_size=4).map(tuple),
    ),
    st.builds(cloud_messages.Hello, g=gateway_ids, registry=i63),
    st.builds(cloud_messages.Ack, d=device_ids | gateway_ids, seq=u32),
    st.builds(cloud_messages.Registry, ver=i63, devices=st.lists(entries, max_size=4).map(tuple)),
)


@pytest.mark.parametrize("model", MODELS)
@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text costs a second: Unicode's tables
@given(
    data=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(FIELDS), json_values).map(lambda d: json.dumps(d).encode())
)
def test_any_bytes_are_a_message_or_malformed(model: type[Message], data: bytes) -> None:
    with contextlib.suppress(Malformed):
        parsed = parse(model, data)
        if isinstance(parsed, site_messages.Events):
            parsed.numbered()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(correct)
def test_what_is_built_is_read_back(message: Message) -> None:
    assert parse(type(message), message.encode()) == message


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(correct, st.dictionaries(st.text(min_size=6, max_size=8), json_values, max_size=3))
def test_fields_of_a_newer_peer_are_let_go(message: Message, more: dict[str, Any]) -> None:
    known = json.loads(message.encode())
    assert parse(type(message), json.dumps({**more, **known}).encode()) == message


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(correct, st.data())
def test_a_message_that_lacks_what_it_needs_is_malformed(message: Message, data: st.DataObject) -> None:
    fields = type(message).model_fields
    gone = data.draw(st.sampled_from([name for name, field in fields.items() if field.is_required()]))
    rest = {name: value for name, value in json.loads(message.encode()).items() if name != gone}
    with pytest.raises(Malformed) as refused:
        parse(type(message), json.dumps(rest).encode())
    assert refused.value.reason == "bad_message"


@pytest.mark.parametrize("model", MODELS)
def test_a_message_above_its_limit_is_not_parsed(model: type[Message]) -> None:
    with pytest.raises(Malformed) as refused:
        parse(model, b" " * (model.limit + 1))
    assert refused.value.reason == "too_large"


def _registry(count: int, of_pins: int) -> cloud_messages.Registry:
    entry = cloud_messages.RegistryEntry(id=DEV, pins=("0" * 64,) * of_pins, status="revoked")
    return cloud_messages.Registry(ver=2**63 - 1, devices=(entry,) * count)


def test_the_largest_of_what_we_send_fits_its_limit() -> None:
    quotes = cloud_messages.Sealed(d=DEV, e='"' * MAX_ENVELOPE)
    records = cloud_messages.Events(d=DEV, r=(b"\xff" * journal.RECORD_SIZE,) * MAX_RECORDS)
    full = _registry(cloud_messages.MAX_DEVICES, 1)
    for message in (quotes, records, full):
        assert parse(type(message), message.encode()) == message


BAD: list[tuple[type[Message], dict[str, Any]]] = [
    (site_messages.Events, {"r": []}),
    (site_messages.Events, {"r": ["!"]}),
    (site_messages.Events, {"r": ["AAAA"]}),
    (site_messages.Events, {"r": [1]}),
    (site_messages.Events, {"r": ["A" * 62 + "=="] * (MAX_RECORDS + 1)}),
    (site_messages.TimeRequest, {"n": "0" * 31}),
    (site_messages.TimeRequest, {"n": "0" * 32 + "\n"}),
    (site_messages.TimeRequest, {"n": "G" * 32}),
    (site_messages.Counters, {"counters": {"x": -1}}),
    (site_messages.Counters, {"counters": {"x": True}}),
    (site_messages.Counters, {"counters": {str(n): n for n in range(65)}}),
    (site_messages.Counters, {"counters": {"bad\x00mac": 1}}),
    (site_messages.State, {"boot": 1, "jseq": 1, "cfg": 1, "rev": 1, "fw": "1\n", "door": "open"}),
    (site_messages.State, {"boot": 1, "jseq": 1, "cfg": 1, "rev": 1, "fw": "1", "door": "\x00"}),
    (site_messages.Envelope, {"p": "x" * (MAX_ENVELOPE - 60), "m": "0" * 31}),
    (site_messages.Ack, {"seq": -1}),
    (site_messages.Ack, {"seq": "1"}),
    (site_messages.Ack, {"seq": 1 << 32}),
    (cloud_messages.Sealed, {"d": DEV, "e": "x" * (MAX_ENVELOPE + 1)}),
    (cloud_messages.Ack, {"d": "site_" + "0" * 16, "seq": 1}),
    (cloud_messages.Hello, {"g": DEV, "registry": 1}),
    (cloud_messages.Hello, {"g": GATEWAY, "registry": 1 << 63}),
    (cloud_messages.Audit, {"g": GATEWAY, "events": []}),
    (cloud_messages.Audit, {"g": GATEWAY, "events": [{"seq": 0, "type": "x", "t": 0}]}),
    (cloud_messages.Audit, {"g": GATEWAY, "events": [{"seq": 1, "type": "X y", "t": 0}]}),
    (cloud_messages.Registry, {"ver": 1, "devices": [{"id": DEV, "pins": ["x"], "status": "active"}]}),
    (cloud_messages.Registry, {"ver": 1, "devices": [{"id": DEV, "pins": [], "status": "perhaps"}]}),
]


@pytest.mark.parametrize(("model", "fields"), BAD, ids=range(len(BAD)))
def test_a_field_out_of_bounds_is_malformed(model: type[Message], fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed) as refused:
        parse(model, json.dumps(fields).encode())
    assert refused.value.reason == "bad_message"


@pytest.mark.parametrize("clock", ["[NaN, 1]", "[1, Infinity]", "[-1, 0]", "[1]", "[1, 2, 3]", '"now"'])
def test_a_clock_that_no_device_has_is_malformed(clock: str) -> None:
    text = '{"boot":1,"jseq":1,"cfg":1,"rev":1,"fw":"1","door":"closed","clk":' + clock + "}"
    with pytest.raises(Malformed):
        parse(site_messages.State, text.encode())


@pytest.mark.parametrize(
    "name", [DEV + "\n", DEV[:-1], "dev_" + "G" * 16, GATEWAY, "dev_+", "#", "", "dev_" + "1" * 16 + "/x"]
)
def test_a_name_that_is_no_device_s_is_malformed(name: str) -> None:
    with pytest.raises(Malformed):
        parse(cloud_messages.Sealed, json.dumps({"d": name, "e": "{}"}).encode())


@given(st.lists(st.binary(min_size=46, max_size=46), min_size=1, max_size=MAX_RECORDS))
def test_records_are_numbered_in_ascending_order_or_malformed(raws: list[bytes]) -> None:
    try:
        found = parse(site_messages.Events, build_events(raws)).numbered()
    except Malformed:
        return
    seqs = [seq for seq, _ in found]
    assert seqs == sorted(set(seqs))
    assert [raw for _, raw in found] == raws


def _records(*seqs: int) -> list[bytes]:
    return [journal.Record(journal.EVENT_BOOT, seq).encode_body() + bytes(16) for seq in seqs]


def test_the_device_s_builders_make_what_the_gateway_accepts() -> None:
    raws = _records(1, 2, 7)
    assert parse(site_messages.Events, build_events(raws)).numbered() == tuple(
        zip((1, 2, 7), raws, strict=True)
    )
    nonce = bytes(range(16))
    assert parse(site_messages.TimeRequest, json.dumps(build_time_request(nonce)).encode()).n == nonce.hex()
    sealed = seal(bytes(32), LABEL_COMMAND, {"é": 1})
    assert parse(site_messages.Envelope, sealed.encode()).encode()
    assert parse_ack(site_messages.Ack(seq=0xFFFFFFFF).encode())["seq"] == 0xFFFFFFFF


@pytest.mark.parametrize("seqs", [(2, 1), (1, 1)])
def test_records_that_do_not_ascend_are_malformed(seqs: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse(site_messages.Events, build_events(_records(*seqs))).numbered()
    assert refused.value.reason == "bad_record_order"


async def test_everything_that_a_real_board_says_is_accepted(tmp_path: Path) -> None:
    """Each leaf as the firmware publishes it, before and after it knows the time."""
    async with rig.rig(tmp_path) as made, made.site.serving() as site:
        await made.provision()
        states: list[site_messages.State] = []
        while not states or states[-1].clk is None:
            states.append(parse(site_messages.State, await site.raw("state")))
        assert states[0].clk is None
        site.boot = states[-1].boot
        await site.down("command", site.command())
        events = parse(site_messages.Events, await site.raw("events"))
        assert events.numbered()[0][0] == 1
        assert parse(site_messages.Envelope, await site.raw("result")).p
        assert parse(site_messages.TimeRequest, await site.raw("time")).n
        assert parse(site_messages.Counters, await site.raw("log")).counters
