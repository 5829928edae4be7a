"""The process: what `init` makes, what `serve` leaves behind, and what a kill costs."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cloud_api import server
from cloud_api.installation import InstallError, add_token, create
from cloud_api.server import Options, serve
from tests.cloud_api.conftest import open_device, open_site
from tests.cloud_api.world import CloudProcess, made, until

PROGRAM = str(Path(sys.executable).with_name("latchwork-cloud"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=60)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


def test_init_prints_what_a_client_needs_and_keeps_secrets_to_its_owner(tmp_path: Path) -> None:
    root = tmp_path / "c"
    made_json = run("init", "--dir", str(root), "--organisation", "Harbour House", "--json")
    assert made_json.returncode == 0, made_json.stderr
    made_facts = json.loads(made_json.stdout)
    assert made_facts["organisation_id"].startswith("org_")
    assert made_facts["token"].startswith("lw_")
    assert made_facts["ca"].startswith("-----BEGIN CERTIFICATE-----")
    assert len(set(made_facts["pins"])) == 2
    assert len(set(made_facts["broker_pins"])) == 2
    private = [root / "kek.bin", *root.rglob("*.key")]
    assert len(private) == 8
    assert {p.stat().st_mode & 0o777 for p in private} == {0o600}


def test_init_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    refused = run("init", "--dir", str(tmp_path))
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
    assert (tmp_path / "x").read_text() == "mine"


def test_serve_and_token_say_what_to_do_without_a_folder(tmp_path: Path) -> None:
    for command in (["serve"], ["token", "--organisation", "x"]):
        refused = run(*command, "--dir", str(tmp_path / "none"))
        assert refused.returncode == 1
        assert "latchwork-cloud init" in refused.stderr


@pytest.mark.parametrize("command", [[], ["init"], ["serve"], ["token"]])
def test_help_explains_every_option(command: list[str]) -> None:
    helped = run(*command, "--help")
    assert helped.returncode == 0
    assert "--dir" in helped.stdout
    assert "Traceback" not in helped.stderr


def test_an_organisation_is_not_made_by_a_typing_error(tmp_path: Path) -> None:
    create(tmp_path / "c", "Harbour House", "localhost", "")
    with pytest.raises(InstallError, match="--create"):
        add_token(tmp_path / "c", "Harbor House", "x", create=False)


def test_a_taken_port_is_a_clear_error(own_cloud: CloudProcess, tmp_path: Path) -> None:
    create(tmp_path / "second", "x", "localhost", "")
    port = str(own_cloud.ready["http_port"])
    refused = run("serve", "--dir", str(tmp_path / "second"), "--http-port", port, "--mqtt-port", "0")
    assert refused.returncode == 1
    assert "Address already in use" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_sigterm_ends_cleanly_with_all_processes(own_cloud: CloudProcess) -> None:
    children = own_cloud.children()
    assert children
    assert own_cloud.stop() == 0
    assert not any(alive(pid) for pid in children)


async def test_sigkill_leaves_no_process_and_the_next_start_serves_on_the_same_ports(
    own_cloud: CloudProcess,
) -> None:
    token = own_cloud.new_organisation()
    ports = own_cloud.ready
    async with own_cloud.api(token) as api:
        site = await made(await api.post("/v1/sites", json={"name": "kept"}))
    children = own_cloud.children()
    assert own_cloud.kill() == -signal.SIGKILL
    own_cloud.start()
    assert own_cloud.ready == ports
    assert not any(alive(pid) for pid in children)
    async with own_cloud.api(token) as api:
        assert (await made(await api.get(f"/v1/sites/{site['id']}"), 200))["name"] == "kept"


async def test_a_full_disk_is_told_as_such_and_passes(own_cloud: CloudProcess, tmp_path: Path) -> None:
    async with own_cloud.api(own_cloud.new_organisation()) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            device = await open_device(api, gateway)
            await device.come_up(api)
            unlock, site = f"/v1/doors/{device.door_id}/unlock", {"name": "Next site"}
            await made(await api.post(unlock), 202)
            assert own_cloud.process is not None
            pid = own_cloud.process.pid
            limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
            for _ in range(3):  # one that fails leaves no transaction open
                for answer in (await api.post(unlock), await api.post("/v1/sites", json=site)):
                    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
                    assert int(answer.headers["Retry-After"]) > 0
            await device.send_state(door="forced")
            assert (await api.get(f"/v1/devices/{device.id}")).json()["door_state"] == "closed"
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
            await made(await api.post(unlock), 202)
            await made(await api.post("/v1/sites", json=site))
            await until(api, f"/v1/devices/{device.id}", lambda body: body["door_state"] == "forced")


@pytest.mark.parametrize("obstacle", ["port", "folder"])
async def test_a_broker_that_cannot_start_is_started_again_until_it_can(
    own_cloud: CloudProcess, obstacle: str
) -> None:
    folder, moved = own_cloud.root / "broker" / "run", own_cloud.root / "moved"
    log = own_cloud.root / "serve.log"
    async with own_cloud.api(None) as api:
        await until(api, "/health", lambda body: body["broker"])
        if obstacle == "folder":  # as on a full disk, nothing can be written where it keeps its files
            folder.rename(moved)
            folder.touch()
            own_cloud.kill_broker()
        else:
            own_cloud.kill_broker()
            taken = await port_of_the_dead(own_cloud.ready["mqtt_port"])
        await until(api, "/health", lambda body: not body["broker"], 503)
        while b"broker_not_started" not in log.read_bytes():
            assert (await api.get("/health")).json()["broker"] is False
        if obstacle == "folder":
            folder.unlink()
        else:
            taken.close()
        await until(api, "/health", lambda body: body["broker"])


async def test_an_api_without_its_workers_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path / "c", "First", "localhost", "")
    broken = asyncio.Event()

    async def watches_no_more(broker: object, admission: object) -> None:
        await broken.wait()
        raise RuntimeError("no broker to keep")

    monkeypatch.setattr(server, "_keep_broker", watches_no_more)
    with pytest.raises(ExceptionGroup, match="TaskGroup") as raised:
        await asyncio.wait_for(serve(tmp_path / "c", Options(), lambda addresses: broken.set()), 30)
    assert raised.group_contains(RuntimeError, match="no broker to keep")


async def port_of_the_dead(port: int) -> socket.socket:
    """Listen on a port as soon as its owner is gone."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            await asyncio.sleep(0)


async def test_health_and_metrics_need_no_token(cloud: CloudProcess) -> None:
    async with cloud.api(None) as client:
        health = await until(client, "/health", lambda body: body["status"] == "ok")
        assert health == {"status": "ok", "store": True, "broker": True}
        metrics = (await client.get("/metrics")).text
    assert "latchwork_broker_connected 1.0" in metrics
    assert "latchwork_http_request_seconds_bucket" in metrics


async def test_a_slow_request_head_holds_no_worker(cloud: CloudProcess) -> None:
    sockets = [socket.create_connection(("127.0.0.1", cloud.ready["http_port"])) for _ in range(50)]
    async with cloud.api(None) as client:
        assert (await client.get("/health")).status_code == 200
    for one in sockets:
        one.close()


async def test_every_operation_is_described_and_says_how_it_fails(api: httpx.AsyncClient) -> None:
    document = await made(await api.get("/v1/openapi.json"), 200)
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v1/")
    ]
    assert len(operations) > 30
    for path, method, operation in operations:
        where = f"{method.upper()} {path}"
        assert operation.get("description") or operation.get("summary"), where
        carrier = [{"Carrier": []}] if path == "/v1/doors/{id}/revocations" else []
        assert operation["security"] == [*carrier, {"HTTPBearer": []}], where
        for status in ("401", "404", "409", "413", "422", "500"):
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"], (where, status, list(content))
