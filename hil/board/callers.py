"""Who connects to a board: the way from a port of the bench to its VM."""

import asyncio
import socket

from hil.board import address
from hil.board.connections import Connections
from hil.board.passage import WINDOW, end_with_reset, narrow
from hil.board.routes import Target

_ENTER_S = 10.0  # for the VM's port to take a connection


class Callers:
    """Those of one board, while they are connected."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._names: dict[int, str] = {}  # by the port from where a passage comes

    def admit(self, caller: socket.socket, target: Target, inner: tuple[str, int]) -> None:
        """Join a caller, by the address that the board knows, with the port of its VM; too many are reset."""
        if self._connections.full:
            end_with_reset(caller)
            caller.close()
        else:
            self._connections.spawn(self._enter(caller, target, inner, self._connections.next_seed()))

    def name(self, port: int) -> bytes:
        """Address and port of who is behind a connection that the VM has accepted; b"" is the board itself."""
        return self._names.get(port, "").encode()

    async def _enter(self, caller: socket.socket, target: Target, inner: tuple[str, int], seed: str) -> None:
        resets = self._connections.resets
        near, port = socket.socket(), 0
        try:
            near.setblocking(False)
            narrow(near)
            near.bind((address.HOST, 0))
            await asyncio.sleep(2 * self._connections.quality.latency_ms / 1000)
            await self._connections.routes.open(target.passes)
            port = near.getsockname()[1]
            self._names[port] = f"{target.address}:{caller.getpeername()[1]}"
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(near, inner), _ENTER_S)
            await self._connections.join(near, caller, seed, target.passes, resets, WINDOW)
        except BaseException:
            near.close()
            end_with_reset(caller)
            caller.close()
            raise
        finally:
            self._names.pop(port, None)
