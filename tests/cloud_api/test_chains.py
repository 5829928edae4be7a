"""Verification of journals, as a pure function: whatever comes, only what the device wrote is proven, each
record once.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_api import chains
from cloud_api.chains import MAX_LEAP_STEPS, Delivery, anchor, examine, leap, load_chain, store_chain
from cloud_api.secrets import Vault
from protocol import journal
from protocol.keys import hmac_sha256

KEY = b"\x05" * 32


def written(count: int) -> list[bytes]:
    state = journal.initial_state(KEY)
    raws = []
    for number in range(count):
        raw, state = journal.append(state, journal.EVENT_DOOR_FORCED, boot=1, value=number)
        raws.append(bytes(raw))
    return raws


RAWS = written(24)


def seqs(delivery: Delivery) -> list[int]:
    return [p.record.seq for p in delivery.proven]


@given(st.lists(st.integers(0, len(RAWS) - 1), max_size=40))
def test_any_order_and_repetition_proves_a_prefix_and_nothing_else(order: list[int]) -> None:
    state, proven = journal.initial_state(KEY), []
    for start in range(0, len(order), 5):
        delivery = examine(state, [RAWS[i] for i in order[start : start + 5]])
        proven += seqs(delivery)
        state = delivery.state
    assert proven == list(range(1, state.seq + 1))


@given(st.integers(0, len(RAWS) - 1), st.integers(0, journal.RECORD_SIZE * 8 - 1))
def test_one_changed_bit_is_never_proven(place: int, bit: int) -> None:
    raw = bytearray(RAWS[place])
    raw[bit // 8] ^= 1 << bit % 8
    delivery = examine(journal.initial_state(KEY), [*RAWS[:place], bytes(raw), *RAWS[place + 1 :]])
    assert [p.raw for p in delivery.proven] == RAWS[:place]
    after = leap(delivery, [*RAWS[:place], bytes(raw), *RAWS[place + 1 :]])
    assert bytes(raw) not in [p.raw for p in after.proven]
    assert set(seqs(after)) <= set(range(1, len(RAWS) + 1)) - {place + 1}


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_arbitrary_bytes_prove_nothing_and_raise_nothing(raws: list[bytes]) -> None:
    state = journal.initial_state(KEY)
    delivery = leap(examine(state, raws), raws)
    assert delivery.proven == []
    assert delivery.state.seq == 0


@given(st.integers(0, 10), st.integers(1, 8))
def test_a_leap_passes_a_hole_and_names_it(before: int, missing: int) -> None:
    state = examine(journal.initial_state(KEY), RAWS[:before]).state
    rest = RAWS[before + missing :]
    delivery = leap(examine(state, rest), rest)
    assert delivery.gap == (before + 1, before + missing)
    assert seqs(delivery) == list(range(before + missing + 1, len(RAWS) + 1))
    assert delivery.moved


def far(missing: int) -> list[bytes]:
    """Two records behind so many that were overwritten."""
    key = KEY
    for _ in range(missing):
        key = hmac_sha256(key, b"next")
    raws = []
    state = journal.ChainState(missing, bytes(32), key)
    for _ in range(2):
        raw, state = journal.append(state, journal.EVENT_BOOT, boot=9)
        raws.append(bytes(raw))
    return raws


def test_a_door_that_was_alone_for_months_is_heard_again() -> None:
    raws = far(60_000)
    delivery = leap(examine(journal.initial_state(KEY), raws), raws)
    assert delivery.gap == (1, 60_000)
    assert seqs(delivery) == [60_001, 60_002]


def test_a_far_sequence_costs_a_bounded_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    monkeypatch.setattr(chains, "anchor", lambda state, raw: steps.append(1) or anchor(state, raw))
    hostile = [journal.Record(1, MAX_LEAP_STEPS - n).encode_body() + bytes(16) for n in range(40, 0, -1)]
    delivery = leap(examine(journal.initial_state(KEY), hostile), hostile)
    assert not delivery.moved
    assert len(steps) == 1


def test_a_hole_is_not_passed_on_the_word_of_one_record() -> None:
    delivery = leap(examine(journal.initial_state(KEY), [RAWS[5]]), [RAWS[5]])
    assert not delivery.moved
    assert delivery.gap == (1, 5)


def test_records_of_another_device_prove_nothing() -> None:
    delivery = leap(examine(journal.initial_state(b"\x06" * 32), RAWS), RAWS)
    assert delivery.proven == []
    assert delivery.broken is not None


def test_the_state_of_a_chain_survives_the_store() -> None:
    vault = Vault(b"k" * 32)
    state = examine(journal.initial_state(KEY), RAWS[:7]).state
    loaded = load_chain(vault, "dev_a", store_chain(vault, "dev_a", state))
    assert seqs(examine(loaded, RAWS[7:])) == list(range(8, len(RAWS) + 1))
