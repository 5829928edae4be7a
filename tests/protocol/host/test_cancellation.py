"""A cancellation is never lost, even where a library's wait was over at the same moment."""

import asyncio

import pytest

from protocol.host.cancellation import cancellable


async def test_a_cancellation_ends_the_wait_also_when_the_answer_came_at_the_same_moment() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.Event()

    async def ask() -> int:
        waiting.set()
        return await asyncio.wait_for(answer, 60)

    async def worker() -> None:
        await cancellable(ask())
        await asyncio.Event().wait()

    task = asyncio.create_task(worker())
    await waiting.wait()
    answer.set_result(1)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert task in done
    assert task.cancelled()


async def test_the_work_is_cancelled_with_the_wait() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(cancellable(work()))
    await begun.wait()
    task.cancel()
    await asyncio.wait_for(ended.wait(), 10)
    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_results_and_errors_pass() -> None:
    async def work(fails: bool) -> int:
        if fails:
            raise KeyError("x")
        return 3

    assert await cancellable(work(False)) == 3
    with pytest.raises(KeyError):
        await cancellable(work(True))
