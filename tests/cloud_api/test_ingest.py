"""Journals: exactly once, in order, durable before acknowledged; nothing forged, nothing foreign."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocol import journal
from protocol.ids import id_bytes
from tests.cloud_api.conftest import Site, open_device, open_site
from tests.cloud_api.world import CloudProcess, Device, Gateway, made, new_door, new_key, new_site, until


async def stored(api: httpx.AsyncClient, device: Device, **filters: Any) -> list[dict[str, Any]]:
    """Everything in the log about a device that the device or the check of its chain has said."""
    params = {"device_id": device.id, "limit": 200, **filters}
    page = await made(await api.get("/v1/events", params=params), 200)
    return [e for e in page["items"] if e["source"] != "cloud"]


def seqs(events: list[dict[str, Any]], device: Device) -> list[int]:
    return [e["seq"] for e in events if e["source"] == device.id]


async def test_records_are_stored_in_order_and_acknowledged(site: Site) -> None:
    await site.device.send_records(site.device.records(5))
    await site.device.acked(5)
    events = await stored(site.api, site.device)
    assert seqs(events, site.device) == [1, 2, 3, 4, 5]
    assert {e["type"] for e in events} == {"door_forced"}
    assert [e["data"]["value"] for e in events] == [0, 1, 2, 3, 4]
    assert {e["door_id"] for e in events} == {site.door_id}


async def test_duplicates_are_stored_once_and_acknowledged_again(site: Site) -> None:
    raws = site.device.records(4)
    for part, watermark in ((raws[:2], 2), (raws[:3], 3), (raws, 4), (raws, 4), (raws[1:2], 4)):
        await site.device.send_records(part)
        await site.device.acked(watermark)
    assert seqs(await stored(site.api, site.device), site.device) == [1, 2, 3, 4]


async def test_a_message_that_overtook_another_is_no_gap(site: Site) -> None:
    raws = site.device.records(4)
    await site.device.send_records(raws[2:])
    await site.device.acked(0)
    await site.device.send_records(raws[:2])
    await site.device.acked(2)
    await site.device.send_records(raws[2:])
    await site.device.acked(4)
    events = await stored(site.api, site.device)
    assert seqs(events, site.device) == [1, 2, 3, 4]
    assert "chain_gap" not in {e["type"] for e in events}


async def resend_until(site: Site, raws: list[bytes], watermark: int) -> None:
    """What a gateway does without an acknowledgement: send the same again."""
    while True:
        await site.device.send_records(raws)
        answer = await site.device.gateway.receive("ack", d=site.device.id)
        if answer["seq"] == watermark:
            return


async def test_a_lasting_gap_is_an_event_and_the_journal_goes_on(site: Site) -> None:
    raws = site.device.records(7)
    await site.device.send_records(raws[:2])
    await site.device.acked(2)
    await resend_until(site, raws[4:], 7)
    events = await stored(site.api, site.device)
    assert seqs(events, site.device) == [1, 2, 5, 6, 7]
    gaps = [e for e in events if e["type"] == "chain_gap"]
    assert [(g["data"]["first"], g["data"]["last"]) for g in gaps] == [(3, 4)]
    await site.device.send_records([site.device.record()])
    await site.device.acked(8)


async def test_a_forged_record_is_an_event_and_moves_no_watermark(site: Site) -> None:
    raws = site.device.records(2)
    forged = raws[1][:-1] + bytes([raws[1][-1] ^ 1])
    await site.device.send_records([raws[0], forged])
    await site.device.acked(1)
    await site.device.send_records([forged])
    await site.device.acked(1)
    broken = await stored(site.api, site.device, type="chain_broken")
    assert [(b["data"]["seq"], b["data"]["record"]) for b in broken] == [(2, forged.hex())]
    await site.device.send_records(raws[1:])
    await site.device.acked(2)
    assert seqs(await stored(site.api, site.device), site.device) == [1, 2]


async def test_a_record_with_a_changed_fact_does_not_verify(site: Site) -> None:
    raw = site.device.record(journal.EVENT_DOOR_FORCED)
    changed = bytes([raw[0], journal.EVENT_BOOT]) + raw[2:]
    await site.device.send_records([changed])
    await site.device.acked(0)
    assert seqs(await stored(site.api, site.device), site.device) == []


async def test_a_damaged_record_does_not_block_the_journal_for_ever(site: Site) -> None:
    raws = site.device.records(5)
    damaged = raws[1][:10] + b"\xff" + raws[1][11:]
    await resend_until(site, [raws[0], damaged, *raws[2:]], 5)
    events = await stored(site.api, site.device)
    assert seqs(events, site.device) == [1, 3, 4, 5]
    assert [e["data"]["seq"] for e in events if e["type"] == "chain_broken"] == [2]


async def test_the_key_of_an_access_is_named(site: Site) -> None:
    key = await new_key(site.api, [site.door_id])
    credential = bytes.fromhex(key["credential_id"])
    await site.device.send_records(
        [site.device.record(journal.EVENT_DOOR_FORCED, subject=credential, time=1_800_000_000, uncertainty=2)]
    )
    await site.device.acked(1)
    (event,) = await stored(site.api, site.device)
    assert (event["key_id"], event["user_id"]) == (key["id"], key["user_id"])
    assert (event["time"], event["uncertainty_s"]) == ("2027-01-15T08:00:00Z", 2)


async def test_the_user_of_a_card_or_pin_is_named_and_nobody_of_another_organisation(
    site: Site, stranger: httpx.AsyncClient
) -> None:
    elsewhere = await new_site(stranger)
    strangers = await new_key(stranger, [(await new_door(stranger, elsewhere["id"]))["id"]])
    key = await new_key(site.api, [site.door_id])
    for method, user_id in (
        (journal.METHOD_CARD, key["user_id"]),
        (journal.METHOD_PIN, key["user_id"]),
        (journal.METHOD_PIN, strangers["user_id"]),
    ):
        raw = site.device.record(journal.EVENT_ACCESS_GRANTED, method=method, subject=id_bytes(user_id))
        await site.device.send_records([raw])
    await site.device.acked(3)
    events = await stored(site.api, site.device)
    assert [e["method"] for e in events] == ["card", "pin", "pin"]
    assert [e["user_id"] for e in events] == [key["user_id"], key["user_id"], None]
    assert {e["key_id"] for e in events} == {e["data"]["credential_id"] for e in events} == {None}


async def test_a_gateway_cannot_speak_for_a_device_of_another_site(
    site: Site, cloud: CloudProcess, tmp_path: Path
) -> None:
    other = await open_site(cloud, site.api, tmp_path / "other")
    async with other.connected():
        raw = site.device.record()
        await other.send("events", {"d": site.device.id, "r": [base64.b64encode(raw).decode()]})
        neighbour = await open_device(site.api, other)
        await neighbour.send_records([neighbour.record()])
        await neighbour.acked(1)
        assert other.received("ack") == 0
    assert await stored(site.api, site.device) == []


MALFORMED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"d": 1, "r": []}',
    b'{"d": "dev_0000000000000000", "r": ["AA=="]}',
    b'{"d": "dev_0000000000000000\'--", "r": ["AA=="]}',
    b'{"d": "../../x", "n": "00"}',
    b'{"g": "gw_0000000000000000", "events": [{"seq": -1, "type": "x", "t": 0, "data": {}}]}',
    b'{"g": "gw_0000000000000000", "registry": 99999999999999999999999999}',
    b"[" * 5000,
    b'{"d": "' + b"x" * 70_000 + b'"}',
]


@pytest.mark.parametrize("payload", MALFORMED, ids=range(len(MALFORMED)))
async def test_malformed_messages_are_dropped_and_the_workers_live(site: Site, payload: bytes) -> None:
    for leaf in ("events", "result", "time", "state", "log", "audit", "hello", "nonsense"):
        await site.device.gateway.send(leaf, payload)
    await site.device.send_records([site.device.record()])
    await site.device.acked(1)
    assert (await site.device.ask_time(b"\x01" * 16))["n"] == "01" * 16


async def test_time_is_answered_under_the_devices_time_key(site: Site) -> None:
    answer = await site.device.ask_time(bytes(range(16)))
    assert (answer["dev"], answer["n"]) == (site.device.id, bytes(range(16)).hex())
    assert answer["t"] > 1_700_000_000_000


async def test_a_boot_is_shown_with_its_cause_by_name(site: Site) -> None:
    values = (journal.BOOT_POWER_ON, journal.BOOT_BROWN_OUT, 77)
    await site.device.send_records([site.device.record(journal.EVENT_BOOT, value=value) for value in values])
    await site.device.send_records([site.device.record(value=1)])
    await site.device.acked(4)
    events = await stored(site.api, site.device)
    assert [e["data"].get("cause") for e in events] == ["power_on", "brown_out", "cause_77", None]


async def test_the_drift_of_a_crystal_is_shown_with_its_device_and_its_door(site: Site) -> None:
    door = f"/v1/doors/{site.door_id}"
    assert (await made(await site.api.get(door), 200))["drift_ppm"] is None
    await site.device.send_state(drift_ppm=[-60, 12])
    shown = await until(site.api, door, lambda body: body["drift_ppm"] == -60)
    assert shown["drift_uncertainty_ppm"] == 12
    device = await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)
    assert (device["drift_ppm"], device["drift_uncertainty_ppm"]) == (-60, 12)
    empty = await new_door(site.api, shown["site_id"])
    shown = await made(await site.api.get(f"/v1/doors/{empty['id']}"), 200)
    assert (shown["drift_ppm"], shown["drift_uncertainty_ppm"]) == (None, None)


async def test_a_gateways_audit_is_stored_once_and_acknowledged(site: Site) -> None:
    gateway = site.device.gateway
    event = {"type": "admission_refused", "t": 1_800_000_000, "data": {"reason": "wrong_pin"}}
    events = [{"seq": n, **event} for n in (1, 2)]
    for batch, watermark in ((events[:1], 1), (events, 2), (events, 2)):
        await gateway.send("audit", {"g": gateway.id, "events": batch})
        await gateway.receive("ack", d=gateway.id, seq=watermark)
    page = await made(await site.api.get("/v1/events", params={"type": "gateway_admission_refused"}), 200)
    assert [(e["source"], e["seq"]) for e in page["items"]] == [(gateway.id, 1), (gateway.id, 2)]
    assert page["items"][0]["data"]["reason"] == "wrong_pin"


async def test_a_gateway_cannot_speak_as_another_gateway_or_as_a_device(site: Site) -> None:
    gateway = site.device.gateway
    fake = [{"seq": 1, "type": "door_forced", "t": 1, "data": {"device_id": site.device.id}}]
    await gateway.send("audit", {"g": "gw_0000000000000000", "events": fake})
    await gateway.send("audit", {"g": gateway.id, "events": fake})
    await gateway.receive("ack", d=gateway.id, seq=1)
    page = await made(await site.api.get("/v1/events", params={"type": "door_forced"}), 200)
    assert page["items"] == []


async def test_what_was_acknowledged_survives_kill_9_and_what_was_not_comes_again(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            device = await open_device(api, gateway)
            raws = device.records(40)
            for start in range(0, 32, 4):
                await device.send_records(raws[start : start + 4])
            acked = (await gateway.receive("ack", d=device.id))["seq"]
            own_cloud.kill()
    own_cloud.start()
    async with own_cloud.api(token) as api, gateway.connected():
        assert acked in range(4, 33, 4)
        assert seqs(await stored(api, device), device)[:acked] == list(range(1, acked + 1))
        again = Device(device.bundle, gateway)
        for start in (0, 32):  # the gateway's spool: everything above its own watermark, and some more
            await again.send_records(raws[start : start + 32])
        await again.acked(40)
        assert seqs(await stored(api, device), device) == list(range(1, 41))
        assert not [e for e in await stored(api, device) if e["type"].startswith("chain_")]


async def test_a_killed_broker_comes_back_and_so_does_everybody(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        async with gateway.connected():
            device = await open_device(api, gateway)
            await device.send_records([device.record()])
            await device.acked(1)
            own_cloud.kill_broker()
            await until(api, "/health", lambda body: True, 503)
        await until(api, "/health", lambda body: body["broker"])
        async with gateway.connected():
            await device.send_records([device.record()])
            await device.acked(2)


async def test_a_gateway_with_an_old_registry_gets_the_new_one(
    gateway: Gateway, api: httpx.AsyncClient
) -> None:
    device = await open_device(api, gateway)
    pushed = await gateway.receive("registry")
    assert [(d["id"], d["status"]) for d in pushed["devices"]] == [(device.id, "active")]
    await gateway.send("hello", {"g": gateway.id, "registry": 0})
    assert await gateway.receive("registry") == pushed
    await made(await api.post(f"/v1/devices/{device.id}/retire"), 200)
    newer = await gateway.receive("registry")
    assert newer["ver"] > pushed["ver"]
    assert [(d["id"], d["status"]) for d in newer["devices"]] == [(device.id, "revoked")]
