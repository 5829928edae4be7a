"""The firmware at another broker: Mosquitto, with its own client certificates and access list."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from protocol import journal
from protocol.host.child import dying_with_us
from protocol.host.ports import free_port
from tests.device.rig import Rig
from tests.device.site import DEADLINE, Site
from tests.programs import program

_ACCESS = """\
user gateway
topic write d/+/down/#
topic read d/+/up/#
pattern write d/%u/up/#
pattern read d/%u/down/#
"""


class Mosquitto:
    """As much of a `NatsBroker` as a `Site` needs."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.mqtt_port = free_port("127.0.0.1")
        self._process: asyncio.subprocess.Process | None = None
        self._config = folder / "mosquitto.conf"
        access = folder / "access"
        access.write_text(_ACCESS)
        access.chmod(0o600)
        self._config.write_text(
            f"listener {self.mqtt_port} 127.0.0.1\n"
            f"cafile {site.fleet.ca}\ncertfile {site.server.certificate}\nkeyfile {site.server.key}\n"
            "require_certificate true\nuse_identity_as_username true\nallow_anonymous false\n"
            f"acl_file {access}\nset_tcp_nodelay true\nuser root\n"
        )

    async def start(self) -> None:
        """Start, and wait until it says that it runs."""
        command = dying_with_us([program("mosquitto"), "-c", str(self._config), "-v"])
        self._process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert self._process.stderr is not None
        said = b""
        async with asyncio.timeout(DEADLINE):
            while b" running" not in said:
                line = await self._process.stderr.readline()
                assert line, said
                said += line

    async def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        await self._process.communicate()


class MosquittoSite(Site):
    """Admission is the broker's own: the certificate's name, and what the access list gives it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.broker: Any = Mosquitto(directory, self)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Site"]:
        await self.broker.start()
        try:
            async with self._client_stack:
                await self._client_stack.enter_async_context(self._connected())
                yield self
        finally:
            await self.broker.stop()

    async def restart(self) -> None:
        """Down and up again, with our client."""
        await self._client_stack.aclose()
        await self.broker.stop()
        self.messages.clear()
        await self.broker.start()
        await self._client_stack.enter_async_context(self._connected())


async def test_a_door_works_at_mosquitto_and_finds_it_again(blank: Rig, tmp_path: Path) -> None:
    (tmp_path / "mosquitto").mkdir()
    site = MosquittoSite(tmp_path / "mosquitto")
    blank.site = site
    async with site.serving():
        await blank.provision()
        await site.synchronised()
        await site.down("command", site.command())
        assert (await site.result())["ok"]
        granted = await site.record(journal.EVENT_ACCESS_GRANTED)
        await site.restart()
        await site.synchronised()
        await site.down("command", site.command())
        assert (await site.result())["ok"]
        again = await site.record(journal.EVENT_ACCESS_GRANTED, after=granted.seq)
        assert [record.seq for record in site.verify()][: again.seq] == list(range(1, again.seq + 1))
