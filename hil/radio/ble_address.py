"""A board's own address by MicroPython's addr_mode; a resolvable private one is drawn anew as time goes by."""

import asyncio
import errno

from bumble import hci

from hil.radio.ble_host import NRPA, PUBLIC, RANDOM, RPA, BleHost
from hil.radio.medium import Medium
from hil.radio.station import Station

RPA_TIMEOUT_S = 900.0  # BLE_RPA_TIMEOUT of NimBLE; Core Vol 3 Part C Appendix A: TGAP(private_addr_int)


class OwnAddress:
    """``choose`` a mode; ``stop`` ends the changes."""

    def __init__(self, host: BleHost, medium: Medium, station: Station) -> None:
        self._host = host
        self._medium = medium
        self._station = station
        self._timer: asyncio.TimerHandle | None = None

    async def choose(self, mode: int) -> None:
        """Go by another address from now on; connections keep theirs. A mode that there is not is ignored, as by the port."""
        if mode not in (PUBLIC, RANDOM, RPA, NRPA):
            return
        self.stop()
        if mode == RPA:
            await self._draw()
        elif mode != PUBLIC:
            device = self._station.device
            await self._set(
                device.static_address if mode == RANDOM else hci.Address.generate_private_address()
            )
        self._host.addr_mode = mode

    def encoded(self) -> bytes:
        """Type and address big endian; OSError(EINVAL) of a resolvable one, as NimBLE's port."""
        if self._host.addr_mode == RPA:
            raise OSError(errno.EINVAL, "a resolvable address changes by itself")
        public = self._host.addr_mode == PUBLIC
        device = self._station.device
        return (
            bytes((int(not public),))
            + bytes(device.public_address if public else device.random_address)[::-1]
        )

    def stop(self) -> None:
        self._medium.when_addresses_expire(self._station.controller, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _draw(self) -> None:
        await self._set(hci.Address.generate_private_address(self._station.device.irk))
        self._medium.when_addresses_expire(self._station.controller, self._expired)
        self._timer = asyncio.get_running_loop().call_later(RPA_TIMEOUT_S, self._expired)

    def _expired(self) -> None:
        self.stop()
        if self._host.addr_mode == RPA:  # not if another was chosen while the last one was drawn
            self._host.spawn(self._draw())

    async def _set(self, address: hci.Address) -> None:
        device = self._station.device
        await device.send_sync_command(hci.HCI_LE_Set_Random_Address_Command(random_address=address))
        device.random_address = address
