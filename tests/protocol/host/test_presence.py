"""Presence from the server's events, in every order in which they may come."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.host.presence import CONNECT, DISCONNECT, Presence

Told = list[tuple[str, bool]]


def event(client_id: str, connection: int, client_type: str = "mqtt") -> bytes:
    return json.dumps(
        {"client": {"id": connection, "client_id": client_id, "client_type": client_type}}
    ).encode()


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def presence(told: Told) -> Presence:
    return Presence(lambda who, present: told.append((who, present)))


def test_a_client_comes_and_goes(presence: Presence, told: Told) -> None:
    presence.take(CONNECT, event("dev", 1))
    assert "dev" in presence
    presence.take(DISCONNECT, event("dev", 1))
    assert "dev" not in presence
    assert told == [("dev", True), ("dev", False)]


def test_the_end_of_a_session_that_was_taken_over_is_not_a_departure(presence: Presence, told: Told) -> None:
    presence.take(CONNECT, event("dev", 1))
    presence.take(CONNECT, event("dev", 2))
    presence.take(DISCONNECT, event("dev", 1))
    assert told == [("dev", True)]
    presence.take(DISCONNECT, event("dev", 2))
    assert told == [("dev", True), ("dev", False)]


def test_with_the_broker_everybody_is_gone(presence: Presence, told: Told) -> None:
    presence.take(CONNECT, event("a", 1))
    presence.take(CONNECT, event("b", 2))
    presence.broker_lost()
    assert told[2:] == [("a", False), ("b", False)]
    presence.take(DISCONNECT, event("a", 1))
    assert len(told) == 4


def test_other_clients_and_broken_events_are_passed_over(presence: Presence, told: Told) -> None:
    presence.take(CONNECT, event("admission", 1, "nats"))
    for data in (b"", b"{", b"[]", b"{}", b'{"client": 3}', b'{"client": {"id": "x"}}', b"\xff"):
        presence.take(CONNECT, data)
        presence.take(DISCONNECT, data)
    assert told == []


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(1, 3))))
def test_who_is_there_is_who_was_told(events: list[tuple[bool, str, int]]) -> None:
    told: dict[str, bool] = {}
    presence = Presence(told.__setitem__)
    for comes, who, connection in events:
        presence.take(CONNECT if comes else DISCONNECT, event(who, connection))
        assert all((name in presence) is present for name, present in told.items())
