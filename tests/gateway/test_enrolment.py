"""Enrolment over real HTTPS with pins: keys stay, answers are checked, and it can be repeated."""

import http.server
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.settings import Folder, NotEnrolled
from tests.protocol.host.fleet import Fleet, Identity

from .conftest import DEV1, GATEWAY, SITE

BACKUP = "0" * 64


class CloudApi:
    """POST /v1/gateways. `answer` may be changed by a test; `requests` are those that came."""

    def __init__(self, fleet: Fleet, identity: Identity) -> None:
        self.fleet = fleet
        self.identity = identity
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 201
        self.changes: dict[str, Any] = {}
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.requests.append(body)
                api.headers.append(dict(self.headers))
                data = json.dumps(api.answer(body)).encode()
                self.send_response(api.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        def certify(csr: str, name: str, server: bool) -> str:
            key = x509.load_pem_x509_csr(csr.encode()).public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            return self.fleet.certify(key, name, server=server).public_bytes(Encoding.PEM).decode()

        return {
            "gateway_id": GATEWAY,
            "site_id": request["site_id"],
            "shard": 3,
            "ca": self.fleet.ca.read_text(),
            "client_certificate": certify(request["client_csr"], GATEWAY, False),
            "broker_certificate": certify(request["broker_csr"], "broker", True),
            "cloud_broker": {
                "host": "localhost",
                "port": 1,
                "server_name": "localhost",
                "pins": ["a" * 64, BACKUP],
            },
            "registry": {"ver": 5, "devices": [{"id": DEV1, "pins": ["b" * 64], "status": "active"}]},
            **self.changes,
        }


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path / "pki")


@pytest.fixture
def api(fleet: Fleet) -> Iterator[CloudApi]:
    api = CloudApi(fleet, fleet.issue("api", server=True))
    thread = threading.Thread(target=api.server.serve_forever, daemon=True)
    thread.start()
    yield api
    api.server.shutdown()
    api.server.server_close()
    thread.join()


def enrol(api: CloudApi, directory: Path, *options: str, pin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "gateway.cli",
                "enrol",
                "--url",
                api.url,
                "--site",
                SITE,
                "--dir",
                str(directory),
            ),
            *(
                "--ca",
                str(api.fleet.ca),
                "--pin",
                pin or api.identity.pin,
                "--pin",
                BACKUP,
                "--port",
                "0",
                "--json",
            ),
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LATCHWORK_TOKEN": "secret-token"},
    )


def test_it_fills_a_folder_that_run_understands(api: CloudApi, tmp_path: Path) -> None:
    done = enrol(api, tmp_path / "gateway")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["gateway_id"] == GATEWAY
    folder = Folder(tmp_path / "gateway")
    settings = folder.load()
    assert (settings.gateway_id, settings.site_id, settings.shard) == (GATEWAY, SITE, 3)
    request = api.requests[0]
    assert request["port"] == settings.port > 0
    assert settings.broker_pins[1] == request["backup_broker_pin"]
    assert settings.broker_pins[0] != settings.broker_pins[1]
    assert api.headers[0]["Authorization"] == "Bearer secret-token"


def test_private_keys_stay_in_the_folder_for_their_owner_only(api: CloudApi, tmp_path: Path) -> None:
    assert enrol(api, tmp_path / "gateway").returncode == 0
    folder = Folder(tmp_path / "gateway")
    keys = [folder.client_key, folder.broker_key, folder.backup_broker_key]
    assert len({key.read_bytes() for key in keys}) == 3
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert "PRIVATE KEY" not in json.dumps(api.requests)


def test_after_a_failure_it_repeats_the_same_request(api: CloudApi, tmp_path: Path) -> None:
    api.status = 503
    failed = enrol(api, tmp_path / "gateway", "--port", "18883")
    assert failed.returncode == 1
    assert "503" in failed.stderr
    with pytest.raises(NotEnrolled):
        Folder(tmp_path / "gateway").load()
    api.status = 201
    assert enrol(api, tmp_path / "gateway", "--port", "18883").returncode == 0
    first, second = api.headers
    assert first["Idempotency-Key"] == second["Idempotency-Key"]
    again = enrol(api, tmp_path / "gateway")
    assert again.returncode == 1
    assert "already" in again.stderr
    assert len(api.requests) == 2


def test_a_server_with_another_key_gets_nothing(api: CloudApi, tmp_path: Path) -> None:
    done = enrol(api, tmp_path / "gateway", pin="c" * 64)
    assert done.returncode == 1
    assert api.requests == []


@pytest.mark.parametrize("what", ["other_ca", "other_key", "other_site", "garbage", "no_pins", "bad_id"])
def test_an_answer_that_cannot_be_right_is_refused(
    api: CloudApi, fleet: Fleet, tmp_path: Path, what: str
) -> None:
    other = fleet.issue(GATEWAY)
    api.changes = {
        "other_ca": {"ca": Fleet(tmp_path / "other").ca.read_text()},
        "other_key": {"client_certificate": other.certificate.read_text()},
        "other_site": {"site_id": "site_" + "0" * 16},
        "garbage": {"broker_certificate": "garbage"},
        "no_pins": {"cloud_broker": {"host": "h", "port": 1, "server_name": "h", "pins": ["a" * 64]}},
        "bad_id": {"gateway_id": "../../etc"},
    }[what]
    done = enrol(api, tmp_path / "gateway")
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert not Folder(tmp_path / "gateway").settings.exists()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_run_without_enrolment_says_so(tmp_path: Path) -> None:
    done = command("run", "--dir", str(tmp_path))
    assert done.returncode == 1
    assert "not an enrolled gateway" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_names_both_steps() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "enrol" in done.stdout
    assert "run" in done.stdout
