"""What a device refuses: told, audited, and not sent to it again if it will never take it. A gateway cannot pretend that."""

import binascii
from typing import Any

from protocol import journal
from protocol.envelope import LABEL_CONFIG, open_sealed
from protocol.errors import BadMac, Damaged, Malformed
from tests.cloud_api.conftest import Site, open_device
from tests.cloud_api.test_credentials import give, new_user, next_offer
from tests.cloud_api.world import Device, made, until


async def shown(site: Site) -> dict[str, Any]:
    return await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)


async def refuse(site: Site, kind: int, **fields: Any) -> dict[str, Any]:
    """The device records a refusal; the event that it becomes."""
    await site.device.send_records([site.device.record(kind, **fields)])
    await site.device.acked(site.device.chain.seq)
    page = await site.api.get("/v1/events", params={"device_id": site.device.id})
    return dict([e for e in page.json()["items"] if e["type"] == journal.EVENT_NAMES[kind]][-1])


async def rounds(site: Site, other: Device, leaf: str) -> list[str]:
    """Whom the cloud sent this leaf to, up to the second time that it sent it to `other`, who has nothing that it should."""
    sent: list[str] = []
    for _ in range(2):
        await site.gateway.send("hello", {"g": site.gateway.id, "registry": 1})
        while True:
            sent.append((await site.gateway.receive(leaf))["d"])
            if sent[-1] == other.id:
                break
    return sent


async def neighbour(site: Site) -> Device:
    """A device that lacks a table and a configuration, and is offered them in each round."""
    other = await open_device(site.api, site.gateway)
    await other.come_up(site.api)
    await made(
        await site.api.post(
            "/v1/credentials",
            json={"user_id": await new_user(site.api), "door_ids": [other.door_id], "pin": "4444"},
        )
    )
    await next_offer(other)
    return other


async def test_a_file_that_is_refused_for_good_is_offered_when_there_is_another(site: Site) -> None:
    other = await neighbour(site)
    await made(await give(site, pin="1357"))
    offer = await next_offer(site.device)
    subject = bytes.fromhex(offer["sha"][:16])
    event = await refuse(
        site, journal.EVENT_TRANSFER_REFUSED, status=BadMac.refusal, subject=subject, value=1
    )
    assert (event["status"], event["data"]["final"], event["data"]["file"]) == ("bad_mac", True, "users")
    (file,) = (await shown(site))["files"]
    assert (file["status"], file["reason"]) == ("refused", "bad_mac")
    assert site.device.id not in await rounds(site, other, "update")
    await made(await give(site, pin="2468"))
    assert (await next_offer(site.device))["ver"] == 2
    (file,) = (await shown(site))["files"]
    assert (file["status"], file["reason"]) == ("offered", None)


async def test_a_file_that_a_hop_damaged_waits_and_says_so(site: Site) -> None:
    other = await neighbour(site)
    await made(await give(site, pin="1358"))
    offer = await next_offer(site.device)
    subject = bytes.fromhex(offer["sha"][:16])
    event = await refuse(
        site, journal.EVENT_TRANSFER_REFUSED, status=Damaged.refusal, subject=subject, value=1
    )
    assert (event["status"], event["data"]["final"]) == ("damaged", False)
    (file,) = (await shown(site))["files"]
    assert (file["status"], file["reason"]) == ("delayed", "damaged")
    assert site.device.id not in await rounds(site, other, "update")


async def changed(site: Site, door_id: str) -> None:
    await made(await site.api.patch(f"/v1/doors/{door_id}", json={"held_s": 77}), 200)


async def test_a_configuration_is_sent_until_the_device_itself_refuses_it_for_good(site: Site) -> None:
    other = await neighbour(site)
    await changed(site, other.door_id)
    await changed(site, site.door_id)
    await site.gateway.receive("config", d=other.id)
    envelope = (await site.gateway.receive("config", d=site.device.id))["e"]
    checksum = binascii.crc32(envelope.encode())
    version = open_sealed(site.device.config_key, LABEL_CONFIG, envelope)["ver"]

    # Of something that a gateway made up; and of ours, by what may be different the next time.
    await refuse(site, journal.EVENT_CONFIG_REFUSED, method=2, status=BadMac.refusal, value=checksum ^ 1)
    await refuse(site, journal.EVENT_CONFIG_REFUSED, method=2, status=0, value=checksum)
    await site.device.send_state(cfg_refused="config_rows")  # not sealed: a gateway can say so too
    await until(
        site.api, f"/v1/devices/{site.device.id}", lambda body: body["config_refused"] == "config_rows"
    )
    assert site.device.id in await rounds(site, other, "config")

    event = await refuse(
        site, journal.EVENT_CONFIG_REFUSED, method=2, status=Malformed.refusal, value=checksum
    )
    assert (event["status"], event["data"]["final"]) == ("malformed", True)
    assert site.device.id not in (await rounds(site, other, "config"))[2:]
    await made(await site.api.patch(f"/v1/doors/{site.door_id}", json={"held_s": 78}), 200)
    newer = await site.gateway.receive("config", d=site.device.id)
    assert open_sealed(site.device.config_key, LABEL_CONFIG, newer["e"])["ver"] == version + 1
