"""Answers to the auth callout of nats-server: topic permissions as NATS subjects, signed (NATS ADR-26)."""

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

import nkeys

# What one client may hold at the broker: a QoS 1 filter that ends in # costs four subscriptions.
MAX_SUBSCRIPTIONS = 64
_NOT_IN_A_LEVEL = frozenset("*>. \t\r\n\0")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _base64url(b'{"typ":"JWT","alg":"ed25519-nkey"}')


class BadFilter(ValueError):
    """A topic filter that has no exact NATS subject: granting it would grant something else."""


@dataclass(frozen=True)
class Permissions:
    """MQTT topic filters that a client may publish to and subscribe to.

    Nothing under `$MQTT` is ever granted: from 2.12.3 on, nats-server lets its own QoS 1 delivery through and
    still holds the client's own subscriptions and publishes to this list. Before, `$MQTT.sub.>` was needed.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def subjects(filters: tuple[str, ...], *, with_parent: bool) -> list[str]:
    """The NATS subjects of MQTT topic filters (`a/+/#` is `a.*.>`).

    `with_parent` adds what `#` also matches by MQTT 3.1.1, 4.7.1.2: the level above it.
    """
    found: list[str] = []
    for topic_filter in filters:
        levels = topic_filter.split("/")
        for position, level in enumerate(levels):
            last = position == len(levels) - 1
            wild = level in ("+", "#")
            if not level or _NOT_IN_A_LEVEL & set(level) or (not wild and set("+#$") & set(level)):
                raise BadFilter(topic_filter)
            if level == "#" and (not last or position == 0):
                raise BadFilter(topic_filter)
        tokens = [{"+": "*", "#": ">"}.get(level, level) for level in levels]
        if with_parent and tokens[-1] == ">":
            found.append(".".join(tokens[:-1]))
        found.append(".".join(tokens))
    return found


def new_issuer() -> tuple[bytes, str]:
    """A fresh signing key for the answers: (seed, public key). The broker is told the public key."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT)
    return bytes(seed), nkeys.from_seed(bytearray(seed)).public_key.decode()


class ClaimsSigner:
    """Signs users and answers with the issuer's seed."""

    def __init__(self, issuer_seed: bytes, account: str) -> None:
        self._key = nkeys.from_seed(bytearray(issuer_seed))
        self._account = account
        self.issuer: str = self._key.public_key.decode()

    def user(
        self, name: str, user_nkey: str, permissions: Permissions, *, now: int, expires: int, payload: int
    ) -> str:
        """A user for one MQTT connection; the server cuts the connection when the claims expire."""
        nats = {
            "pub": {"allow": subjects(permissions.publish, with_parent=False)},
            "sub": {"allow": subjects(permissions.subscribe, with_parent=True)},
            "subs": MAX_SUBSCRIPTIONS,
            "data": -1,
            "payload": payload,
            "allowed_connection_types": ["MQTT"],
            "type": "user",
            "version": 2,
        }
        return self._sign(
            {"aud": self._account, "sub": user_nkey, "name": name, "iat": now, "exp": expires, "nats": nats}
        )

    def answer(self, server_id: str, user_nkey: str, *, now: int, user: str = "", error: str = "") -> bytes:
        """The callout's answer: a signed user, or an error that nats-server logs."""
        nats: dict[str, Any] = {"type": "authorization_response", "version": 2}
        nats.update({"jwt": user} if user else {"error": error})
        return self._sign({"aud": server_id, "sub": user_nkey, "iat": now, "nats": nats}).encode()

    def _sign(self, claims: dict[str, Any]) -> str:
        claims = {**claims, "iss": self.issuer}
        digest = hashlib.sha256(json.dumps(claims).encode()).digest()
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        body = f"{_HEADER}.{_base64url(json.dumps(claims).encode())}"
        return f"{body}.{_base64url(self._key.sign(body.encode()))}"
