"""A fleet: real boards that connect, are opened, lose their power, and lose nothing else."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hil.fleet.fleet import Fleet
from hil.fleet.plan import NoRoom, Plan
from hil.fleet.presence import Presence
from hil.stack import Installation
from hil.stack.installation import command
from protocol.host.cloud_messages import MAX_DEVICES

DEV = "dev_1111111111111111"


def boot(number: int, source: str = DEV) -> dict[str, Any]:
    return {"type": "boot", "device_id": DEV, "source": source, "data": {"boot": number}}


async def test_a_board_is_back_with_a_boot_that_is_later_than_the_one_before() -> None:
    presence = Presence()
    presence.take(boot(3))
    presence.leaving(DEV)
    presence.take(boot(3))
    assert presence.missing() == [DEV]
    assert not await presence.wait(DEV, 0.01)
    presence.take(boot(4, source="cloud"))
    assert presence.back() == []
    presence.take(boot(4))
    assert await presence.wait(DEV, 0.01)
    assert len(presence.back()) == 1
    assert presence.missing() == []


async def test_a_board_that_leaves_again_is_waited_for_again() -> None:
    presence = Presence()
    presence.leaving(DEV)
    presence.take(boot(1))
    presence.leaving(DEV)
    waiting = asyncio.create_task(presence.wait(DEV, 5))
    await asyncio.sleep(0)
    assert not waiting.done()
    presence.take(boot(2))
    assert await waiting


def test_a_fleet_without_room_is_refused_with_what_to_raise() -> None:
    few = ["prlimit", "--nofile=300:300", command("latchwork"), "fleet", "--devices", "100"]
    ended = subprocess.run(few, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "100 boards need 500 open files, and the limit is 300: raise it (ulimit -Hn)" in ended.stderr


def test_a_fleet_is_no_larger_than_a_site() -> None:
    with pytest.raises(NoRoom, match="a site has at most 5000 devices"):
        Plan(MAX_DEVICES + 1).claim()


def test_a_small_fleet_goes_through_every_phase(tmp_path: Path) -> None:
    arguments = ["--devices", "6", "--hold", "2", "--unlocks", "5", "--chaos", "0.4", "--json"]
    ended = subprocess.run(
        [command("latchwork"), "fleet", *arguments, "--dir", str(tmp_path / "fleet")],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stderr[-3000:] + ended.stdout
    report = json.loads(ended.stdout)
    assert report["ok"]
    assert report["lost"] == 0
    assert (report["ramp"]["boards"], report["ramp"]["connected"]) == (6, 6)
    assert (report["chaos"]["boards"], report["chaos"]["connected"]) == (2, 2)
    assert (report["returned"]["boards"], report["returned"]["connected"]) == (6, 6)
    assert report["remote"]["took"]["n"] + report["bluetooth"]["took"]["n"] >= 6
    assert 0 < report["idle"]["vm_kib"]["p50"] < 16_384
    assert "provision: 6 of 6" in ended.stderr
    assert len(list((tmp_path / "fleet").glob("board-*.console.log"))) == 6


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    words = [command("latchwork"), "fleet", "--devices", "1", "--dir", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "is not empty: choose a new folder" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


async def test_a_phase_that_cannot_be_carried_through_is_told_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.fleet.fleet.QUIET_S", 0.5)
    fleet = Fleet(
        Plan(1), Installation(tmp_path), lambda phase, done, of: None
    )  # nobody has started its servers
    report = await fleet.run()
    assert (report.ok, report.error) == (False, "the cloud has not been started")
