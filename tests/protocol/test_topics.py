"""Ids and topics: one spelling each, read as they are written."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import ids, topics
from protocol.errors import LocalError, Malformed

DEV, SITE = "dev_" + "2" * 16, "site_" + "3" * 16
IDS = st.binary(min_size=8, max_size=8)
# Text that is nearly a topic.
LEVELS = st.sampled_from(
    ("d", "s", "up", "down", "0", "15", "007", "1000", "٣", "+", "#", "", DEV, SITE, DEV.upper())
) | st.sampled_from(topics.UP_LEAVES + topics.SITE_DOWN_LEAVES)


@given(st.sampled_from(ids.KINDS), IDS)
def test_an_id_reads_as_it_was_written(kind, raw):
    name = ids.new_id(kind, raw)
    assert ids.check_id(kind, name) == name
    assert ids.id_bytes(name) == raw
    assert ids.id_from_bytes(kind, memoryview(raw)) == name


@given(st.sampled_from(ids.KINDS), st.text(max_size=25) | st.none() | st.integers() | st.binary(max_size=25))
def test_ids_of_anything_are_returned_or_malformed(kind, value):
    try:
        assert ids.check_id(kind, value) is value
    except Malformed as error:
        assert error.reason == "bad_id"


@pytest.mark.parametrize(
    "value",
    [
        "dev_" + "2" * 15,
        "dev_" + "2" * 17,
        "dev_" + "2" * 15 + "G",
        "DEV_" + "2" * 16,
        "dev_" + "A" * 16,
        "dev_" + "2" * 15 + "\n",
        " dev_" + "2" * 15,
        "dev-" + "2" * 16,
        "door_" + "2" * 15,
        "dev_" + "٣" * 16,
        "cat_" + "2" * 16,
        "2" * 20,
        "",
    ],
)
def test_an_id_has_one_spelling(value):
    with pytest.raises(Malformed):
        ids.check_id("dev", value)
    with pytest.raises(Malformed):
        ids.id_bytes(value)


@pytest.mark.parametrize(("kind", "raw"), [("cat", bytes(8)), ("dev", bytes(7)), ("dev", bytes(9))])
def test_an_id_is_of_a_known_kind_and_8_bytes(kind, raw):
    with pytest.raises(LocalError):
        ids.new_id(kind, raw)


@given(st.text(max_size=140) | st.lists(LEVELS, max_size=7).map("/".join))
def test_topics_of_anything_are_read_back_as_they_are_or_malformed(text):
    for parse, build in (
        (topics.parse_site_topic, _site_topic),
        (topics.parse_cloud_topic, _cloud_topic),
    ):
        try:
            parts = parse(text)
        except Malformed as error:
            assert error.reason in ("topic", "topic_leaf", "bad_id")
            continue
        assert build(*parts) == text


def _site_topic(device, direction, leaf):
    return (topics.up if direction == "up" else topics.down)(device, leaf)


def _cloud_topic(shard, site, direction, leaf):
    return (topics.site_up if direction == "up" else topics.site_down)(shard, site, leaf)


@pytest.mark.parametrize("leaf", topics.UP_LEAVES)
def test_every_up_leaf_is_read_as_it_is_written(leaf):
    assert topics.parse_site_topic(topics.up(DEV, leaf)) == (DEV, "up", leaf)


@pytest.mark.parametrize("leaf", topics.DOWN_LEAVES)
def test_every_down_leaf_is_read_as_it_is_written(leaf):
    assert topics.parse_site_topic(topics.down(DEV, leaf)) == (DEV, "down", leaf)


@pytest.mark.parametrize("shard", [0, 3, topics.SHARDS - 1, topics.MAX_SHARD])
def test_every_cloud_topic_is_read_as_it_is_written(shard):
    for leaf in topics.SITE_UP_LEAVES:
        assert topics.parse_cloud_topic(topics.site_up(shard, SITE, leaf)) == (shard, SITE, "up", leaf)
    for leaf in topics.SITE_DOWN_LEAVES:
        assert topics.parse_cloud_topic(topics.site_down(shard, SITE, leaf)) == (shard, SITE, "down", leaf)


@pytest.mark.parametrize("shard", ["00", "03", "1000", "-1", "+1", "", " 3", "3 ", "1_0", "٣"])
def test_a_shard_has_one_spelling(shard):
    with pytest.raises(Malformed):
        topics.parse_cloud_topic(f"s/{shard}/{SITE}/up/events")


@pytest.mark.parametrize(
    "build",
    [
        lambda: topics.up(DEV, "command"),
        lambda: topics.down(DEV, "events"),
        lambda: topics.site_up(1, SITE, "registry"),
        lambda: topics.site_down(-1, SITE, "ack"),
        lambda: topics.site_down(topics.MAX_SHARD + 1, SITE, "ack"),
    ],
)
def test_a_topic_that_nobody_reads_is_not_built(build):
    with pytest.raises(LocalError):
        build()


@given(IDS, st.integers(1, 256))
def test_a_site_stays_in_its_shard(raw, shards):
    site = ids.new_id("site", raw)
    assert topics.shard_of(site, shards) == zlib.crc32(site.encode()) % shards
