"""Awaits of libraries that a cancellation always ends.

`asyncio.wait_for` of Python 3.11, on which aiomqtt and nats-py rest, returns its result when that is there at the moment of the
cancellation, and the cancellation is gone (python/cpython#86296, mended in 3.12): a worker that goes on then never ends.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` as a task of its own, and wait for it with `asyncio.wait`, which keeps no cancellation for itself."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        raise
    return task.result()
