"""The network of a board that lives for one command: loaded when its program first uses it, as most do not."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hil.board.routes import Routes
from hil.vm.link import Answer, Link
from hil.vm.wire import HOST

if TYPE_CHECKING:
    from hil.board.network import Network


class LateNetwork:
    """Channel HOST until then. ``on_connection`` is called before a connection is made."""

    def __init__(self, link: Link, seed: str, routes: Routes, on_connection: Callable[[], None]) -> None:
        self._link = link
        self._seed = seed
        self._routes = routes
        self._on_connection = on_connection
        self._network: Network | None = None
        link.attach(HOST, self)

    def handle(self, op: int, payload: bytes) -> Answer:
        from hil.board.network import Network

        self._network = Network(self._link, self._seed, self._routes, self._on_connection)
        return self._network.handle(op, payload)

    def vm_lost(self) -> None:
        pass

    async def flushed(self, timeout: float) -> None:
        """Wait for connections to end behind a VM that is gone, at most so many seconds."""
        if self._network is not None:
            await self._network.flushed(timeout)
