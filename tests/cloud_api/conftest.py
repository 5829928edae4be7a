"""One cloud process for all tests of a worker; one organisation, and where wanted one site, for each test."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.cloud_api.world import CloudProcess, Device, Gateway, made, new_door, new_site


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    process = CloudProcess(tmp_path_factory.mktemp("cloud") / "dir", unlock_life_s=5, gap_grace_s=0.3)
    process.start()
    yield process
    assert process.stop() == 0


@pytest.fixture
async def own_cloud(tmp_path: Path) -> AsyncIterator[CloudProcess]:
    """A cloud that the test may kill."""
    process = CloudProcess(tmp_path / "dir", unlock_life_s=2, gap_grace_s=0.3)
    process.start()
    yield process
    if process.process is not None and process.process.poll() is None:
        process.kill()


@pytest.fixture
def token(cloud: CloudProcess) -> str:
    return cloud.new_organisation()


@pytest.fixture
async def api(cloud: CloudProcess, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with cloud.api(token) as client:
        yield client


@pytest.fixture
async def stranger(cloud: CloudProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another organisation."""
    async with cloud.api(cloud.new_organisation()) as client:
        yield client


@dataclass
class Site:
    """A site with a connected gateway and a device that is up."""

    api: httpx.AsyncClient
    gateway: Gateway
    device: Device

    @property
    def door_id(self) -> str:
        return self.device.door_id


async def open_site(cloud: CloudProcess, api: httpx.AsyncClient, directory: Path) -> Gateway:
    """A site with an enrolled gateway."""
    site = await new_site(api)
    return await Gateway.enrol(cloud, api, site["id"], directory)


async def open_device(api: httpx.AsyncClient, gateway: Gateway) -> Device:
    """A door with a device."""
    door = await new_door(api, gateway.site_id)
    return Device(await made(await api.post("/v1/devices", json={"door_id": door["id"]})), gateway)


@pytest.fixture
async def gateway(cloud: CloudProcess, api: httpx.AsyncClient, tmp_path: Path) -> AsyncIterator[Gateway]:
    enrolled = await open_site(cloud, api, tmp_path / "gateway")
    async with enrolled.connected():
        yield enrolled


@pytest.fixture
async def site(api: httpx.AsyncClient, gateway: Gateway) -> Site:
    device = await open_device(api, gateway)
    await device.come_up(api)
    return Site(api, gateway, device)
