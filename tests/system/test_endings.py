"""How everything ends: asked to, at once and cleanly; killed, with nothing left behind."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.system.processes import descendants, gone
from tests.system.whole import DEADLINE_S, whole


async def test_sigterm_ends_gateway_and_cloud_with_0_and_all_that_they_started(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        for service in (one.site.gateway, one.site.cloud):
            assert service.pid is not None
            started = descendants(service.pid)
            assert "nats-server" in started.values()
            assert await service.stop() == 0
            await gone(started)


async def test_sigterm_ends_a_gateway_that_is_cut_off_from_its_cloud(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        await one.site.cloud.kill()
        assert (await one.unlock_by_phone(one.door)).granted
        assert await one.site.gateway.stop() == 0


async def test_a_killed_bench_leaves_no_board_gateway_cloud_or_broker(tmp_path: Path) -> None:
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.system.bench", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert bench.stdout is not None
        line = await asyncio.wait_for(bench.stdout.readline(), DEADLINE_S)
        assert json.loads(line) == {"doors": 2}
        started = descendants(bench.pid)
        names = sorted(started.values())
        assert names.count("nats-server") == 2, names
        assert len(names) >= 7, names  # two boards and their zygote, gateway, cloud, and a broker each
    finally:
        bench.send_signal(signal.SIGKILL)
        await bench.wait()
    await gone(started)
