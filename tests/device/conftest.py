"""Boards for the tests of the firmware: blank, provisioned and online, or provisioned and alone."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.device.rig import Rig, rig
from tests.device.site import Site


@pytest.fixture
async def blank(tmp_path: Path) -> AsyncIterator[Rig]:
    """Not provisioned; its site is not running."""
    async with rig(tmp_path) as one:
        yield one


@pytest.fixture
async def door(blank: Rig) -> AsyncIterator[Rig]:
    """Provisioned, connected to its site, and sure of the time."""
    async with blank.site.serving():
        await blank.provision()
        await blank.site.synchronised()
        yield blank


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
