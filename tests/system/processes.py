"""The process tree, as the kernel tells it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

DEADLINE_S = 15.0
POLL_S = 0.02


def children(pid: int) -> list[int]:
    """Processes that any thread of this one has started and that still run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def descendants(pid: int) -> dict[int, str]:
    """Everything below a process: pid to the name of its program."""
    found: dict[int, str] = {}
    for child in children(pid):
        found[child] = name(child)
        found |= descendants(child)
    return found


def name(pid: int) -> str:
    """The program's name; empty once the process is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


def broker_of(pid: int) -> int:
    """The nats-server that a gateway or a cloud runs."""
    return next(child for child in children(pid) if name(child) == "nats-server")


def alive(pid: int) -> bool:
    """Whether it runs; a zombie has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(pids: Iterable[int]) -> None:
    """Wait until none of them runs; raises TimeoutError."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if not any(map(alive, pids)):
                return
            await asyncio.sleep(POLL_S)
