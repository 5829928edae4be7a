"""Faults of a board's own network: its access point, and the connections that pass through the bench."""

import asyncio
from typing import Annotated

from pydantic import Field

from hil.rig.capabilities import ACCESS_POINT, LINK, LinkProtocol, wired
from hil.scenario.quantities import Duration
from hil.scenario.verb import StepFailed, needs, verb
from hil.scenario.verbs_board import BoardName
from hil.scenario.world import World

For = Annotated[Duration | None, Field(description="Healed after so long; absent: by `heal`.")]


class NetworkFaults:
    """Part of the Python API."""

    def __init__(self, world: World) -> None:
        self.world = world

    @verb
    @needs(ACCESS_POINT)
    async def wifi_down(self, board: BoardName = None, time: For = None) -> None:
        """The board's Wi-Fi loses its access point, and the board knows."""
        self._said(board, "access point off")
        wired(self.world.unit(board).target.access_point, ACCESS_POINT).switch(False)
        await self._healed_after(board, time)

    @verb
    @needs(LINK)
    async def partition(self, board: BoardName = None, time: For = None) -> None:
        """Nothing passes in either direction, not even the end of a connection: nobody is told."""
        self._said(board, "partition")
        self._link(board).partition(True)
        await self._healed_after(board, time)

    @verb
    @needs(LINK)
    async def link(
        self,
        latency: Annotated[Duration, Field(description="One way.")] = 0.0,
        jitter: Annotated[Duration, Field(description="Up to so much more.")] = 0.0,
        loss: Annotated[float, Field(ge=0, lt=1, description="Of segments, which TCP sends again.")] = 0.0,
        kbit_s: Annotated[float, Field(ge=0, description="0: no limit.")] = 0.0,
        board: BoardName = None,
    ) -> None:
        """A slow or a lossy link; without fields a good one."""
        self._said(board, f"link {latency * 1000:g} ms, {loss:.0%} lost")
        self._link(board).shape(latency, jitter, loss, kbit_s)

    @verb
    @needs(LINK)
    async def refuse(self, board: BoardName = None, refused: bool = True) -> None:
        """New connections are refused; `refused: false` lets them in again."""
        self._said(board, "connections refused" if refused else "connections taken")
        self._link(board).refuse(refused)

    @verb
    @needs(LINK)
    async def no_names(self, board: BoardName = None, missing: bool = True) -> None:
        """Names are not resolved; `missing: false` ends that."""
        self._said(board, "no DNS" if missing else "DNS")
        self._link(board).hide_names(missing)

    @verb
    @needs(LINK)
    async def half_open(self, board: BoardName = None) -> None:
        """The peers forget their connections, and the board learns of it when it next sends."""
        self._said(board, "connections forgotten")
        self._link(board).half_open()

    @verb
    @needs(LINK)
    async def reset_connections(self, board: BoardName = None) -> None:
        """All connections end with RST, at both ends."""
        self._said(board, "connections reset")
        self._link(board).reset()

    @verb
    async def heal(self, board: BoardName = None) -> None:
        """End all faults of the board's network."""
        target = self.world.unit(board).target
        self._said(board, "network healed")
        if target.access_point is not None:
            target.access_point.switch(True)
        if (link := target.link) is not None:
            link.shape(0, 0, 0, 0)
            link.refuse(False)
            link.hide_names(False)
            link.partition(False)

    def _link(self, board: str | None) -> LinkProtocol:
        unit = self.world.unit(board)
        if LINK in self.world.rig.offers and unit.target.link is None:
            raise StepFailed(f"the network of {unit.name}", "not the rig's: the board has networked: false")
        return wired(unit.target.link, LINK)

    def _said(self, board: str | None, what: str) -> None:
        name = self.world.unit(board).name
        self.world.bench.scribe.said(name, name, what, "fault")

    async def _healed_after(self, board: str | None, time: float | None) -> None:
        if time is not None:
            await asyncio.sleep(time)
            await self.heal(board)
