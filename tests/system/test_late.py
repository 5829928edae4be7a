"""A command that is held up over its expiry never moves the bolt, whoever held it."""

import os
import signal
from pathlib import Path

from tests.system.processes import broker_of
from tests.system.whole import Whole, whole

LIFE_S = 4


async def opens(one: Whole) -> None:
    """A fresh command gets through, until the first that does."""
    while (await one.unlock_by_api(one.door))["status"] != "succeeded":
        pass
    await one.locked(one.door)


async def test_a_command_that_was_held_up_over_its_expiry_never_opens(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        await one.commands_live(LIFE_S)
        await opens(one)
        gateway, board = one.site.gateway.pid, one.door.board.pid
        assert gateway is not None
        assert board is not None
        for holder in (gateway, broker_of(gateway), board):
            before = len(one.pulses)
            os.kill(holder, signal.SIGSTOP)
            try:
                attempt = await one.unlock_by_api(one.door)
            finally:
                os.kill(holder, signal.SIGCONT)
            assert (attempt["status"], attempt["error"]) == ("expired", "no_result")
            # The way keeps the order: once a later command has opened, the late one has been judged.
            await opens(one)
            assert len(one.pulses) == before + 1
            after = await one.site.api.get(f"/v1/action_attempts/{attempt['id']}")
            assert after["status"] == "expired"
        events = await one.arrived_exactly_once(one.door)
        assert "command_refused" in {event["type"] for event in events}
        remote = [event for event in events if event["type"] == "access_granted"]
        assert len(remote) == len(one.pulses)
