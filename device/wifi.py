"""Joins the site's Wi-Fi and says whether the board is on it."""

import asyncio

import network
from micropython import const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

_JOIN_DEADLINE_MS = const(15_000)
_POLL_MS = const(100)


class Wifi:
    """Station interface with the credentials of provisioning."""

    def __init__(self, credentials: "Dict[str, Any]") -> None:
        self._ssid = credentials["ssid"]
        self._key = credentials["key"]
        self._wlan = network.WLAN(network.STA_IF)

    @property
    def joined(self) -> bool:
        """Whether the station has an address."""
        return bool(self._wlan.isconnected())

    async def join(self) -> None:
        """Join if not joined; OSError at the deadline, with the interface down so that the next try starts
        anew.
        """
        if self.joined:
            return
        self._wlan.active(True)
        self._wlan.connect(self._ssid, self._key)
        for _ in range(_JOIN_DEADLINE_MS // _POLL_MS):
            if self.joined:
                return
            await asyncio.sleep_ms(_POLL_MS)
        self._wlan.active(False)
        raise OSError("wifi_deadline")
