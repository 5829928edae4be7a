"""The end of a task that a test has started."""

import asyncio
from typing import Any


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel until it has ended: a wait_for of Python 3.11 that is done at that moment takes one for itself."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
