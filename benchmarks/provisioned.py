"""A board that is provisioned, and waits at its console with its agent not running: for what is measured within its VM."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.device.rig import Rig, rig

POLICY = {"max_u_s": 60, "open_s": 5, "held_s": 30}


@asynccontextmanager
async def board(
    folder: Path, policy: dict[str, int] | None = None, firmware: Path | None = None, **config: Any
) -> AsyncIterator[Rig]:
    """With these changes of its policy and configuration; `firmware` is that of this tree."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    options = {} if firmware is None else {"firmware": firmware}
    async with rig(folder, **options) as one:
        one.site.port = 1  # of no broker
        configuration = one.site.config(policy={**POLICY, **(policy or {})}, **config)
        await one.provision(main="pass", config=configuration)
        yield one
