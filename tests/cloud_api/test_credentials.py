"""PINs and cards: what reaches a door's table, what is refused, and that no PIN is to be found anywhere."""

import asyncio
import base64
import hashlib
import sqlite3
import time
from typing import Any

import httpx
import pytest

from cloud_api.transfers import COLLECT_S, FETCH_BURST, OFFER_AGAIN_S
from protocol import credential, journal
from protocol.envelope import LABEL_OFFER, open_sealed
from protocol.ids import id_bytes
from protocol.keys import lookup_key, table_key
from protocol.table import HEADER_SIZE, KIND_USERS, MAX_USERS, SHAPES, Table, lookup, user_token
from protocol.transfer import MAX_CHUNK
from protocol.wiegand import card
from tests.cloud_api.conftest import Site, open_device, open_site
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import DEADLINE_S, CloudProcess, Device, made, until


async def new_user(api: httpx.AsyncClient) -> str:
    return str((await made(await api.post("/v1/users", json={"name": "Ada"})))["id"])


async def give(site: Site, **fields: Any) -> httpx.Response:
    user = fields.pop("user_id", None) or await new_user(site.api)
    return await site.api.post(
        "/v1/credentials", json={"user_id": user, "door_ids": [site.door_id], **fields}
    )


async def next_offer(device: Device) -> dict[str, Any]:
    message = await device.gateway.receive("update", d=device.id)
    return dict(open_sealed(device.config_key, LABEL_OFFER, message["e"]))


async def ask(device: Device, id: str, offset: int, length: int) -> None:
    await device.gateway.send("fetch", {"d": device.id, "id": id, "off": offset, "len": length})


async def fetch(device: Device, offer: dict[str, Any]) -> bytes:
    """The whole file, as a board asks for it."""
    data = b""
    while len(data) < offer["size"]:
        await ask(device, offer["sha"][:16], len(data), min(MAX_CHUNK, offer["size"] - len(data)))
        chunk = base64.b64decode((await device.gateway.receive("chunk", d=device.id))["c"])
        assert chunk[:12] == bytes.fromhex(offer["sha"][:16]) + len(data).to_bytes(4, "big")
        data += chunk[12:]
    assert hashlib.sha256(data).hexdigest() == offer["sha"]
    return data


def rows_of(device: Device, data: bytes, sequence: int) -> dict[bytes, bytes]:
    """The rows of a table that the device would take."""
    k_dev = base64.b64decode(device.bundle["k_dev"])
    table = Table(data[:HEADER_SIZE], id_bytes(device.id))
    size = SHAPES[KIND_USERS][0]
    assert (table.kind, table.sequence, table.size) == (KIND_USERS, sequence, len(data))
    rows = [data[at : at + size] for at in range(HEADER_SIZE, len(data) - 16, size)]
    for row in rows:
        table.take(row)
    table.finish(table_key(k_dev), data[-16:])
    return {row[:16]: row for row in rows}


def place(device: Device, label: bytes, secret: bytes) -> bytes:
    return lookup(lookup_key(base64.b64decode(device.bundle["k_dev"])), label, secret)


async def dropped(api: httpx.AsyncClient, reason: str) -> float:
    text = (await api.get("/metrics")).text
    found = [
        line for line in text.splitlines() if f'latchwork_mqtt_dropped_total{{reason="{reason}"}}' in line
    ]
    return float(found[0].split()[-1]) if found else 0.0


async def dropped_more(api: httpx.AsyncClient, reason: str, before: float) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await dropped(api, reason) > before:
                return
            await asyncio.sleep(0.02)


async def test_pins_and_cards_reach_the_door_as_a_table_of_their_own(site: Site) -> None:
    user = await new_user(site.api)
    terms = {"not_before": "2026-01-01T00:00:00Z", "not_after": "2040-01-01T00:00:00Z"}
    made_pin = await made(await give(site, user_id=user, pin="2580", one_time=True, **terms))
    first = await next_offer(site.device)
    assert (first["dev"], first["kind"], first["ver"]) == (site.device.id, "users", 1)
    await made(await give(site, card={"bits": 26, "facility": 12, "number": 34567}, needs_second=True))
    await next_offer(site.device)
    await made(await give(site, card_raw="a500000000001234"))
    offer = await next_offer(site.device)
    rows = rows_of(site.device, await fetch(site.device, offer), 3)
    assert set(rows) == {
        place(site.device, b"pin", b"2580"),
        place(site.device, b"card", card(26, 34567, 12)),
        place(site.device, b"card", bytes.fromhex("a500000000001234")),
    }
    token = user_token(rows[place(site.device, b"pin", b"2580")], 1)
    assert (token.credential_id, token.flags) == (id_bytes(user), credential.ONE_TIME)
    assert (token.not_before, token.not_after) == (1767225600, 2208988800)
    assert (made_pin["type"], made_pin["one_time"], made_pin["duress"]) == ("pin", True, False)


async def test_many_changes_in_a_row_become_few_tables_and_the_last_has_them_all(site: Site) -> None:
    user, count = await new_user(site.api), 60
    began = time.monotonic()
    await asyncio.gather(*(give(site, user_id=user, pin=f"{n:05}") for n in range(count)))
    offers = [await next_offer(site.device)]
    while offers[-1]["ver"] < count:
        offers.append(await next_offer(site.device))
    assert len(offers) <= 2 + (time.monotonic() - began) / COLLECT_S
    rows = rows_of(site.device, await fetch(site.device, offers[-1]), count)
    assert set(rows) == {place(site.device, b"pin", f"{n:05}".encode()) for n in range(count)}


async def test_what_is_revoked_leaves_the_table_and_its_pin_can_be_given_again(site: Site) -> None:
    first = await made(await give(site, pin="1111"))
    await next_offer(site.device)
    for _ in range(2):
        revoked = await made(await site.api.post(f"/v1/credentials/{first['id']}/revoke"), 200)
    assert revoked["status"] == "revoked"
    offer = await next_offer(site.device)
    assert offer["ver"] == 2
    assert rows_of(site.device, await fetch(site.device, offer), 2) == {}
    await made(await give(site, pin="1111"))
    assert (await next_offer(site.device))["ver"] == 3


async def test_the_same_pin_at_one_door_is_refused_and_at_two_doors_is_not(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    await made(await give(site, pin="4711"))
    problem(await give(site, pin="4711"), 409, "credential_taken")
    problem(await give(site, pin="4711", door_ids=[other.door_id, site.door_id]), 409, "credential_taken")
    await made(await give(site, pin="4711", door_ids=[other.door_id]))
    await made(await give(site, card_raw="1a0000000000000a"))
    problem(await give(site, card={"bits": 26, "facility": 0, "number": 10}), 409, "credential_taken")


async def test_the_pin_of_an_expired_credential_can_be_given_again(site: Site) -> None:
    ended = await made(await give(site, pin="8888", not_after="2020-01-01T00:00:00Z"))
    assert ended["status"] == "expired"
    await made(await give(site, pin="8888"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pin": "123"},
        {"pin": "123456789"},
        {"pin": "12a4"},
        {"pin": "１２３４"},
        {"pin": 1234},
        {},
        {"pin": "1234", "card_raw": "00" * 8},
        {"card_raw": "00" * 7},
        {"card": {"bits": 65, "number": 1}},
        {"card": {"bits": 26, "number": 1 << 32, "facility": 1}},
        {"pin": "1234", "not_after": "2020-01-01T00:00:00Z", "not_before": "2021-01-01T00:00:00Z"},
        {"pin": "1234", "door_ids": []},
        {"pin": "1234", "master": True},
    ],
)
async def test_what_fits_no_table_is_refused_and_not_repeated(site: Site, wrong: dict[str, Any]) -> None:
    answer = await give(site, **wrong)
    problem(answer, 422, "invalid_request")
    assert str(wrong.get("pin", "nothing")) not in answer.text


@pytest.mark.parametrize(
    ("wrong", "pointer", "advice"),
    [
        ({"pin": "123"}, "/body/pin", "must be 4 to 8 of the digits"),
        ({"pin": "123456789"}, "/body/pin", "must be 4 to 8 of the digits"),
        ({"card": {"bits": 26, "facility": 256, "number": 1}}, "/body/card", "at most 255"),
        ({"card": {"bits": 26, "facility": 1, "number": 65536}}, "/body/card", "at most 65535"),
        ({"card": {"bits": 26, "number": 1}}, "/body/card", "have a facility of 8 bits"),
        ({"card": {"bits": 34, "facility": 65536, "number": 1}}, "/body/card", "at most 65535"),
        ({"card": {"bits": 37, "number": 1 << 35}}, "/body/card", "at most 34359738367"),
        ({"card": {"bits": 37, "facility": 3, "number": 1}}, "/body/card", "facility * 524288 + number"),
        ({"card": {"bits": 27, "facility": 3, "number": 1}}, "/body/card", "card_raw"),
    ],
)
async def test_what_no_reader_or_keypad_brings_is_refused_with_what_to_do(
    site: Site, wrong: dict[str, Any], pointer: str, advice: str
) -> None:
    (place,) = problem(await give(site, **wrong), 422, "invalid_request")["errors"]
    assert place["pointer"] == pointer
    assert advice in place["detail"]


async def test_credentials_are_listed_read_and_audited_without_their_secrets(site: Site) -> None:
    user = await new_user(site.api)
    pin = await made(await give(site, user_id=user, pin="31415926", name="Side door"))
    badge = await made(await give(site, user_id=user, card_raw="1a27182818281828"))
    page = await site.api.get("/v1/credentials", params={"user_id": user, "limit": 1})
    assert [item["id"] for item in page.json()["items"]] == [pin["id"]]
    rest = await site.api.get("/v1/credentials", params={"cursor": page.json()["next_cursor"]})
    assert badge["id"] in [item["id"] for item in rest.json()["items"]]
    read = await site.api.get(f"/v1/credentials/{pin['id']}")
    assert read.json() == pin
    log = await site.api.get("/v1/events", params={"type": "credential_created"})
    assert {e["data"]["credential"] for e in log.json()["items"]} == {pin["id"], badge["id"]}
    for answer in (page, rest, read, log):
        assert "31415926" not in answer.text
        assert "27182818" not in answer.text


async def test_a_pin_is_in_clear_nowhere(site: Site, cloud: CloudProcess) -> None:
    """Not in the store, its log, or what is kept for a repeated request: whoever copies the folder knows no PIN."""
    digits, user = "60221407", await new_user(site.api)
    body = f'{{"user_id":"{user}","door_ids":["{site.door_id}"],"pin":"{digits}"}}'.encode()
    headers = {"Idempotency-Key": "once", "Content-Type": "application/json"}
    first = await site.api.post("/v1/credentials", content=body, headers=headers)
    again = await site.api.post("/v1/credentials", content=body, headers=headers)
    assert (first.status_code, again.json()) == (201, first.json())
    stored = b"".join(path.read_bytes() for path in sorted(cloud.root.glob("cloud.db*")))
    assert digits.encode() not in stored + (cloud.root / "serve.log").read_bytes()
    # What can be computed from a guess without the key-encryption key.
    for guess in (digits.encode(), b"POST /v1/credentials\n" + body):
        assert hashlib.sha256(guess).digest() not in stored


async def test_nobody_sees_or_revokes_the_credentials_of_another_organisation(
    site: Site, stranger: httpx.AsyncClient
) -> None:
    mine = await made(await give(site, pin="7777"))
    problem(await stranger.get(f"/v1/credentials/{mine['id']}"), 404, "not_found")
    problem(await stranger.post(f"/v1/credentials/{mine['id']}/revoke"), 404, "not_found")
    assert (await stranger.get("/v1/credentials")).json()["items"] == []
    user = await new_user(stranger)
    body = {"user_id": user, "door_ids": [site.door_id], "pin": "1234"}
    problem(await stranger.post("/v1/credentials", json=body), 404, "not_found")


async def test_a_device_gets_no_file_of_another(site: Site) -> None:
    other = await open_device(site.api, site.device.gateway)
    await made(await give(site, pin="5555"))
    offer = await next_offer(site.device)
    before = await dropped(site.api, "unknown_file")
    await ask(other, offer["sha"][:16], 0, offer["size"])
    await ask(site.device, "00" * 8, 0, 10)
    await fetch(site.device, offer)
    assert await dropped(site.api, "unknown_file") == before + 2
    assert site.device.gateway.received("chunk") == 0


async def test_a_site_gets_no_file_of_another_site(
    site: Site, cloud: CloudProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await made(await give(site, pin="5556"))
    offer = await next_offer(site.device)
    foreign = await open_site(cloud, site.api, tmp_path_factory.mktemp("foreign"))
    before = await dropped(site.api, "foreign_device")
    async with foreign.connected() as thief:
        message = {"d": site.device.id, "id": offer["sha"][:16], "off": 0, "len": offer["size"]}
        await thief.send("fetch", message)
        await fetch(site.device, offer)
        await dropped_more(site.api, "foreign_device", before)
        assert thief.received("chunk") == 0


async def test_a_superseded_or_overlong_piece_is_not_served(site: Site) -> None:
    await made(await give(site, pin="5557"))
    old = await next_offer(site.device)
    await fetch(site.device, old)
    await made(await give(site, pin="5558"))
    new = await next_offer(site.device)
    lost, beyond = await dropped(site.api, "unknown_file"), await dropped(site.api, "fetch_range")
    await ask(site.device, old["sha"][:16], 0, old["size"])
    await ask(site.device, new["sha"][:16], 0, new["size"] + 1)
    await fetch(site.device, new)
    assert await dropped(site.api, "unknown_file") == lost + 1
    assert await dropped(site.api, "fetch_range") == beyond + 1


async def test_a_flood_of_requests_is_cut_and_leaves_unlocks_alone(site: Site) -> None:
    await made(await give(site, pin="5559"))
    offer = await next_offer(site.device)
    before = await dropped(site.api, "fetch_rate")
    for _ in range(3 * int(FETCH_BURST)):
        await ask(site.device, offer["sha"][:16], 0, offer["size"])
    await site.device.send_records([site.device.record()])
    await site.device.acked(1)
    await dropped_more(site.api, "fetch_rate", before)


async def test_an_offer_is_repeated_to_a_device_that_comes_up_without_the_table(site: Site) -> None:
    await made(await give(site, pin="9090"))
    first = await next_offer(site.device)
    hello = {"g": site.gateway.id, "registry": 1}
    await site.gateway.send("hello", hello)
    assert await next_offer(site.device) == first
    await site.device.send_state(files={"users": 1})
    path = f"/v1/devices/{site.device.id}"
    shown = await until(
        site.api, path, lambda body: body["files"] and body["files"][0]["reported_version"] == 1
    )
    assert shown["files"] == [
        {"kind": "users", "version": 1, "reported_version": 1, "status": "taken", "reason": None}
    ]
    await site.gateway.send("hello", hello)
    await site.device.send_state(files={"users": 0}, boot=9)  # it lost the table
    await until(site.api, path, lambda body: body["files"][0]["reported_version"] == 0)
    await site.gateway.send("hello", hello)
    assert await next_offer(site.device) == first


async def test_a_record_that_a_file_was_taken_counts_as_a_report(site: Site) -> None:
    await made(await give(site, pin="9091"))
    offer = await next_offer(site.device)
    subject = bytes.fromhex(offer["sha"][:16])
    await site.device.send_records(
        [site.device.record(journal.EVENT_TRANSFER_TAKEN, subject=subject, value=1)]
    )
    await site.device.acked(1)
    shown = await made(await site.api.get(f"/v1/devices/{site.device.id}"), 200)
    assert shown["files"][0]["reported_version"] == 1


async def test_the_device_of_a_replaced_board_gets_the_table_under_its_own_key(site: Site) -> None:
    await made(await give(site, pin="6060"))
    await next_offer(site.device)
    await made(await site.api.post(f"/v1/devices/{site.device.id}/retire"), 200)
    fresh = Device(
        await made(await site.api.post("/v1/devices", json={"door_id": site.door_id})), site.device.gateway
    )
    await fresh.come_up(site.api)
    offer = await next_offer(fresh)
    assert set(rows_of(fresh, await fetch(fresh, offer), 1)) == {place(fresh, b"pin", b"6060")}


async def test_an_offer_that_was_made_while_the_device_was_away_is_repeated_at_once(site: Site) -> None:
    path = f"/v1/devices/{site.device.id}"
    await site.gateway.send("presence", {"away": [site.device.id]})
    await until(site.api, path, lambda body: not body["connected"])
    await made(await give(site, pin="9191"))
    lost = await next_offer(site.device)
    await site.device.send_state()
    async with asyncio.timeout(OFFER_AGAIN_S / 2):
        assert await next_offer(site.device) == lost


async def test_a_door_that_is_full_says_so(own_cloud: CloudProcess, tmp_path: Any) -> None:
    async with own_cloud.api(own_cloud.new_organisation()) as api:
        gateway = await open_site(own_cloud, api, tmp_path / "gateway")
        device = await open_device(api, gateway)
        user = await new_user(api)
        body = {"user_id": user, "door_ids": [device.door_id]}
        first = await made(await api.post("/v1/credentials", json={**body, "pin": "00000000"}))
        _copy(own_cloud, first["id"], MAX_USERS - 1)
        problem(await api.post("/v1/credentials", json={**body, "pin": "99999999"}), 409, "door_full")
        await made(await api.post(f"/v1/credentials/{first['id']}/revoke"), 200)
        await made(await api.post("/v1/credentials", json={**body, "pin": "99999999"}))


def _copy(cloud: CloudProcess, credential_id: str, times: int) -> None:
    """More of the same, past the API; a device would not be offered these."""
    with sqlite3.connect(cloud.database) as db:
        for number in range(times):
            db.execute(
                "INSERT INTO credentials (id, organisation_id, created_at, user_id, name, type, secret, not_before, "
                "not_after, flags) SELECT ?, organisation_id, created_at, user_id, name, type, secret, not_before, "
                "not_after, flags FROM credentials WHERE id=?",
                (f"cred_{number:016x}", credential_id),
            )
            db.execute(
                "INSERT INTO credential_doors SELECT max(c.ord), d.door_id, NULL FROM credentials c, credential_doors d "
                "WHERE d.credential_ord = (SELECT ord FROM credentials WHERE id=?)",
                (credential_id,),
            )
    db.close()
