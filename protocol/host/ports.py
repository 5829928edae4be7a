"""TCP ports for servers that must come back on the same port after a restart."""

import random
import socket

# Below the range that systems give to outgoing connections: a port chosen here is still free after a restart.
PORT_RANGE = (20_000, 32_000)
PORT_TRIES = 50


def free_port(host: str) -> int:
    """A port of `host` that is free now and likely to stay so. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(PORT_TRIES):
        port = random.randint(*PORT_RANGE)  # noqa: S311
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
            except OSError:
                continue
            return port
    raise OSError(f"no free port on {host}")
