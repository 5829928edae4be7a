"""Keys: what is minted fits its door and no other; what is revoked reaches the door."""

import base64
import json
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session

from cloud_api.db.migrate import engine_for, migrate
from cloud_api.db.models import Door, Key, KeyDoor, Organisation, User
from cloud_api.db.models import Site as SiteRow
from cloud_api.device_config import MAX_HOLIDAYS, MAX_WINDOWS
from cloud_api.revocations import MAX_GENERATIONS, MAX_REVOKED, MAX_TABLE_GENERATIONS, overfull_doors
from cloud_api.routes.door_policy import MAX_FORMATS_TEXT
from cloud_api.routes.doors import DoorIn
from device.policy import parse_config
from protocol.credential import NEVER, decode_token, mint
from protocol.envelope import LABEL_CONFIG, MAX_ENVELOPE, open_text, seal
from protocol.host.calendar_rows import holiday_row, window_row
from protocol.host.tables import MAX_CREDENTIALS
from protocol.ids import id_bytes
from protocol.keys import credential_root, epoch_key, table_key
from protocol.table import ALL_KEYS, HEADER_SIZE, Table
from tests.cloud_api.conftest import Site, open_device, open_site
from tests.cloud_api.test_credentials import fetch, next_offer
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import CloudProcess, Device, Gateway, made, new_door, new_key, until
from tests.largest import LARGEST_FORMATS, LARGEST_POLICY


async def mobile(api: httpx.AsyncClient, key: dict[str, Any]) -> dict[str, Any]:
    return await made(await api.post(f"/v1/keys/{key['id']}/mobile"), 200)


def epoch_of(device: Device) -> bytes:
    return epoch_key(credential_root(base64.b64decode(device.bundle["k_dev"])), device.bundle["epoch"])


async def test_a_minted_key_carries_what_was_asked_for_under_its_doors_mac(site: Site) -> None:
    window = {"not_before": "2026-01-01T00:00:00Z", "not_after": "2040-01-01T01:00:00+01:00"}
    key = await new_key(site.api, [site.door_id], **window)
    bundle = await mobile(site.api, key)
    assert (bundle["key_id"], bundle["user_id"]) == (key["id"], key["user_id"])
    (door,) = bundle["doors"]
    assert (door["door_id"], door["caveats"]) == (site.door_id, [])
    token = decode_token(bytes.fromhex(door["token"]))
    assert token.credential_id.hex() == key["credential_id"]
    assert (token.not_before, token.not_after) == (1767225600, 2208988800)
    assert (token.epoch, token.flags, token.schedule_id) == (1, 0, 0)
    assert mint(epoch_of(site.device), bytes.fromhex(door["token"])).hex() == door["key"]


async def test_each_door_has_its_own_mac_key(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    key = await new_key(site.api, [site.door_id, other.door_id])
    doors = {d["door_id"]: d for d in (await mobile(site.api, key))["doors"]}
    first, second = doors[site.door_id], doors[other.door_id]
    assert first["token"] == second["token"]
    assert first["key"] != second["key"]
    assert mint(epoch_of(other), bytes.fromhex(second["token"])).hex() == second["key"]


async def test_a_key_without_limits_never_ends(site: Site) -> None:
    key = await new_key(site.api, [site.door_id])
    token = decode_token(bytes.fromhex((await mobile(site.api, key))["doors"][0]["token"]))
    assert (token.not_before, token.not_after) == (0, NEVER)
    assert (key["not_before"], key["not_after"], key["status"]) == (None, None, "active")


async def test_a_key_that_never_opens_anything_is_refused(site: Site) -> None:
    user = await made(await site.api.post("/v1/users", json={"name": "x"}))
    base = {"user_id": user["id"], "door_ids": [site.door_id]}
    for window in (
        {"not_before": "2030-01-01T00:00:00Z", "not_after": "2029-01-01T00:00:00Z"},
        {"not_before": "2030-01-01T00:00:00Z", "not_after": "2030-01-01T00:00:00Z"},
        {"not_after": "2030-01-01T00:00:00"},
        {"not_after": "1960-01-01T00:00:00Z"},
        {"not_after": "2200-01-01T00:00:00Z"},
        {"not_after": "tomorrow"},
    ):
        problem(await site.api.post("/v1/keys", json={**base, **window}), 422, "invalid_request")
    problem(await site.api.post("/v1/keys", json={**base, "door_ids": []}), 422, "invalid_request")


async def test_an_expired_key_is_not_minted(site: Site) -> None:
    key = await new_key(site.api, [site.door_id], not_after="2020-01-01T00:00:00Z")
    assert key["status"] == "expired"
    problem(await site.api.post(f"/v1/keys/{key['id']}/mobile"), 409, "key_expired")


async def test_a_key_for_a_door_without_a_device_is_not_minted(site: Site) -> None:
    door = await new_door(site.api, site.device.gateway.site_id)
    key = await new_key(site.api, [door["id"]])
    problem(await site.api.post(f"/v1/keys/{key['id']}/mobile"), 409, "door_without_device")


async def test_revoking_raises_the_sequence_and_pushes_a_sealed_list(site: Site) -> None:
    first = await new_key(site.api, [site.door_id])
    second = await new_key(site.api, [site.door_id])
    for count, key in enumerate((first, second), start=1):
        revoked = await made(await site.api.post(f"/v1/keys/{key['id']}/revoke"), 200)
        assert revoked["status"] == "revoked"
        config = await site.device.next_config()
        assert (config["dev"], config["rev"]["seq"]) == (site.device.id, count)
        assert config["ver"] == count + 1
    assert set(config["rev"]["creds"]) == {first["credential_id"], second["credential_id"]}
    problem(await site.api.post(f"/v1/keys/{first['id']}/mobile"), 409, "key_revoked")


async def test_revoking_twice_changes_nothing_more(site: Site) -> None:
    key = await new_key(site.api, [site.door_id])
    first = await made(await site.api.post(f"/v1/keys/{key['id']}/revoke"), 200)
    assert await made(await site.api.post(f"/v1/keys/{key['id']}/revoke"), 200) == first
    device = await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)
    assert device["revocation_seq"] == 1


async def test_a_revocation_reaches_only_the_keys_doors(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    key = await new_key(site.api, [other.door_id])
    await made(await site.api.post(f"/v1/keys/{key['id']}/revoke"), 200)
    assert (await other.next_config())["rev"]["creds"] == [key["credential_id"]]
    device = await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)
    assert device["revocation_seq"] == 0


async def test_a_device_that_missed_the_push_gets_it_when_it_reports(site: Site) -> None:
    gateway = site.device.gateway
    key = await new_key(site.api, [site.door_id])
    await made(await site.api.post(f"/v1/keys/{key['id']}/revoke"), 200)
    await gateway.receive("config", d=site.device.id)  # lost between gateway and device
    await gateway.send("hello", {"g": gateway.id, "registry": 1})
    assert (await site.device.next_config())["rev"]["seq"] == 1
    await site.device.send_state()
    synced = await until(site.api, f"/v1/devices/{site.device.id}", lambda body: body["in_sync"])
    assert synced["reported_revocation_seq"] == 1


async def test_more_revocations_than_the_configuration_holds_come_as_a_table(site: Site) -> None:
    """And those that the configuration had stay in it: a table that is held up gives no revoked key back."""
    user = await made(await site.api.post("/v1/users", json={"name": "loses many"}))
    body = {"user_id": user["id"], "door_ids": [site.door_id]}
    keys = [await made(await site.api.post("/v1/keys", json=body)) for _ in range(MAX_REVOKED + 2)]
    for key in keys:
        await made(await site.api.post(f"/v1/keys/{key['id']}/revoke"), 200)
    while (config := await site.device.next_config())["rev"]["seq"] < len(keys):
        assert len(str(config)) < MAX_ENVELOPE
    revoked = [key["credential_id"] for key in keys]
    assert (config["rev"]["creds"], config["rev"]["gens"]) == (revoked[:MAX_REVOKED], {})
    offers = [await next_offer(site.device)]
    while (offer := offers[-1])["ver"] < MAX_REVOKED + 2:
        offers.append(await next_offer(site.device))
    assert offers[0]["ver"] > MAX_REVOKED
    assert {one["kind"] for one in offers} == {"revocations"}
    data = await fetch(site.device, offer)
    table = Table(data[:HEADER_SIZE], id_bytes(site.device.id))
    rows = [data[at : at + 12] for at in range(HEADER_SIZE, len(data) - 16, 12)]
    for row in rows:
        table.take(row)
    table.finish(table_key(base64.b64decode(site.device.bundle["k_dev"])), data[-16:])
    assert sorted(rows) == rows == sorted(bytes.fromhex(c) + ALL_KEYS for c in revoked)
    path = f"/v1/devices/{site.device.id}"
    await site.device.send_state(files={"revocations": MAX_REVOKED + 1})
    await until(
        site.api, path, lambda body: body["reported_revocation_seq"] == len(keys) and not body["in_sync"]
    )
    await site.device.send_state(files={"revocations": MAX_REVOKED + 2})
    await until(site.api, path, lambda body: bool(body["in_sync"]))


async def test_a_full_table_of_revocations_falls_back_to_the_users_generation(
    own_cloud: CloudProcess, tmp_path: Path
) -> None:
    async with own_cloud.api(own_cloud.new_organisation()) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        device = await open_device(api, gateway)
        first = await new_key(api, [device.door_id])
        body = {"user_id": first["user_id"], "door_ids": [device.door_id]}
        last = await made(await api.post("/v1/keys", json=body))
        await made(await api.post(f"/v1/keys/{first['id']}/revoke"), 200)
        revoke_more(own_cloud, first["id"], MAX_CREDENTIALS - 1)
        async with gateway.connected():
            await made(await api.post(f"/v1/keys/{last['id']}/revoke"), 200)
            config = await device.next_config()
        assert config["rev"]["gens"] == {first["credential_id"][:8]: 1}
        assert config["rev"]["creds"] == []
        fresh = await made(await api.post("/v1/keys", json=body))
        token = decode_token(bytes.fromhex((await mobile(api, fresh))["doors"][0]["token"]))
        assert token.generation == 1, "a new key of the user must not be caught by it"


def revoke_more(cloud: CloudProcess, key_id: str, count: int) -> None:
    """As many more revoked keys like this one, past the API."""
    columns = (
        "organisation_id, created_at, user_id, name, generation, not_before, not_after, flags, revoked_at"
    )
    with sqlite3.connect(cloud.database) as db:
        door = "SELECT door_id FROM key_doors JOIN keys ON ord=key_ord WHERE id=?"
        (door_id,) = db.execute(door, (key_id,)).fetchone()
        for number in range(count):
            credential_id = number.to_bytes(8, "big")
            copy = (
                f"INSERT INTO keys (id, credential_id, {columns}) SELECT ?, ?, {columns} FROM keys WHERE id=?"
            )
            row = db.execute(copy, (f"key_{number:016x}", credential_id, key_id)).lastrowid
            db.execute("INSERT INTO key_doors (key_ord, door_id) VALUES (?, ?)", (row, door_id))
    db.close()


async def test_a_schedule_reaches_the_devices_and_the_token(site: Site) -> None:
    windows = [
        {"days": [1, 2, 3, 4, 5], "start_minute": 480, "end_minute": 1080},
        {"days": [6], "start_minute": 0, "end_minute": 1440},
        {"days": [7], "holiday_kinds": [3, 8], "start_minute": 1320, "end_minute": 360},
        {"days": [], "holiday_kinds": [1], "start_minute": 540, "end_minute": 720},
    ]
    schedule = await made(await site.api.post("/v1/schedules", json={"name": "Office", "windows": windows}))
    assert schedule["windows"] == [{"holiday_kinds": [], **window} for window in windows]
    config = await site.device.next_config()
    rows = [(31, 0, 480, 1080), (32, 0, 0, 1440), (64, 0b10000100, 1320, 360), (0, 1, 540, 720)]
    assert config["schedules"] == "".join(window_row(schedule["number"], *row) for row in rows)
    key = await new_key(site.api, [site.door_id], schedule_id=schedule["id"])
    token = decode_token(bytes.fromhex((await mobile(site.api, key))["doors"][0]["token"]))
    assert token.schedule_id == schedule["number"]


async def test_a_schedule_window_must_lie_on_days_and_hold_something(site: Site) -> None:
    for window in (
        {"days": [1], "start_minute": 600, "end_minute": 600},
        {"days": [1, 8], "start_minute": 0, "end_minute": 60},
        {"days": [0], "start_minute": 0, "end_minute": 60},
        {"days": [], "start_minute": 0, "end_minute": 60},
        {"days": [1], "holiday_kinds": [0], "start_minute": 0, "end_minute": 60},
        {"days": [1], "holiday_kinds": [9], "start_minute": 0, "end_minute": 60},
        {"days": [1], "start_minute": -1, "end_minute": 60},
        {"days": [1], "start_minute": 0, "end_minute": 1441},
    ):
        answer = await site.api.post("/v1/schedules", json={"name": "x", "windows": [window]})
        problem(answer, 422, "invalid_request")


async def test_policy_and_time_zone_reach_the_device(site: Site) -> None:
    await made(await site.api.patch(f"/v1/doors/{site.door_id}", json={"open_s": 2.5, "held_s": 11}), 200)
    assert (await site.device.next_config())["policy"] == {"max_u_s": 300, "open_s": 2.5, "held_s": 11}
    site_id = site.device.gateway.site_id
    await made(await site.api.patch(f"/v1/sites/{site_id}", json={"time_zone": "America/New_York"}), 200)
    assert (await site.device.next_config())["tz"] == "EST5EDT,M3.2.0,M11.1.0"


async def test_the_pins_of_the_sites_broker_reach_the_device_and_change_with_its_gateway(
    site: Site, tmp_path: Path
) -> None:
    site_id = site.device.gateway.site_id
    await made(await site.api.patch(f"/v1/doors/{site.door_id}", json={"held_s": 11}), 200)
    before = (await site.device.next_config())["pins"]
    assert before == site.device.bundle["broker"]["pins"]
    device = await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)
    await made(await site.api.post(f"/v1/gateways/{site.device.gateway.id}/retire"), 200)
    second = await Gateway.enrol(site.device.gateway.cloud, site.api, site_id, tmp_path / "second")
    newer = await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)
    assert newer["config_version"] == device["config_version"] + 1
    async with second.connected():
        site.device.gateway = second
        await second.send("hello", {"g": second.id, "registry": 1})
        after = (await site.device.next_config())["pins"]
    assert after[1] == before[1]
    assert after[0] != before[0]


async def test_why_a_device_refuses_its_configuration_is_told_until_it_takes_one(site: Site) -> None:
    path = f"/v1/devices/{site.device.id}"
    await site.device.send_state(cfg_refused="config_pins")
    await until(site.api, path, lambda body: body["config_refused"] == "config_pins")
    await site.device.send_state()
    await until(site.api, path, lambda body: body["config_refused"] is None)


def test_the_largest_configuration_fits_its_envelope_and_the_device_takes_it() -> None:
    device_id = "dev_" + "0" * 16
    payload = {
        "dev": device_id,
        "ver": 2**32 - 1,
        "rev": {
            "seq": 2**32 - 1,
            "creds": [f"{n:016x}" for n in range(MAX_REVOKED)],
            "gens": {f"{n:08x}": 2**32 - 1 for n in range(MAX_GENERATIONS)},
        },
        "schedules": window_row(65535, 127, 255, 1439, 1440) * MAX_WINDOWS,
        "holidays": holiday_row(date(2127, 12, 31), date(2127, 12, 31), 128, every_year=False) * MAX_HOLIDAYS,
        "tz": "<-123456>+24:59:59<+123456>-24:59:59,M10.5.0/-167,M3.5.0/167",
        "policy": LARGEST_POLICY,
        "cards": LARGEST_FORMATS,
        "pins": ["a" * 64, "b" * 64],
    }
    assert MAX_FORMATS_TEXT - 20 < len(json.dumps(LARGEST_FORMATS)) <= MAX_FORMATS_TEXT
    sealed = seal(b"k" * 32, LABEL_CONFIG, payload)
    assert len(sealed) <= MAX_ENVELOPE
    config = parse_config(open_text(b"k" * 32, LABEL_CONFIG, sealed), device_id)
    assert config.revoked(bytes.fromhex(f"{MAX_REVOKED - 1:016x}"))
    assert config.windows[-8:].hex() == window_row(65535, 127, 255, 1439, 1440)
    assert len(config.holidays) == 5 * MAX_HOLIDAYS


@pytest.mark.parametrize(
    ("field", "least", "most"), [("open_s", 0.5, 60), ("held_s", 1, 3600), ("max_u_s", 1, 86400)]
)
def test_the_device_takes_every_policy_that_the_api_takes(field: str, least: float, most: float) -> None:
    for value in (least, most):
        DoorIn.model_validate({"site_id": "site_" + "0" * 16, "name": "x", field: value})
        payload = {"dev": "dev_1", "ver": 1, "rev": {"seq": 0}, "policy": {field: value}}
        config = parse_config(json.dumps(payload), "dev_1")
        assert (config.door[0] if field == "held_s" else getattr(config, field)) == value
    with pytest.raises(ValidationError):
        DoorIn.model_validate({"site_id": "site_" + "0" * 16, "name": "x", field: most + 1})


def fill(session: Session, users: int) -> None:
    """A door, and as many users with two revoked keys each; then the generation of each is collapsed."""
    session.add(Organisation(id="org_1", name="x", created_at=0))
    session.flush()
    owned = {"organisation_id": "org_1", "created_at": 0}
    session.add(
        SiteRow(**owned, id="site_1", name="x", time_zone="UTC", tz="UTC0", holidays=[], registry_version=0)
    )
    session.flush()
    policy = {"open_s": 5.0, "held_s": 30, "max_u_s": 300, "epoch": 1}
    session.add(Door(**owned, **policy, id="door_1", site_id="site_1", name="x"))
    session.flush()
    for number in range(users):
        subject = number.to_bytes(4, "big")
        session.add(User(**owned, id=f"user_{number}", name="x", subject=subject, generation=1))
        session.flush()
        key = Key(
            **owned,
            id=f"key_{number}",
            user_id=f"user_{number}",
            name="x",
            credential_id=subject * 2,
            generation=0,
            not_before=0,
            not_after=NEVER,
            flags=0,
            revoked_at=1,
        )
        session.add(key)
        session.flush()
        session.add(KeyDoor(key_ord=key.ord, door_id="door_1"))
    session.flush()


@pytest.mark.parametrize(
    ("users", "overfull"), [(MAX_TABLE_GENERATIONS, []), (MAX_TABLE_GENERATIONS + 1, ["door_1"])]
)
def test_more_revocations_than_a_door_can_hold_are_noticed(
    tmp_path: Path, users: int, overfull: list[str]
) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    migrate(url)
    engine = engine_for(url)
    with Session(engine) as session:
        fill(session, users)
        assert overfull_doors(session, ["door_1"]) == overfull
    engine.dispose()
