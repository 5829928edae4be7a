"""A command that is held up over its expiry never moves the bolt, whoever held it."""

import os
import signal
from pathlib import Path

from tests.system.processes import broker_of
from tests.system.whole import Whole, until, whole

LIFE_S = 4


async def opens(one: Whole) -> int:
    """A fresh command gets through; the number of its record."""

    async def ask() -> int | None:
        attempt = await one.unlock_by_api(one.door)
        return int(attempt["result"]["jseq"]) if attempt["status"] == "succeeded" else None

    seq = await until(ask)
    await one.locked(one.door)
    return seq


async def test_a_command_that_was_held_up_over_its_expiry_never_opens(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        await one.commands_live(LIFE_S)
        opened = [await opens(one)]
        gateway, board = one.site.gateway.pid, one.door.board.pid
        assert gateway is not None
        assert board is not None
        for holder in (gateway, broker_of(gateway), board):
            os.kill(holder, signal.SIGSTOP)
            try:
                late = await one.unlock_by_api(one.door)
            finally:
                os.kill(holder, signal.SIGCONT)
            assert (late["status"], late["error"]) == ("expired", "no_result")
            # The way keeps the order: once a later command has opened, the late one has been judged.
            opened.append(await opens(one))
            after = await one.site.api.get(f"/v1/action_attempts/{late['id']}")
            assert after["status"] == "expired"
        events = await one.arrived_exactly_once(one.door)
        granted = [event["seq"] for event in events if event["type"] == "access_granted"]
        assert granted == opened
        assert len(one.pulses) == len(opened)
        assert "command_refused" in {event["type"] for event in events}
