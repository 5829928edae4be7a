"""A phone's Bluetooth adapter: one Bumble central on the medium, shared by its scanners and connections."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from bumble import core, hci
from bumble.device import ConnectionParametersPreferences

from hil.radio.medium import Medium
from hil.radio.path_loss import Position
from hil.radio.station import Station, static_address

PHONE_MTU = 517  # what BlueZ and Android ask for
PHONE_INTERVAL_MS = 15.0  # between connection events: what an iPhone asks for
POWER_TIMEOUT = 5.0  # seconds for the adapter's own HCI commands

log = structlog.get_logger(__name__)

_PREFERENCES = {
    hci.HCI_LE_1M_PHY: ConnectionParametersPreferences(
        connection_interval_min=PHONE_INTERVAL_MS, connection_interval_max=PHONE_INTERVAL_MS
    )
}

OnAdvertisement = Callable[[Any], None]


class Adapter:
    """Powers on at first use. ``mtu`` None: the phone never asks for more than 23."""

    def __init__(
        self,
        medium: Medium,
        name: str,
        address: str | None = None,
        position: Position | None = None,
        mtu: int | None = PHONE_MTU,
    ) -> None:
        """``address`` is a random static one (top bits 11), as phones use; None makes a fresh one."""
        self.name = name
        self.mtu = mtu
        random = hci.Address(address) if address else static_address(secrets.token_bytes(6))
        public = medium.fresh_address()
        self.address = random.to_string(False)
        self._station = Station(medium, name, public, random, position)
        self._power = asyncio.Lock()
        self._connecting = asyncio.Lock()
        self._scanning = asyncio.Lock()
        self._listeners: dict[OnAdvertisement, bool] = {}
        self._tasks: set[asyncio.Future[None]] = set()

    @property
    def device(self) -> Any:
        """Bumble's device."""
        return self._station.device

    async def power_on(self) -> None:
        await self._whole(self._power_on())

    async def _power_on(self) -> None:
        async with self._power:
            if not self.device.powered_on:
                async with asyncio.timeout(POWER_TIMEOUT):
                    await self._station.on()
                self.device.on(self.device.EVENT_ADVERTISEMENT, self._on_advertisement)

    async def _whole(self, commands: Coroutine[Any, Any, None]) -> None:
        """Run HCI commands to their end even if the caller gives up: host and controller must agree."""
        task = asyncio.ensure_future(commands)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Disconnect everything and leave the air, within POWER_TIMEOUT."""
        self._listeners.clear()
        async with self._power:
            try:
                async with asyncio.timeout(POWER_TIMEOUT):
                    await self._station.off()
            except TimeoutError:  # a link that does not end: its peer may not have been told of it
                log.warning("phone_cut", phone=self.name)
                self.cut()

    def cut(self) -> None:
        """The phone is gone without a word: peers find out by their supervision timeout."""
        self._station.cut()

    def place(self, position: Position | None) -> None:
        self._station.medium.place(self._station.controller, position)

    async def listen(self, callback: OnAdvertisement, active: bool) -> None:
        """Give every advertisement to callback until ``stop_listening``."""
        await self.power_on()
        self._listeners[callback] = active
        try:
            await self._whole(self._scan())
        except BaseException:
            await self.stop_listening(callback)
            raise

    async def stop_listening(self, callback: OnAdvertisement) -> None:
        if self._listeners.pop(callback, None) is not None:
            await self._whole(self._scan())

    async def _scan(self) -> None:
        """Scan as the listeners need it: actively if one of them wants to."""
        async with self._scanning:
            device = self.device
            if device.is_scanning:
                await device.stop_scanning()
            if self._listeners:
                await device.start_scanning(active=any(self._listeners.values()))

    def _on_advertisement(self, advertisement: Any) -> None:
        for callback in list(self._listeners):
            callback(advertisement)

    async def connect(self, peer: hci.Address) -> Any:
        """Connect to an advertising peer, waiting for its next advertisement; no deadline of its own."""
        await self.power_on()
        async with self._connecting:  # a controller initiates one connection at a time
            attempt = asyncio.ensure_future(
                self.device.connect_le(peer, connection_parameters_preferences=_PREFERENCES, timeout=None)
            )
            try:
                return await asyncio.shield(attempt)
            except asyncio.CancelledError:
                await self._abandon(attempt)
                raise

    async def _abandon(self, attempt: "asyncio.Future[Any]") -> None:
        """Cancel a connection attempt in the controller; Bumble would leave it pending there."""
        async with asyncio.timeout(POWER_TIMEOUT):
            await asyncio.sleep(0)  # by now its command is queued, and ours comes after it
            if not attempt.done():
                with contextlib.suppress(hci.HCI_Error):  # it succeeded just now
                    await self.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            try:
                await (await attempt).disconnect()
            except (core.ConnectionError, hci.HCI_Error):
                return  # cancelled in time
