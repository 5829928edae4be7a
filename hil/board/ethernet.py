"""The board's Ethernet: what its PHY tells of the cable, and the address that the network gives."""

import asyncio

from hil.board.routes import NO_ADDRESS, Attached, Routes
from hil.vm.link import Link
from hil.vm.wire import ETHERNET

START, STOP, ADDRESSES = range(3)
CHANGED = 0  # interrupt
INITIALIZED, STARTED, STOPPED, CONNECTED, DISCONNECTED, GOT_IP = range(6)
NEGOTIATION_S = 0.02  # a real PHY takes one to three seconds
DHCP_S = 0.02


class Ethernet:
    """Channel ETHERNET. A cable is plugged until ``plug(False)``; the board notices at once."""

    def __init__(self, link: Link, routes: Routes | None = None) -> None:
        self._link = link
        self._routes = routes or Routes()
        self._plugged = True
        self._status = INITIALIZED
        self._up: asyncio.Task[None] | None = None
        link.attach(ETHERNET, self)

    @property
    def status(self) -> int:
        """As ``network.LAN.status()`` has it."""
        return self._status

    def plug(self, plugged: bool = True) -> None:
        """Put the cable in, or pull it."""
        if plugged != self._plugged:
            self._plugged = plugged
            if self._status in (STARTED, CONNECTED, DISCONNECTED, GOT_IP):
                self._follow()

    def handle(self, op: int, payload: bytes) -> bytes | None:
        if op == ADDRESSES:
            return self._routes.site_addresses if self._status == GOT_IP else NO_ADDRESS
        self._report(STARTED if op == START else STOPPED)
        if op == START:
            self._follow()
        else:
            self._cancel()
        return None

    def vm_lost(self) -> None:
        self._cancel()
        self._status = INITIALIZED
        self._routes.take("ethernet")

    def _follow(self) -> None:
        """The cable."""
        self._cancel()
        if self._plugged:
            self._up = asyncio.get_running_loop().create_task(self._come_up())
        elif self._status in (CONNECTED, GOT_IP):
            self._report(DISCONNECTED)

    async def _come_up(self) -> None:
        await asyncio.sleep(NEGOTIATION_S)
        self._report(CONNECTED)
        await asyncio.sleep(DHCP_S)
        self._report(GOT_IP)

    def _cancel(self) -> None:
        if self._up is not None:
            self._up.cancel()
            self._up = None

    def _report(self, status: int) -> None:
        self._status = status
        if status == GOT_IP:
            self._routes.put("ethernet", Attached())
        else:
            self._routes.take("ethernet")
        self._link.interrupt(ETHERNET, CHANGED, bytes((status,)))
