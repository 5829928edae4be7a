"""Resources: pages, idempotency, and bodies that nobody planned for."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import CloudProcess, made, new_door, new_site

ODD_NAMES = [
    "'; DROP TABLE doors; --",
    '" OR 1=1 --',
    "%_\\",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "Haupteingang Süd",
    "正面玄関",
    "הדלת הראשית",
    "🚪🔑",
    "e\u0301",
    "x" * 200,
]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_odd_names_come_back_as_they_were(api: httpx.AsyncClient, name: str) -> None:
    site = await made(await api.post("/v1/sites", json={"name": name}))
    assert (await made(await api.get(f"/v1/sites/{site['id']}"), 200))["name"] == name


@pytest.mark.parametrize(
    "bad_id",
    ["door_1' OR '1'='1", "door_%27", "door_" + "0" * 400, "site_0000000000000000", "DOOR_0000000000000000"],
)
async def test_a_malformed_id_is_refused_before_it_reaches_the_store(
    api: httpx.AsyncClient, bad_id: str
) -> None:
    problem(await api.get(f"/v1/doors/{bad_id}"), 422, "invalid_request")
    problem(await api.get("/v1/events", params={"door_id": bad_id}), 422, "invalid_request")


@pytest.mark.parametrize(
    "cursor", ["x", "", "Yw", "Y2M", "AAAA", "Yy0x", "'; --", "Yzk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"]
)
async def test_a_made_up_cursor_is_refused(api: httpx.AsyncClient, cursor: str) -> None:
    problem(await api.get("/v1/sites", params={"cursor": cursor}), 422, "invalid_request")


@pytest.mark.parametrize("limit", ["0", "-1", "201", "9" * 30, "x"])
async def test_a_page_has_bounds(api: httpx.AsyncClient, limit: str) -> None:
    problem(await api.get("/v1/sites", params={"limit": limit}), 422, "invalid_request")


async def test_pages_hold_everything_once_also_while_rows_are_added(api: httpx.AsyncClient) -> None:
    created = [(await new_site(api))["id"] for _ in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = await made(await api.get("/v1/sites", params=params), 200)
        seen += [s["id"] for s in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if len(created) == 7:
            created.append((await new_site(api))["id"])
    assert seen == created


async def test_the_same_idempotency_key_gets_the_same_answer_and_one_effect(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await api.post("/v1/sites", json={"name": "once"}, headers=headers)
    again = await api.post("/v1/sites", json={"name": "once"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await made(await api.get("/v1/sites"), 200))["items"]) == 1


async def test_an_idempotency_key_is_for_one_request(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    await made(await api.post("/v1/sites", json={"name": "one"}, headers=headers))
    problem(await api.post("/v1/sites", json={"name": "two"}, headers=headers), 422, "idempotency_key_reused")
    problem(await api.post("/v1/users", json={"name": "one"}, headers=headers), 422, "idempotency_key_reused")


async def test_an_idempotency_key_belongs_to_its_organisation(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    headers = {"Idempotency-Key": "shared"}
    ours = await made(await api.post("/v1/sites", json={"name": "x"}, headers=headers))
    theirs = await made(await stranger.post("/v1/sites", json={"name": "x"}, headers=headers))
    assert ours["id"] != theirs["id"]


async def test_a_refused_request_leaves_its_idempotency_key_free(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    problem(await api.post("/v1/sites", json={"name": ""}, headers=headers), 422, "invalid_request")
    await made(await api.post("/v1/sites", json={"name": "now right"}, headers=headers))


async def test_parallel_requests_with_one_key_have_one_effect(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "storm"}
    posts = [api.post("/v1/sites", json={"name": "one"}, headers=headers) for _ in range(8)]
    answers = await asyncio.gather(*posts)
    assert {a.status_code for a in answers} <= {201, 409}
    assert len((await made(await api.get("/v1/sites"), 200))["items"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 129, "sm\u00f8rrebr\u00f8d".encode().decode("latin-1"), "a\tb"])
async def test_an_unusable_idempotency_key_is_refused(api: httpx.AsyncClient, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    problem(await api.post("/v1/sites", json={"name": "x"}, headers=headers), 422, "invalid_request")


async def test_an_unlock_repeated_with_its_key_is_one_attempt(api: httpx.AsyncClient, site: Any) -> None:
    headers = {"Idempotency-Key": "open"}
    path = f"/v1/doors/{site.door_id}/unlock"
    first = await made(await api.post(path, headers=headers), 202)
    assert await made(await api.post(path, headers=headers), 202) == first
    await site.device.next_command()
    assert site.device.gateway.received("command") == 0


async def test_a_change_keeps_what_it_does_not_name(api: httpx.AsyncClient) -> None:
    site = await new_site(api)
    door = await made(
        await api.post("/v1/doors", json={"site_id": site["id"], "name": "x", "open_s": 9, "held_s": 77})
    )
    changed = await made(await api.patch(f"/v1/doors/{door['id']}", json={"name": "y"}), 200)
    assert changed == {**door, "name": "y"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "name",
        "site_id",
        "door_ids",
        "user_id",
        "not_before",
        "not_after",
        "windows",
        "open_s",
        "schedule_id",
        "wifi",
        "port",
    ]
)
PATHS = ("sites", "doors", "devices", "gateways", "users", "keys", "schedules", "tokens")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), body=JSON | st.dictionaries(FIELDS, JSON, max_size=6))
async def test_any_json_is_answered_by_success_or_a_problem(
    cloud: CloudProcess, token: str, path: str, body: object
) -> None:
    async with cloud.api(token) as client:
        content = json.dumps(body).encode("utf-8", "surrogatepass")
        answer = await client.post(
            f"/v1/{path}", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (201, 404, 409, 422), answer.text
        if answer.status_code != 201:
            problem(answer, answer.status_code, answer.json()["code"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.text(max_size=220))
async def test_any_text_as_a_name_is_kept_or_refused(cloud: CloudProcess, token: str, name: str) -> None:
    async with cloud.api(token) as client:
        content = json.dumps({"name": name}).encode("utf-8", "surrogatepass")
        answer = await client.post("/v1/users", content=content, headers={"Content-Type": "application/json"})
        if answer.status_code == 201:
            assert answer.json()["name"] == name.strip()
        else:
            problem(answer, 422, "invalid_request")


async def test_doors_are_listed_by_site(api: httpx.AsyncClient) -> None:
    first, second = await new_site(api), await new_site(api)
    door = await new_door(api, first["id"])
    await new_door(api, second["id"])
    page = await made(await api.get("/v1/doors", params={"site_id": first["id"]}), 200)
    assert [d["id"] for d in page["items"]] == [door["id"]]
