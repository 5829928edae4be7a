"""A device that nobody can reach is known as such, and an unlock of its door fails at once."""

import asyncio
import os
import resource
import signal
from pathlib import Path
from typing import Any

from cloud_api.settings import INGEST_QUEUE
from tests.cloud_api.conftest import Site, open_device, open_site
from tests.cloud_api.world import CloudProcess, Device, made, until


async def unlock(site: Site, device: Device | None = None) -> tuple[str, str | None]:
    door_id = device.door_id if device else site.door_id
    answer = await made(await site.api.post(f"/v1/doors/{door_id}/unlock"), 202)
    return answer["status"], answer["error"]


async def connected(site: Site, device: Device, is_it: bool = True) -> dict[str, Any]:
    return await until(site.api, f"/v1/devices/{device.id}", lambda body: body["connected"] is is_it)


async def test_a_device_that_its_gateway_reports_away_fails_at_once_until_it_is_heard(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    await other.come_up(site.api)
    await site.device.gateway.send("presence", {"away": [site.device.id]})
    await connected(site, site.device, False)
    assert await unlock(site) == ("failed", "device_offline")
    assert await unlock(site, other) == ("pending", None)
    await site.device.send_state()
    await connected(site, site.device)
    assert await unlock(site) == ("pending", None)


async def test_with_its_gateway_a_whole_site_is_gone(cloud: CloudProcess, token: str, tmp_path: Path) -> None:
    async with cloud.api(token) as api:
        gateway = await open_site(cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            device = await open_device(api, gateway)
            site = Site(api, gateway, device)
            await device.come_up(api)
            assert await unlock(site) == ("pending", None)
        await connected(site, device, False)
        assert await unlock(site) == ("failed", "device_offline")
        async with gateway.connected():
            assert await unlock(site) == ("failed", "device_offline")
            await device.send_state()
            await connected(site, device)
            assert await unlock(site) == ("pending", None)


async def test_a_gateway_cannot_declare_another_sites_device_away(
    cloud: CloudProcess, site: Site, tmp_path: Path
) -> None:
    async with (await open_site(cloud, site.api, tmp_path / "rogue")).connected() as rogue:
        await rogue.send("presence", {"away": [site.device.id]})
        own = await open_device(site.api, rogue)
        await own.come_up(site.api)  # what was sent before it has been handled
        assert await unlock(site) == ("pending", None)
        assert (await connected(site, site.device))["connected"]


async def test_a_site_that_tells_of_everything_at_once_loses_nothing(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    """More messages than wait for a commit come while the cloud stands still: what counts is each device's newest."""
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            noisy, quiet = [await open_device(api, gateway) for _ in range(2)]
            for device in (noisy, quiet):
                await device.come_up(api)
            assert own_cloud.process is not None
            os.kill(own_cloud.process.pid, signal.SIGSTOP)
            try:
                log = {"d": noisy.id, "counters": {"bad_mac": 1}}
                for _ in range(10):
                    await asyncio.gather(*[gateway.send("log", log) for _ in range(INGEST_QUEUE // 8)])
                await quiet.send_state(door="forced")
                await gateway.send("presence", {"away": [noisy.id]})
            finally:
                os.kill(own_cloud.process.pid, signal.SIGCONT)
            site = Site(api, gateway, noisy)
            assert (await connected(site, noisy, False))["boot"] == noisy.boot
            body = (await api.get(f"/v1/devices/{quiet.id}")).json()
            assert (body["door_state"], body["connected"]) == ("forced", True)


async def test_after_a_restart_of_the_cloud_nobody_is_there_until_heard(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            device = await open_device(api, gateway)
            await device.come_up(api)
            own_cloud.kill()
    own_cloud.start()
    async with own_cloud.api(token) as api:
        site = Site(api, gateway, device)
        assert not (await connected(site, device, False))["connected"]
        assert await unlock(site) == ("failed", "device_offline")


async def test_a_site_that_leaves_while_the_store_takes_no_work_is_gone_later(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    async with own_cloud.api(own_cloud.new_organisation()) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        assert own_cloud.process is not None
        pid = own_cloud.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        async with gateway.connected():
            device = await open_device(api, gateway)
            await device.come_up(api)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
        failed = 'latchwork_worker_errors_total{worker="presence"}'
        async with asyncio.timeout(10):
            while failed not in (await api.get("/metrics")).text:  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.05)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        await connected(Site(api, gateway, device), device, False)
