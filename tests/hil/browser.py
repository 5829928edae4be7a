"""Headless Chromium over its DevTools protocol, as far as a test of a page needs it."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.programs import program

DEADLINE_S = 30.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_LISTENING = re.compile(rb"DevTools listening on ws://(127\.0\.0\.1:\d+)/")


class Page:
    """One tab. `told` are the browser's events, by their names."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.told: list[tuple[str, dict[str, Any]]] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command; its result."""
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := await self._next()).get("id") != number:
            self._keep(message)
        assert "error" not in message, message
        result = message["result"]
        assert isinstance(result, dict)
        return result

    async def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        while (message := await self._next()).get("method") != name:
            self._keep(message)
        self._keep(message)
        return dict(message["params"])

    async def open(self, path: Path, width: int, height: int = 900) -> None:
        """Load a file in a window of this size, and wait until it is there."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        await self.call("Page.navigate", url=path.as_uri())
        await self.event("Page.loadEventFired")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def _keep(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self.told.append((message["method"], message["params"]))

    async def _next(self) -> dict[str, Any]:
        message = json.loads(await self._socket.recv())
        assert isinstance(message, dict)
        return message


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """A fresh browser with one tab; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        program("chromium"),
        *_FLAGS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            address = await _address(process)
            async with httpx.AsyncClient(trust_env=False) as client:
                tabs = (await client.get(f"http://{address}/json/list")).json()
            tab = next(tab for tab in tabs if tab["type"] == "page")
            async with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
                yield Page(socket)
    finally:
        process.kill()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    while line := await process.stderr.readline():
        said += line
        if found := _LISTENING.search(line):
            return found[1].decode()
    raise AssertionError(f"chromium ended: {said[-2000:]!r}")
