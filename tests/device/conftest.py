"""Boards for the tests of the firmware: blank, provisioned and online, or provisioned and alone."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.board.description import builtin
from tests.device.rig import Rig, rig
from tests.device.site import Site
from tests.device.users_bench import Bench


@pytest.fixture
async def blank(tmp_path: Path) -> AsyncIterator[Rig]:
    """Not provisioned; its site is not running."""
    async with rig(tmp_path) as one:
        yield one


@pytest.fixture
async def bench(blank: Rig) -> Bench:
    """Not provisioned either; the test is to hold its readers."""
    return Bench(blank)


@pytest.fixture
async def door(blank: Rig) -> AsyncIterator[Rig]:
    """Provisioned, connected to its site, and sure of the time."""
    async with blank.site.serving():
        await blank.provision()
        await blank.site.synchronised()
        yield blank


@contextlib.asynccontextmanager
async def wired(folder: Path, name: str, main: str = "") -> AsyncIterator[Rig]:
    """A board of that description, provisioned, connected, and sure of the time."""
    async with rig(folder, description=builtin(name)) as one, one.site.serving():
        await one.wire()
        await one.provision(main=main)
        await one.site.synchronised()
        yield one


@pytest.fixture
async def full(tmp_path: Path) -> AsyncIterator[Rig]:
    """A strike with every contact."""
    async with wired(tmp_path, "strike_full") as one:
        yield one


@pytest.fixture
async def maglock(tmp_path: Path) -> AsyncIterator[Rig]:
    """A maglock with every contact."""
    async with wired(tmp_path, "maglock_door") as one:
        yield one


@pytest.fixture
async def lonely(blank: Rig) -> Rig:
    """Provisioned for a broker that does not exist: offline from its first boot."""
    blank.site.port = 1
    await blank.provision()
    await blank.running()
    return blank


@pytest.fixture
def two_bundles(tmp_path: Path) -> tuple[str, str]:
    """Of one device, with different root keys."""
    site = Site(tmp_path)
    site.port = 1
    first = json.dumps(site.bundle())
    site.k_dev = bytes(range(32))
    return first, json.dumps(site.bundle())
