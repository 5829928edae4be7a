"""`latchwork up` as a user runs it: a site that stays, and goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from protocol.host.pins import client_context
from tests.system.processes import alive, children, descendants

LATCHWORK = str(Path(sys.executable).with_name("latchwork"))
DEADLINE_S = 60


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A site with two doors; stopped by Ctrl-C, and then nothing of it is left."""
    command = [LATCHWORK, "up", "--dir", str(folder), "--doors", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        assert isinstance(facts, dict)
        family = list(descendants(process.pid))
        try:
            yield process, facts
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(DEADLINE_S)
        assert status == 0
        assert not any(map(alive, family))


def api(facts: dict[str, Any]) -> httpx.Client:
    token = Path(facts["token_file"]).read_text()
    context = client_context(Path(facts["ca_file"]), pins=facts["pins"])
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=facts["api"], verify=context, headers=headers, timeout=DEADLINE_S)


def unlock(facts: dict[str, Any], door: int) -> str:
    """Open a door from the cloud, again until its device is back; how the last attempt ended."""
    ends = time.monotonic() + DEADLINE_S
    with api(facts) as client:
        while True:
            try:
                attempt = client.post(f"/v1/doors/{facts['doors'][door]['door_id']}/unlock").json()
                done = client.get(f"/v1/action_attempts/{attempt['id']}", params={"wait": 20}).json()
            except httpx.TransportError:
                done = {"status": "unreachable"}
            if done["status"] == "succeeded" or time.monotonic() > ends:
                return str(done["status"])


def test_a_site_stays_goes_on_where_it_stopped_and_is_served_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    with running(folder) as (_, facts):
        assert unlock(facts, 0) == "succeeded"
        second = subprocess.run(
            [LATCHWORK, "up", "--dir", str(folder)], capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert second.returncode == 1
        assert "being served already" in second.stderr
    assert Path(facts["token_file"]).stat().st_mode & 0o077 == 0
    with running(folder) as (_, again):
        known = [[door["door_id"], door["device_id"]] for door in facts["doors"]]
        assert [[door["door_id"], door["device_id"]] for door in again["doors"]] == known
        assert again["api"] == facts["api"]
        assert unlock(again, 1) == "succeeded"
        with api(again) as client:
            boots = client.get("/v1/events", params={"type": "boot", "limit": 100}).json()["items"]
        assert sorted(boot["data"]["boot"] for boot in boots) == [1, 1, 2, 2]


def test_a_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path / "site") as (process, facts):
        servers = [pid for pid in children(process.pid) if b"latchwork-" in cmdline(pid)]
        assert len(servers) == 2
        for pid in servers:
            os.kill(pid, signal.SIGKILL)
        assert unlock(facts, 0) == "succeeded"


def test_half_a_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    done = subprocess.run(
        [LATCHWORK, "up", "--dir", str(tmp_path)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 1
    assert "choose another folder" in done.stderr


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
