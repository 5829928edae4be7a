"""When each board was last heard: by the record of its boot, once that is proven, in the cloud's log, and on its stream."""

import asyncio
import time
from collections import defaultdict
from typing import Any


class Presence:
    """``take`` is given the live stream. A board is back when a boot is told that is later than the one that ``leaving`` knew."""

    def __init__(self) -> None:
        self.boots: dict[str, int] = {}
        self.last = time.monotonic()  # when somebody came back
        self._since: dict[str, tuple[int, float]] = {}
        self._seconds: dict[str, float] = {}
        self._backs: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._news = asyncio.Event()

    def take(self, event: dict[str, Any]) -> None:
        device = event["device_id"]
        if event["source"] != device:
            return
        if event["type"] != "boot":
            return
        boot = event["data"]["boot"]
        self.boots[device] = max(boot, self.boots.get(device, 0))
        known, began = self._since.get(device, (boot, 0.0))
        if boot > known and device not in self._seconds:
            self.last = time.monotonic()
            self._seconds[device] = self.last - began
            self._news.set()
            self._backs[device].set()

    def leaving(self, device: str) -> None:
        """Its power is about to come back: from now on, count."""
        self._since[device] = (self.boots.get(device, 0), time.monotonic())
        self._seconds.pop(device, None)
        self._backs[device].clear()

    async def wait(self, device: str, timeout: float) -> bool:
        """Whether it is back in time."""
        try:
            await asyncio.wait_for(self._backs[device].wait(), timeout)
        except TimeoutError:
            return False
        return True

    def back(self) -> list[float]:
        """Seconds that each board took which is back since its ``leaving``."""
        return list(self._seconds.values())

    def missing(self) -> list[str]:
        """Devices that are not back."""
        return [device for device in self._since if device not in self._seconds]

    def settle(self) -> None:
        """Forget who was waited for."""
        self._since.clear()
        self._seconds.clear()

    async def news(self, timeout: float) -> None:
        """Until somebody is back, or some time has passed."""
        self._news.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            return
