"""Who holds a session at our broker, by the server's own events: `$SYS.ACCOUNT.<account>.CONNECT` and `.DISCONNECT`.

A client that comes back before its lost session was noticed takes it over; the end of the old connection is then told
after the beginning of the new one. So a session is a connection's number, not only a name.
"""

import json
from collections.abc import Callable
from typing import Any

import structlog

CONNECT, DISCONNECT = "CONNECT", "DISCONNECT"
# What the server can make us remember; the broker's own connection limit is far below.
MAX_SESSIONS = 100_000

OnPresence = Callable[[str, bool], None]

log = structlog.get_logger(__name__)


class Presence:
    """`changed(client_id, present)` is called when a client has come, and when it has gone; it must not block."""

    def __init__(self, changed: OnPresence) -> None:
        self._changed = changed
        self._sessions: dict[str, int] = {}

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._sessions

    def take(self, kind: str, data: bytes) -> None:
        """One event of the server. What is not about an MQTT client is passed over."""
        try:
            client: dict[str, Any] = json.loads(data)["client"]
            connection, client_id = int(client["id"]), str(client.get("client_id", ""))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("presence.bad_event", error=repr(error))
            return
        if not client_id or client.get("client_type") != "mqtt":
            return
        if kind == CONNECT:
            self._came(client_id, connection)
        elif self._sessions.get(client_id) == connection:
            self._left(client_id)

    def broker_lost(self) -> None:
        """Nobody holds a session any more, as far as we can tell."""
        for client_id in list(self._sessions):
            self._left(client_id)

    def _came(self, client_id: str, connection: int) -> None:
        new = client_id not in self._sessions
        if new and len(self._sessions) >= MAX_SESSIONS:
            return
        self._sessions[client_id] = connection
        if new:
            self._changed(client_id, True)

    def _left(self, client_id: str) -> None:
        del self._sessions[client_id]
        self._changed(client_id, False)
