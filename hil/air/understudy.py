"""A process that is ready to become an air: forked from a board's model when that has loaded what an air needs as well.

A new interpreter would take most of the time of a start. It waits, and ends with the model that it was not needed by.
"""

import os
import socket
from typing import BinaryIO

_MAX_NAME = 100


class Understudy:
    """Make it where there is no thread and no event loop yet. ``keep_closed``: what the air must not hold open."""

    def __init__(self, keep_closed: socket.socket) -> None:
        self._ours: socket.socket | None
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            try:
                self._ours.close()
                keep_closed.close()
                _wait(theirs)
            finally:
                os._exit(1)
        theirs.close()

    def launch(self, name: str, listening: socket.socket, log: BinaryIO) -> bool:
        """Have it serve an air; False if it does already."""
        if self._ours is None:
            return False
        with self._ours as ours:
            self._ours = None
            socket.send_fds(ours, [name.encode()], [listening.fileno(), log.fileno()])
        return True


def _wait(call: socket.socket) -> None:
    from hil.air.server import serve  # while the model loads what it needs

    name, fds, _, _ = socket.recv_fds(call, _MAX_NAME, 2)
    call.close()
    if not name:
        os._exit(0)
    listening, log = fds
    os.setsid()
    os.chdir("/")
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    serve(listening, name.decode())
