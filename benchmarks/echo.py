"""A client that sends back what it is sent, as a process of its own.

Run as ``python -m benchmarks.echo PORT CA CERTIFICATE KEY SERVER_PIN``; prints a line when it listens, ends with its
standard input.
"""

import asyncio
import socket
import sys
from pathlib import Path

import aiomqtt

from benchmarks.identities import context

CALLER, ECHO = "caller", "echo"
REQUEST, ANSWER = "bench/request", "bench/answer"
NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


async def _echo(client: aiomqtt.Client) -> None:
    await client.subscribe(REQUEST, qos=1)
    print("ready", flush=True)
    async for message in client.messages:
        await client.publish(ANSWER, message.payload, qos=1)


async def main(port: int, ca: str, certificate: str, key: str, server_pin: str) -> None:
    """Echo until standard input ends."""
    tls = context(Path(ca), (Path(certificate), Path(key)), server_pin)
    async with aiomqtt.Client(
        "localhost", port, identifier=ECHO, tls_context=tls, socket_options=NODELAY
    ) as client:
        echoing = asyncio.create_task(_echo(client))
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait([echoing, ended], return_when=asyncio.FIRST_COMPLETED)
        echoing.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
