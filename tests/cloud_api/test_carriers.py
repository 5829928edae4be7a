"""What a phone fetches for a door that has no network: with a key of that door, what is newest, and nothing else."""

import base64
import time
from typing import Any

import httpx

from protocol.credential import CAVEAT_ACTIONS, CAVEAT_DOOR, CAVEAT_NOT_AFTER, attenuate, caveat
from protocol.envelope import LABEL_OFFER, open_sealed, seal
from protocol.handshake import ACTION_STATUS
from protocol.host.carry import Cargo, carrier_key
from protocol.host.tables import revocations_table
from protocol.host.transfers import build_carried_offer
from protocol.ids import id_bytes
from protocol.keys import table_key
from protocol.table import ALL_KEYS, HEADER_SIZE, Table
from protocol.transfer import MAX_OFFER, open_offer
from tests.cloud_api.conftest import Site
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import CloudProcess, made, new_key

DEVICE = "dev_" + "d0" * 8
LIST = "/v1/doors/{}/revocations"


async def phone_key(api: httpx.AsyncClient, door_id: str, **fields: Any) -> tuple[dict[str, Any], str]:
    """An entry of the bundle, and the id of its key."""
    key = await new_key(api, [door_id], **fields)
    bundle = await made(await api.post(f"/v1/keys/{key['id']}/mobile"), 200)
    return bundle["doors"][0], key["id"]


def proof(entry: dict[str, Any], door_id: str, *caveats: bytes, **changes: Any) -> dict[str, str]:
    key = bytes.fromhex(entry["key"])
    for item in caveats:
        key = attenuate(key, item)
    at = changes.get("at", int(time.time()))
    mac = changes.get("mac", carrier_key(key, door_id, at))
    return {"Authorization": f"Carrier {entry['token']}.{b''.join(caveats).hex()}.{at}.{mac}"}


async def ask(cloud: CloudProcess, door_id: str, headers: dict[str, Any]) -> httpx.Response:
    """As a phone: without any API token."""
    async with cloud.api(None) as client:
        return await client.get(LIST.format(door_id), headers=headers)


async def revoke(api: httpx.AsyncClient, key_id: str) -> bytes:
    return bytes.fromhex((await made(await api.post(f"/v1/keys/{key_id}/revoke"), 200))["credential_id"])


async def test_a_phone_gets_the_newest_list_sealed_for_the_doors_device(
    cloud: CloudProcess, site: Site
) -> None:
    mine, _ = await phone_key(site.api, site.door_id)
    _, lost = await phone_key(site.api, site.door_id)
    problem(await ask(cloud, site.door_id, proof(mine, site.door_id)), 404, "not_found")
    credential = await revoke(site.api, lost)
    for answer in (
        await ask(cloud, site.door_id, proof(mine, site.door_id)),
        await site.api.get(LIST.format(site.door_id)),
    ):
        cargo = Cargo.parse(await made(answer, 200))
        offer = open_offer(site.device.config_key, site.device.id, cargo.offer)
        assert (offer.kind, offer.version, offer.size) == ("revocations", cargo.sequence, len(cargo.file))
        assert len(offer.sums) == 8
        table = Table(cargo.file[:HEADER_SIZE], id_bytes(site.device.id))
        assert (table.sequence, table.count) == (cargo.sequence, 1)
        table.take(cargo.file[HEADER_SIZE:-16])
        assert cargo.file[HEADER_SIZE:-16] == credential + ALL_KEYS
        k_dev = base64.b64decode(site.device.bundle["k_dev"])
        table.finish(table_key(k_dev), cargo.file[-16:])
    # From here on the gateway brings the same table.
    _, other = await phone_key(site.api, site.door_id)
    await revoke(site.api, other)
    message = await site.gateway.receive("update", d=site.device.id)
    assert open_sealed(site.device.config_key, LABEL_OFFER, message["e"])["kind"] == "revocations"


async def test_a_phone_that_has_the_list_gets_no_body(cloud: CloudProcess, site: Site) -> None:
    mine, _ = await phone_key(site.api, site.door_id)
    await revoke(site.api, (await phone_key(site.api, site.door_id))[1])
    first = await ask(cloud, site.door_id, proof(mine, site.door_id))
    known = {"If-None-Match": first.headers["etag"]}
    again = await ask(cloud, site.door_id, {**proof(mine, site.door_id), **known})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    await revoke(site.api, (await phone_key(site.api, site.door_id))[1])
    newer = await ask(cloud, site.door_id, {**proof(mine, site.door_id), **known})
    assert newer.status_code == 200


async def test_a_shared_key_may_carry_until_it_ends(cloud: CloudProcess, site: Site) -> None:
    mine, _ = await phone_key(site.api, site.door_id)
    await revoke(site.api, (await phone_key(site.api, site.door_id))[1])
    soon, past = (caveat(CAVEAT_NOT_AFTER, (int(time.time()) + n).to_bytes(4, "big")) for n in (60, -60))
    assert (await ask(cloud, site.door_id, proof(mine, site.door_id, soon))).status_code == 200
    only_status = caveat(CAVEAT_ACTIONS, bytes((1 << ACTION_STATUS,)))
    for refused in (past, caveat(CAVEAT_DOOR, bytes(8)), only_status):
        problem(await ask(cloud, site.door_id, proof(mine, site.door_id, refused)), 401, "unauthorised")


async def test_nobody_else_gets_it(cloud: CloudProcess, site: Site, stranger: httpx.AsyncClient) -> None:
    door = site.door_id
    mine, my_key = await phone_key(site.api, door)
    other_door = await made(
        await site.api.post("/v1/doors", json={"site_id": site.gateway.site_id, "name": "x"})
    )
    await made(await site.api.post("/v1/devices", json={"door_id": other_door["id"]}))
    elsewhere, _ = await phone_key(site.api, other_door["id"])
    await revoke(site.api, (await phone_key(site.api, door))[1])
    assert (await ask(cloud, door, proof(mine, door))).status_code == 200
    good = proof(mine, door)["Authorization"]
    attempts = [
        proof(elsewhere, door),
        proof({**elsewhere, "token": mine["token"]}, door),
        proof(mine, door, mac="00" * 16),
        proof(mine, door, at=int(time.time()) - 400),
        proof(mine, door, at=int(time.time()) + 400),
        {"Authorization": good.replace("Carrier", "Bearer")},
        {"Authorization": good + "." + good},
        {"Authorization": "Carrier zz.zz.1.zz"},
        {"Authorization": "Carrier ..².".encode("latin-1")},
        {"Authorization": "Carrier " + "00" * 500},
        {"Authorization": "Carrier"},
        {},
    ]
    for headers in attempts:
        problem(await ask(cloud, door, headers), 401, "unauthorised")
    problem(await ask(cloud, "door_" + "0" * 16, proof(mine, "door_" + "0" * 16)), 401, "unauthorised")
    problem(await stranger.get(LIST.format(door)), 404, "not_found")
    await revoke(site.api, my_key)
    problem(await ask(cloud, door, proof(mine, door)), 401, "unauthorised")


async def test_a_key_from_before_a_rotation_gets_nothing(cloud: CloudProcess, site: Site) -> None:
    """K_epoch may be out: whoever has it could make a proof of any key."""
    before, key_id = await phone_key(site.api, site.door_id)
    await revoke(site.api, (await phone_key(site.api, site.door_id))[1])
    await made(await site.api.post(f"/v1/doors/{site.door_id}/rotate-keys"), 200)
    problem(await ask(cloud, site.door_id, proof(before, site.door_id)), 401, "unauthorised")
    bundle = await made(await site.api.post(f"/v1/keys/{key_id}/mobile"), 200)
    assert (await ask(cloud, site.door_id, proof(bundle["doors"][0], site.door_id))).status_code == 200


async def test_a_flood_of_phones_is_cut(cloud: CloudProcess, site: Site) -> None:
    await revoke(site.api, (await phone_key(site.api, site.door_id))[1])
    for _ in range(80):
        answer = await site.api.get(LIST.format(site.door_id))
        if answer.status_code != 200:
            break
    problem(answer, 429, "too_many_carriers")
    assert answer.headers["retry-after"] == "1"


def test_a_full_list_fits_what_a_door_takes() -> None:
    ids = [n.to_bytes(8, "big") for n in range(1, 501)]
    file = revocations_table(bytes(32), DEVICE, 0xFFFFFFFF, ids, {one[4:]: 1 for one in ids})
    assert len(file) == 12036
    offer = seal(bytes(32), LABEL_OFFER, build_carried_offer(DEVICE, "revocations", 0xFFFFFFFF, file))
    assert len(offer) < MAX_OFFER
