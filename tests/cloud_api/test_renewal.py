"""Certificates: renewed in time, for the key that the device has, and for nobody else."""

import base64
import sqlite3
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cloud_api.renewal import RENEW_BEFORE_S
from tests.cloud_api.conftest import open_device, open_site
from tests.cloud_api.test_credentials import fetch, next_offer
from tests.cloud_api.world import CloudProcess, Device, made

_DER = serialization.Encoding.DER


def spki(certificate: bytes) -> bytes:
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def store(cloud: CloudProcess, statement: str, *values: Any) -> None:
    """Change what the cloud has stored, while it is stopped."""
    with sqlite3.connect(cloud.database) as db:
        db.execute(statement, values)
    db.close()


async def test_a_certificate_that_ends_soon_is_renewed_for_the_same_key(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        due, later, unknown, retired = [await open_device(api, gateway) for _ in range(4)]
        await made(await api.post(f"/v1/devices/{retired.id}/retire"), 200)
    assert own_cloud.stop() == 0
    soon = int(time.time()) + RENEW_BEFORE_S - 60
    store(own_cloud, "UPDATE devices SET certificate_ends=? WHERE id!=?", soon, later.id)
    store(own_cloud, "UPDATE devices SET spki=NULL WHERE id=?", unknown.id)
    own_cloud.start()
    async with own_cloud.api(token) as api, gateway.connected():
        for device in (due, later, unknown):
            await device.send_state()
        offer = await next_offer(due)
        assert offer["kind"] == "certificate"
        renewed = await fetch(due, offer)
        certificate = x509.load_der_x509_certificate(renewed)
        assert offer["ver"] == int(certificate.not_valid_after_utc.timestamp()) > soon + RENEW_BEFORE_S
        assert spki(renewed) == spki(base64.b64decode(due.bundle["certificate"]))
        assert certificate.subject.rfc4514_string() == f"CN={due.id}"
        certificate.verify_directly_issued_by(
            x509.load_der_x509_certificate(base64.b64decode(due.bundle["ca"]))
        )
        for other in (later, unknown, retired):
            assert await files(api, other) == []
        assert [f["kind"] for f in await files(api, due)] == ["certificate"]


async def files(api: Any, device: Device) -> list[dict[str, Any]]:
    return list((await made(await api.get(f"/v1/devices/{device.id}"), 200))["files"])
