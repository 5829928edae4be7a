"""The uplink over a real spool: order, windows, fairness, and what a silent cloud does to one stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import uplink as uplink_module
from gateway.commits import Commits
from gateway.spool import Arrival, Spool
from gateway.uplink import BATCH, STREAM_WINDOW, TOTAL_WINDOW, Rows, Uplink

from .conftest import DEV1, DEV2


class Wire:
    """Takes what is sent; a test reads it, acknowledges, or closes it."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[tuple[str, list[int]]] = asyncio.Queue()
        self.open = True

    def send(self, stream: str, rows: Rows) -> bool:
        if self.open:
            self.sent.put_nowait((stream, [seq for seq, _ in rows]))
        return self.open

    async def next(self) -> tuple[str, list[int]]:
        return await asyncio.wait_for(self.sent.get(), 10)

    async def settled(self, uplink: Uplink) -> list[tuple[str, list[int]]]:
        """Everything that is sent before the uplink has nothing more to do."""
        found = [await self.next()]
        while True:
            try:
                found.append(await asyncio.wait_for(self.sent.get(), 0.3))
            except TimeoutError:
                return found


class Chain:
    def __init__(self, path: Path) -> None:
        self.wire = Wire()
        self.has_stored = asyncio.Event()
        self.commits = Commits(Spool(path), self.stored)
        self.uplink = Uplink(self.commits.fetch, self.commits.backlog, self.wire.send)

    def stored(self, durable: dict[str, int]) -> None:
        for stream in durable:
            self.uplink.stored(stream)
        self.has_stored.set()

    def offer(self, stream: str, *seqs: int) -> None:
        assert self.commits.offer(Arrival(stream, tuple((seq, b"x") for seq in seqs)))

    async def acknowledge(self, stream: str, seq: int) -> None:
        self.uplink.acknowledged(stream, seq)
        await self.commits.acknowledge(stream, seq)


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[Chain]:
    chain = Chain(path)
    tasks = [asyncio.create_task(chain.commits.run()), asyncio.create_task(chain.uplink.run())]
    try:
        yield chain
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        chain.commits.close()


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    async with running(tmp_path / "spool.db") as chain:
        yield chain


async def test_it_waits_for_a_session_and_then_sends_in_order(chain: Chain) -> None:
    chain.offer(DEV1, *range(1, 101))
    assert chain.wire.sent.empty()
    chain.uplink.link_changed(True)
    sent = [await chain.wire.next() for _ in range(4)]
    assert [seq for _, seqs in sent for seq in seqs] == list(range(1, 101))
    assert max(len(seqs) for _, seqs in sent) == BATCH


async def test_a_stream_has_a_bounded_window_that_acknowledgements_move(chain: Chain) -> None:
    chain.offer(DEV1, *range(1, 1001))
    chain.uplink.link_changed(True)
    assert len(await chain.wire.settled(chain.uplink)) == STREAM_WINDOW
    await chain.acknowledge(DEV1, 2 * BATCH)
    assert [seqs[0] for _, seqs in await chain.wire.settled(chain.uplink)] == [8 * BATCH + 1, 9 * BATCH + 1]


async def test_all_streams_together_have_a_bounded_window_and_take_turns(chain: Chain) -> None:
    names = [f"dev_{number:016x}" for number in range(12)]
    for name in names:
        chain.offer(name, *range(1, 1001))
    chain.uplink.link_changed(True)
    first = await chain.wire.settled(chain.uplink)
    assert len(first) == TOTAL_WINDOW
    waiting = set(names) - {name for name, _ in first}
    assert waiting
    for name in {name for name, _ in first}:
        await chain.acknowledge(name, STREAM_WINDOW * BATCH)
    assert waiting <= {name for name, _ in await chain.wire.settled(chain.uplink)}


async def test_a_new_session_starts_at_the_watermark(chain: Chain) -> None:
    chain.offer(DEV1, *range(1, 65))
    chain.uplink.link_changed(True)
    await chain.wire.next()
    await chain.wire.next()
    await chain.acknowledge(DEV1, 32)
    chain.uplink.link_changed(False)
    chain.uplink.link_changed(True)
    assert await chain.wire.next() == (DEV1, list(range(33, 65)))


async def test_a_restart_sends_what_the_last_run_left(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as chain:
        chain.offer(DEV1, 1, 2)
        chain.uplink.link_changed(True)
        await chain.wire.next()
    async with running(tmp_path / "spool.db") as chain:
        chain.uplink.link_changed(True)
        assert await chain.wire.next() == (DEV1, [1, 2])


async def test_a_stream_that_the_cloud_will_not_take_backs_off_alone(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "ACK_DEADLINE_S", 0.05)
    chain.uplink.link_changed(True)
    chain.offer(DEV1, *range(1, 1001))
    refused = 0
    for seq in range(1, 40):
        chain.offer(DEV2, seq)
        while True:
            stream, seqs = await chain.wire.next()
            if stream == DEV2:
                await chain.acknowledge(DEV2, seqs[-1])
                break
            refused += 1
    # Each silence costs at least half the doubled deadline: after the first window, one batch at a time.
    assert refused <= STREAM_WINDOW + 8


async def test_a_link_that_takes_no_more_is_tried_again_when_it_says_so(chain: Chain) -> None:
    chain.wire.open = False
    chain.uplink.link_changed(True)
    chain.offer(DEV1, 1)
    await asyncio.wait_for(chain.has_stored.wait(), 10)
    chain.wire.open = True
    chain.uplink.writable()
    assert await chain.wire.next() == (DEV1, [1])
