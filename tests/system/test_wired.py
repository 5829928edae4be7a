"""`latchwork device provision --api`: a board on a port becomes a door of a running cloud."""

import asyncio
import os
import sys
from pathlib import Path

from hil.stack.installation import Installation

LATCHWORK = Path(sys.executable).with_name("latchwork")


async def test_a_board_on_a_port_becomes_a_door_of_the_cloud(tmp_path: Path) -> None:
    async with Installation(tmp_path) as site:
        await site.start_cloud()
        await site.start_gateway()
        door = await site.add_board("front")
        facts = site.cloud_facts
        door.door_id = (await site.api.post("/v1/doors", {"site_id": site.site_id, "name": "Front"}))["id"]
        pins = [word for pin in facts["pins"] for word in ("--pin", pin)]
        where = ["--port", door.board.console.path, "--api", site.api.url, "--ca", facts["ca_file"], *pins]

        async def provision(*more: str) -> tuple[int | None, str]:
            process = await asyncio.create_subprocess_exec(
                LATCHWORK,
                *("device", "provision", *where, "--name", "Front door controller", *more),
                env={**os.environ, "LATCHWORK_TOKEN": facts["token"], "LATCHWORK_WIFI_KEY": "bench-only-key"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(60):
                out, _ = await process.communicate()
            return process.returncode, out.decode()

        status, said = await provision("--door", "door_" + "0" * 16)
        assert (status, "404" in said or "not_found" in said) == (1, True), said
        status, said = await provision("--door", door.door_id)
        assert status == 0, said
        door.device_id = said.split()[0]
        device = await site.connected(door)
        assert device["name"] == "Front door controller"
