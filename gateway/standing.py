"""Where the devices of a site stand, for the cloud: their states, their counters, and who is away.

A cloud that was away is told of all of them; so is one whose link is full, when it takes more. Only the newest of a device
waits: the registry bounds how many do.
"""

import asyncio
from collections.abc import Callable, Iterable

from protocol.host import cloud_messages

# Messages in one turn of the loop: a command does not wait for a whole site.
BURST = 64

Send = Callable[[str, bytes], bool]


class Standing:
    """`send(leaf, message)` returns False when it could not be sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._states: dict[str, bytes] = {}
        self._untold: dict[str, dict[str, bytes]] = {"state": {}, "log": {}}
        self._away: dict[str, None] = {}
        self._soon: asyncio.Handle | None = None

    def state(self, device: str, message: bytes) -> None:
        """A device that has a session stands here."""
        self._states[device] = self._untold["state"][device] = message
        self._away.pop(device, None)
        self.tell()

    def counters(self, device: str, message: bytes) -> None:
        """What it has counted since its boot."""
        self._untold["log"][device] = message
        self.tell()

    def left(self, device: str, *, tell: bool) -> None:
        """It has no session any more; the cloud hears of it with `tell`."""
        self._states.pop(device, None)
        self._untold["state"].pop(device, None)
        if tell:
            self._away[device] = None
            self.tell()

    def tell_all(self, devices: Iterable[str]) -> None:
        """To a cloud that knows nothing: of these devices, which are all that may have a session."""
        self._untold["state"] = {device: self._states[device] for device in devices if device in self._states}
        self._away = {device: None for device in devices if device not in self._states}
        self.tell()

    def tell(self) -> None:
        """Go on telling what the cloud has not been told yet, until the link takes no more."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        for _ in range(BURST):
            if not self._tell_one():
                return
        self._soon = asyncio.get_running_loop().call_soon(self.tell)

    def _tell_one(self) -> bool:
        """Whether there was something, and it could be sent."""
        for leaf, messages in self._untold.items():
            if messages:
                device = next(iter(messages))
                if not self._send(leaf, messages[device]):
                    return False
                del messages[device]
                return True
        return bool(self._away) and self._tell_away()

    def _tell_away(self) -> bool:
        batch = tuple(self._away)[: cloud_messages.MAX_AWAY]
        if not self._send("presence", cloud_messages.Presence(away=batch).encode()):
            return False
        for device in batch:
            del self._away[device]
        return True
