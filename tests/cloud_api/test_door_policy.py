"""The whole policy of a door can be set, arrives as its firmware reads it, and a wrong one is refused."""

import json
from typing import Any

import httpx
import pytest

from cloud_api.routes.door_policy import DEFAULTS
from device import door_table
from device.policy import Config, parse_config
from protocol.command import MODES
from protocol.credential import DURESS, EXTENDED_TIME, LOCKDOWN_OVERRIDE, ONE_TIME, decode_token
from tests.cloud_api.conftest import Site
from tests.cloud_api.world import made, new_door, new_key

# Other than the default, each.
CHANGED = {
    "open_s": 7.5,
    "extended_s": 45,
    "relock_ms": 250,
    "jam_s": 5,
    "held_s": 90,
    "warn_s": 20,
    "silence_s": 120,
    "fire_releases": True,
    "free_egress": True,
    "way_out": True,
    "passback_s": 600,
    "wrong_codes": 9,
    "max_u_s": 120,
    "card_formats": [[26, 8], [37, 16]],
}
WINDOW = {"days": [1, 2, 3, 4, 5], "start_minute": 480, "end_minute": 1080}


def as_the_board_reads(config: dict[str, Any]) -> Config:
    return parse_config(json.dumps(config), config["dev"])


def door_fields(config: Config) -> dict[str, int]:
    return dict(zip(door_table.POLICY.split()[::3], config.door, strict=True))


async def new_schedule(api: httpx.AsyncClient) -> dict[str, Any]:
    return await made(await api.post("/v1/schedules", json={"name": "Office hours", "windows": [WINDOW]}))


async def test_every_field_arrives_at_the_board(site: Site) -> None:
    schedule = await new_schedule(site.api)
    await site.device.next_config()
    wanted = {**CHANGED, "unlock_schedule_id": schedule["id"]}
    assert wanted.keys() == DEFAULTS.keys()
    door = await made(await site.api.patch(f"/v1/doors/{site.door_id}", json=wanted), 200)
    assert {name: door[name] for name in wanted} == wanted
    config = as_the_board_reads(await site.device.next_config())
    assert (config.open_s, config.max_u_s, config.codes) == (7.5, 120, 9)
    assert (config.passback_s, config.way_out) == (600, 1)
    assert config.unlock_schedule == schedule["number"]
    assert sorted(config.cards) == [26, 37]
    assert config.cards[37][2] == 16
    told = door_fields(config)
    assert told == {name: int(CHANGED[name]) for name in told}


async def test_a_door_that_is_told_nothing_does_what_the_api_says_it_does(site: Site) -> None:
    door = await made(await site.api.get(f"/v1/doors/{site.door_id}"), 200)
    assert {name: door[name] for name in DEFAULTS} == DEFAULTS
    await made(await site.api.patch(f"/v1/doors/{site.door_id}", json={"open_s": 6}), 200)
    config = as_the_board_reads(await site.device.next_config())
    told = door_fields(config)
    assert told == {name: int(DEFAULTS[name]) for name in told}
    assert (config.codes, config.passback_s, config.way_out, config.unlock_schedule) == (5, 0, 0, 0)
    assert config.cards == {}  # the usual ones


async def test_absent_fields_stay_and_a_default_can_be_gone_back_to(site: Site) -> None:
    path = f"/v1/doors/{site.door_id}"
    schedule = await new_schedule(site.api)
    await made(await site.api.patch(path, json={**CHANGED, "unlock_schedule_id": schedule["id"]}), 200)
    door = await made(await site.api.patch(path, json={"name": "Back door"}), 200)
    assert door["passback_s"] == 600
    assert door["unlock_schedule_id"] == schedule["id"]
    door = await made(await site.api.patch(path, json=DEFAULTS), 200)
    assert {name: door[name] for name in DEFAULTS} == DEFAULTS


async def test_what_changes_nothing_is_not_sent_again(site: Site) -> None:
    path = f"/v1/doors/{site.door_id}"
    await made(await site.api.patch(path, json={"passback_s": 60}), 200)
    version = (await site.device.next_config())["ver"]
    await made(await site.api.patch(path, json={"passback_s": 60, "name": "Side door"}), 200)
    await made(await site.api.patch(path, json={"passback_s": 61}), 200)
    assert (await site.device.next_config())["ver"] == version + 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("extended_s", 301),
        ("relock_ms", -1),
        ("fire_releases", 1),
        ("wrong_codes", 0),
        ("passback_s", None),
        ("unlock_schedule_id", "sch_1"),
        ("card_formats", [[26, 8], [26, 8]]),
        ("card_formats", [[26, 30]]),
        ("card_formats", [[]]),
        ("card_formats", [[26, "8"]]),
        ("card_formats", [[2**70, 8]]),
        ("card_formats", [[26, 8]] * 9),
        ("unlock_schedule", 3),
    ],
)
async def test_a_wrong_policy_is_refused_whole(site: Site, field: str, value: object) -> None:
    path = f"/v1/doors/{site.door_id}"
    answer = await site.api.patch(path, json={"name": "Never", field: value})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(f"/body/{field}")
    assert (await site.api.get(path)).json()["name"] != "Never"


async def test_a_schedule_of_somebody_else_is_not_found(
    site: Site, cloud: Any, api: httpx.AsyncClient
) -> None:
    async with cloud.api(cloud.new_organisation()) as stranger:
        foreign = await new_schedule(stranger)
    answer = await site.api.patch(f"/v1/doors/{site.door_id}", json={"unlock_schedule_id": foreign["id"]})
    assert answer.status_code == 404
    place = {"site_id": site.device.gateway.site_id, "name": "x", "unlock_schedule_id": foreign["id"]}
    assert (await site.api.post("/v1/doors", json=place)).status_code == 404


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_is_a_command_and_its_end_is_audited(site: Site, mode: str) -> None:
    pending = await made(await site.api.post(f"/v1/doors/{site.door_id}/mode", json={"mode": mode}), 202)
    assert (pending["type"], pending["args"], pending["status"]) == ("mode", {"mode": mode}, "pending")
    command = await site.device.next_command()
    assert (command["op"], command["args"]) == ("mode", {"mode": mode})
    await site.device.answer(command)
    done = await made(await site.api.get(f"/v1/action_attempts/{pending['id']}", params={"wait": 15}), 200)
    assert (done["status"], done["args"]) == ("succeeded", {"mode": mode})
    page = await made(await site.api.get("/v1/events", params={"type": "mode_succeeded"}), 200)
    assert [event["data"]["mode"] for event in page["items"]] == [mode]


async def test_a_door_can_be_locked_before_its_time(site: Site) -> None:
    pending = await made(await site.api.post(f"/v1/doors/{site.door_id}/lock"), 202)
    command = await site.device.next_command()
    assert (command["op"], command["args"]) == ("lock", {})
    await site.device.answer(command, ok=False, status="door_mode")
    done = await made(await site.api.get(f"/v1/action_attempts/{pending['id']}", params={"wait": 15}), 200)
    assert (done["status"], done["error"]) == ("failed", "refused_door_mode")


@pytest.mark.parametrize("mode", ["open", "", None, 2])
async def test_a_mode_that_no_door_has_is_refused(site: Site, mode: object) -> None:
    answer = await site.api.post(f"/v1/doors/{site.door_id}/mode", json={"mode": mode})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/body/mode"


async def test_a_door_of_somebody_else_is_put_into_no_mode(site: Site, cloud: Any) -> None:
    async with cloud.api(cloud.new_organisation()) as stranger:
        for path, body in (("mode", {"mode": "unlocked"}), ("lock", None)):
            answer = await stranger.post(f"/v1/doors/{site.door_id}/{path}", json=body)
            assert answer.status_code == 404


async def test_a_door_of_no_device_says_so(site: Site) -> None:
    door = await new_door(site.api, site.device.gateway.site_id)
    answer = await site.api.post(f"/v1/doors/{door['id']}/mode", json={"mode": "normal"})
    assert (answer.status_code, answer.json()["code"]) == (409, "door_without_device")


async def test_the_terms_of_a_key_are_in_its_token(site: Site) -> None:
    flags = {
        "one_time": ONE_TIME,
        "duress": DURESS,
        "lockdown_override": LOCKDOWN_OVERRIDE,
        "extended_time": EXTENDED_TIME,
    }
    for chosen in (set(), {"one_time"}, {"duress", "extended_time"}, set(flags)):
        key = await new_key(site.api, [site.door_id], **dict.fromkeys(chosen, True))
        assert {name for name in flags if key[name]} == chosen
        bundle = await made(await site.api.post(f"/v1/keys/{key['id']}/mobile"), 200)
        token = decode_token(bytes.fromhex(bundle["doors"][0]["token"]))
        assert token.flags == sum(flags[name] for name in chosen)
