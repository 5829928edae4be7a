"""Who gets in: pins on HTTPS and MQTT, certificates at the broker, one site's topics only; each attacked."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cloud_api.authority import Authority
from cloud_api.settings import Folder
from protocol.host import pki
from protocol.host.pins import client_context
from tests.cloud_api.conftest import Site, open_device, open_site
from tests.cloud_api.world import CloudProcess, Gateway, made, until


async def test_a_client_with_another_pin_sends_no_byte_of_http(cloud: CloudProcess, token: str) -> None:
    context = client_context(cloud.ca, pins=["00" * 32, "11" * 32])
    async with httpx.AsyncClient(verify=context, base_url=cloud.url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/v1/sites", headers={"Authorization": f"Bearer {token}"})


async def test_the_backup_pin_alone_does_not_fit_the_current_key(cloud: CloudProcess) -> None:
    context = client_context(cloud.ca, pins=[cloud.pins[1], "11" * 32])
    async with httpx.AsyncClient(verify=context, base_url=cloud.url) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/health")


async def test_a_spare_key_replaces_the_current_one_without_new_pins(own_cloud: CloudProcess) -> None:
    own_cloud.stop()
    https = own_cloud.root / "https"
    for suffix in ("pem", "key"):
        (https / f"current.{suffix}").rename(https / f"old.{suffix}")
        (https / f"backup.{suffix}").rename(https / f"current.{suffix}")
        (https / f"old.{suffix}").rename(https / f"backup.{suffix}")
    own_cloud.start()
    async with own_cloud.api(own_cloud.new_organisation()) as client:
        await made(await client.get("/v1/sites"), 200)


async def test_http_in_clear_is_not_served(cloud: CloudProcess) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.HTTPError):
            await client.get(cloud.url.replace("https", "http") + "/health")


@contextmanager
def signed_by_our_ca(cloud: CloudProcess, name: str, directory: Path) -> Iterator[ssl.SSLContext]:
    """A context with a certificate that the fleet CA really signed, for a key that nobody enrolled."""
    authority = Authority(Folder(cloud.root))
    identity = authority.new_client(name)
    certificate = x509.load_der_x509_certificate(identity.certificate)
    key = serialization.load_der_private_key(identity.private_key, None)
    (directory / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "c.key").write_bytes(pki.key_pem(key))  # type: ignore[arg-type]
    pins = cloud.made["broker_pins"]
    yield client_context(cloud.ca, str(directory / "c.pem"), str(directory / "c.key"), pins)  # type: ignore[arg-type]


async def connects(cloud: CloudProcess, context: ssl.SSLContext, client_id: str) -> bool:
    """Whether the broker takes this client."""
    try:
        async with aiomqtt.Client(
            "localhost", cloud.ready["mqtt_port"], identifier=client_id, tls_context=context, timeout=10
        ):
            return True
    except (aiomqtt.MqttError, OSError):
        return False


async def test_the_brokers_key_is_pinned_by_the_gateway(
    cloud: CloudProcess, gateway: Gateway, tmp_path: Path
) -> None:
    directory = tmp_path / "gateway"
    files = (str(directory / "client.pem"), str(directory / "client.key"))
    right = client_context(cloud.ca, *files, gateway.enrolment["cloud_broker"]["pins"])
    wrong = client_context(cloud.ca, *files, ["00" * 32, "11" * 32])
    assert await connects(cloud, right, gateway.id)
    assert not await connects(cloud, wrong, gateway.id)


async def test_a_client_without_a_certificate_is_refused(cloud: CloudProcess, gateway: Gateway) -> None:
    context = ssl.create_default_context(cadata=cloud.ca)
    assert not await connects(cloud, context, gateway.id)
    assert not await connects(cloud, context, "cloud")


async def test_a_certificate_of_our_ca_with_another_key_is_refused_and_audited(
    cloud: CloudProcess, api: httpx.AsyncClient, gateway: Gateway, tmp_path: Path
) -> None:
    with signed_by_our_ca(cloud, gateway.id, tmp_path) as context:
        assert not await connects(cloud, context, gateway.id)
    page = await until(api, "/v1/events?type=gateway_refused", lambda body: bool(body["items"]))
    assert page["items"][0]["data"]["reason"] == "wrong_pin"
    assert page["items"][0]["site_id"] == gateway.site_id


@pytest.mark.parametrize(
    "name", ["cloud", "gw_0000000000000000", "dev_0000000000000000", "admission", "gw_x"]
)
async def test_other_names_of_our_ca_are_refused(cloud: CloudProcess, tmp_path: Path, name: str) -> None:
    with signed_by_our_ca(cloud, name, tmp_path) as context:
        assert not await connects(cloud, context, name)


async def test_a_gateway_cannot_take_another_client_id(
    cloud: CloudProcess, gateway: Gateway, tmp_path: Path
) -> None:
    directory = tmp_path / "gateway"
    files = (str(directory / "client.pem"), str(directory / "client.key"))
    context = client_context(cloud.ca, *files, gateway.enrolment["cloud_broker"]["pins"])
    for client_id in ("cloud", "gw_0000000000000000"):
        assert not await connects(cloud, context, client_id)


async def test_a_retired_gateway_is_cut_off_and_stays_out(
    cloud: CloudProcess, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    gateway = await open_site(cloud, api, tmp_path / "retiring")
    async with asyncio.timeout(20):
        with pytest.raises(aiomqtt.MqttError):
            async with gateway.connected():
                await made(await api.post(f"/v1/gateways/{gateway.id}/retire"), 200)
                await gateway.until_cut_off()
    with pytest.raises(aiomqtt.MqttError):
        async with gateway.connected():
            pass


async def test_a_gateway_reaches_no_topic_of_another_site(
    cloud: CloudProcess, site: Site, tmp_path: Path
) -> None:
    gateway = site.device.gateway
    other = await open_site(cloud, site.api, tmp_path / "other")
    async with other.connected():
        victim = await open_device(site.api, other)
        await victim.come_up(site.api)
        # Publishing into the other site, as gateway or as cloud, arrives nowhere.
        lie: dict[str, Any] = {
            "d": victim.id,
            "boot": 99,
            "jseq": 0,
            "cfg": 1,
            "rev": 0,
            "fw": "",
            "door": "",
        }
        await gateway.publish(f"{other.base}/up/state", lie)
        await gateway.publish(f"{other.base}/down/command", {"d": victim.id, "e": "{}"})
        await gateway.publish(f"{gateway.base}/down/command", {"d": site.device.id, "e": "{}"})
        # Listening to it hears nothing.
        assert not await gateway.may_subscribe(f"{other.base}/down/#")
        assert not await gateway.may_subscribe(f"{other.base}/up/#")
        assert not await gateway.may_subscribe("#")
        assert not await gateway.may_subscribe("s/#")
        assert not await gateway.may_subscribe(f"{gateway.base}/up/#")
        await made(await site.api.post(f"/v1/doors/{victim.door_id}/unlock"), 202)
        command = await victim.next_command()
        assert command["boot"] == 1
        assert gateway.received("command") == 0
