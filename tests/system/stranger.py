"""Somebody with a laptop on the network: the clients of mosquitto, and certificates of every kind."""

import asyncio
import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cloud_api.authority import Authority
from cloud_api.settings import Folder
from protocol.host import pki
from tests.programs import program

WAIT_S = 3  # how long a client waits for its connection and for messages


@dataclass(frozen=True)
class Paper:
    """A certificate and its key, as PEM files; both None: none."""

    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """How far a client of mosquitto came, the topics of what it received, and all that it printed."""

    connected: bool
    topics: list[str]
    said: str


class Stranger:
    """`cloud` is the cloud's folder: its CA signs what the test asks for."""

    def __init__(self, folder: Path, cloud: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._authority = Authority(Folder(cloud))
        self._ca = cloud / "ca.pem"

    def issued(self, name: str) -> Paper:
        """Signed by the fleet's CA, for a fresh key."""
        made = self._authority.new_client(name)
        return self._keep(made.certificate, made.private_key)

    def self_made(self, name: str) -> Paper:
        """Signed by a CA of his own with the same name as the fleet's."""
        ca_key, key = pki.new_key(), pki.new_key()
        certificate = pki.issue(pki.make_ca(ca_key), ca_key, key.public_key(), name)
        return self._keep(
            certificate.public_bytes(serialization.Encoding.DER),
            key.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )

    def of_device(self, bundle: dict[str, Any]) -> Paper:
        """A registered device's own."""
        return self._keep(base64.b64decode(bundle["certificate"]), base64.b64decode(bundle["private_key"]))

    def _keep(self, certificate: bytes, key: bytes) -> Paper:
        stem = self._folder / os.urandom(8).hex()
        paper = Paper(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        assert paper.certificate is not None
        assert paper.key is not None
        found = x509.load_der_x509_certificate(certificate)
        paper.certificate.write_bytes(found.public_bytes(serialization.Encoding.PEM))
        private = serialization.load_der_private_key(key, None)
        assert isinstance(private, pki.Key)
        paper.key.write_bytes(pki.key_pem(private))
        return paper

    async def subscribe(self, port: int, paper: Paper, client_id: str, *topics: str) -> Outcome:
        """`mosquitto_sub` for WAIT_S."""
        asked = [word for topic in topics for word in ("-t", topic)]
        return await self._run(
            "mosquitto_sub", port, paper, client_id, *asked, "-F", "heard %t", "-W", str(WAIT_S)
        )

    async def publish(self, port: int, paper: Paper, client_id: str, topic: str, payload: bytes) -> Outcome:
        """`mosquitto_pub` of one message."""
        return await self._run("mosquitto_pub", port, paper, client_id, "-t", topic, "-m", payload.decode())

    async def _run(self, client: str, port: int, paper: Paper, client_id: str, *more: str) -> Outcome:
        words = ["-h", "localhost", "-p", str(port), "-i", client_id, "-q", "1", "--cafile", str(self._ca)]
        if paper.certificate is not None:
            words += ["--cert", str(paper.certificate), "--key", str(paper.key)]
        process = await asyncio.create_subprocess_exec(
            program(client),
            *words,
            *more,
            "-d",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(2 * WAIT_S):
                said, _ = await process.communicate()
        except TimeoutError:  # mosquitto_pub tries for ever
            process.kill()
            said, _ = await process.communicate()
        lines = said.decode(errors="replace").splitlines()
        topics = [line.removeprefix("heard ") for line in lines if line.startswith("heard ")]
        return Outcome(any("received CONNACK (0)" in line for line in lines), topics, "\n".join(lines))
