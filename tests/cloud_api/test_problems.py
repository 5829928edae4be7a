"""One error shape for the whole API (RFC 9457), pinned; and organisations that cannot see each other."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport

from cloud_api import problems
from cloud_api.edge import Edge
from cloud_api.metrics import Metrics
from cloud_api.settings import MAX_BODY
from tests.cloud_api.conftest import Site
from tests.cloud_api.world import CloudProcess, made, new_door, new_key, new_site

SHAPE = ["type", "title", "status", "code", "detail", "request_id", "errors"]


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The document, after checking everything that clients rely on."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert list(body) == SHAPE
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:latchwork:problem:{code}"
    assert body["request_id"] == response.headers["x-request-id"]
    assert all(list(e) == ["pointer", "detail"] for e in body["errors"])
    assert isinstance(body["title"], str)
    assert isinstance(body["detail"], str)
    return dict(body)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Basic dXNlcjpwYXNz", "Bearer lw_wrong", "Bearer " + "x" * 5000, "Bearer a b"],
)
async def test_401_without_a_valid_token(cloud: CloudProcess, header: str | None) -> None:
    async with cloud.api(None) as client:
        headers = {} if header is None else {"Authorization": header}
        for path in ("/v1/sites", "/v1/events", "/v1/doors/door_0000000000000000"):
            answer = await client.get(path, headers=headers)
            problem(answer, 401, "unauthorised")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_401_comes_before_any_word_on_what_exists(cloud: CloudProcess, site: Site) -> None:
    async with cloud.api(None) as client:
        problem(await client.post(f"/v1/doors/{site.door_id}/unlock"), 401, "unauthorised")
        answer = await client.post("/v1/sites", json={"name": "x"}, headers={"Idempotency-Key": "a"})
        problem(answer, 401, "unauthorised")


async def test_404_for_an_unknown_path_and_405_for_a_wrong_method(api: httpx.AsyncClient) -> None:
    problem(await api.get("/v2/sites"), 404, "not_found")
    problem(await api.get("/"), 404, "not_found")
    answer = await api.delete("/v1/sites")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    assert (await api.put("/v1/devices/dev_0000000000000000")).headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/body/name"),
        ({"name": ""}, "/body/name"),
        ({"name": "   "}, "/body/name"),
        ({"name": 7}, "/body/name"),
        ({"name": "x" * 201}, "/body/name"),
        ({"name": "a\x00b"}, "/body/name"),
        ({"name": "a\nb"}, "/body/name"),
        ({"name": "x", "nmae": "y"}, "/body/nmae"),
        ({"name": "x", "time_zone": 60}, "/body/time_zone"),
        ({"name": "x", "time_zone": "CET-1CEST,M3.5.0,M10.5.0/3"}, "/body/time_zone"),
        ({"name": "x", "time_zone": "Europe/Atlantis"}, "/body/time_zone"),
        ({"name": "x", "time_zone": "../../../etc/passwd"}, "/body/time_zone"),
        ({"name": "x", "time_zone": "x" * 65}, "/body/time_zone"),
        ({"name": "x", "holidays": {}}, "/body/holidays"),
        ([], "/body"),
        ("name", "/body"),
    ],
)
async def test_422_points_at_what_is_wrong(api: httpx.AsyncClient, body: object, pointer: str) -> None:
    found = problem(await api.post("/v1/sites", json=body), 422, "invalid_request")
    assert pointer in [e["pointer"] for e in found["errors"]]


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff\xfe\x00", b'{"name": "\\ud800"}', b"[" * 20_000, b'{"name": NaN}', b""]
)
async def test_a_body_that_is_no_json_is_a_problem_too(api: httpx.AsyncClient, raw: bytes) -> None:
    answer = await api.post("/v1/sites", content=raw, headers={"Content-Type": "application/json"})
    problem(answer, 422, "invalid_request")


async def test_a_form_is_not_taken_for_json(api: httpx.AsyncClient) -> None:
    problem(await api.post("/v1/sites", data={"name": "x"}), 422, "invalid_request")


@pytest.mark.parametrize("chunked", [False, True])
async def test_413_for_a_body_larger_than_any_operation_needs(api: httpx.AsyncClient, chunked: bool) -> None:
    body = b'{"name": "' + b"x" * MAX_BODY + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 4096):
            yield body[start : start + 4096]

    headers = {"Content-Type": "application/json"}
    answer = await api.post("/v1/sites", content=chunks() if chunked else body, headers=headers)
    problem(answer, 413, "body_too_large")


async def test_500_says_nothing_of_the_cause() -> None:
    app = FastAPI()
    router = APIRouter()

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret detail")

    app.include_router(router)
    problems.install(app)
    app.add_middleware(Edge, metrics=Metrics())
    transport = ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
        answer = await client.get("/broken")
        problem(answer, 500, "internal_error")
        assert "secret" not in answer.text


async def test_a_foreign_organisation_sees_404_everywhere(site: Site, stranger: httpx.AsyncClient) -> None:
    key = await new_key(site.api, [site.door_id])
    attempt = await made(await site.api.post(f"/v1/doors/{site.door_id}/unlock"), 202)
    event = (await made(await site.api.get("/v1/events"), 200))["items"][0]
    site_id = site.device.gateway.site_id
    for path in (
        f"/v1/sites/{site_id}",
        f"/v1/doors/{site.door_id}",
        f"/v1/devices/{site.device.id}",
        f"/v1/gateways/{site.device.gateway.id}",
        f"/v1/users/{key['user_id']}",
        f"/v1/keys/{key['id']}",
        f"/v1/action_attempts/{attempt['id']}",
        f"/v1/events/{event['id']}",
    ):
        problem(await stranger.get(path), 404, "not_found")
        assert (await site.api.get(path)).status_code == 200
    for path in (
        f"/v1/doors/{site.door_id}/unlock",
        f"/v1/keys/{key['id']}/mobile",
        f"/v1/keys/{key['id']}/revoke",
        f"/v1/devices/{site.device.id}/retire",
        f"/v1/gateways/{site.device.gateway.id}/retire",
    ):
        problem(await stranger.post(path), 404, "not_found")
    problem(await stranger.patch(f"/v1/doors/{site.door_id}", json={"name": "mine"}), 404, "not_found")
    problem(await stranger.patch(f"/v1/sites/{site_id}", json={"name": "mine"}), 404, "not_found")


async def test_a_foreign_organisation_cannot_refer_to_ours(site: Site, stranger: httpx.AsyncClient) -> None:
    own_site = await new_site(stranger)
    own_door = await new_door(stranger, own_site["id"])
    user = await made(await stranger.post("/v1/users", json={"name": "Eve"}))
    ours = await new_key(site.api, [site.door_id])
    for path, body in (
        ("/v1/doors", {"site_id": site.device.gateway.site_id, "name": "x"}),
        ("/v1/devices", {"door_id": site.door_id}),
        ("/v1/keys", {"user_id": user["id"], "door_ids": [own_door["id"], site.door_id]}),
        ("/v1/keys", {"user_id": ours["user_id"], "door_ids": [own_door["id"]]}),
    ):
        problem(await stranger.post(path, json=body), 404, "not_found")
    for path in (
        "/v1/sites",
        "/v1/doors",
        "/v1/devices",
        "/v1/gateways",
        "/v1/keys",
        "/v1/events",
        "/v1/tokens",
    ):
        listed = (await made(await stranger.get(path, params={"limit": 200}), 200))["items"]
        assert site.door_id not in json.dumps(listed)
    filtered = await made(await stranger.get("/v1/events", params={"door_id": site.door_id}), 200)
    assert filtered["items"] == []


async def test_a_revoked_token_is_refused_at_once(cloud: CloudProcess, api: httpx.AsyncClient) -> None:
    created = await made(await api.post("/v1/tokens", json={"name": "for a while"}))
    async with cloud.api(created["token"]) as client:
        await made(await client.get("/v1/sites"), 200)
        problem(await client.delete(f"/v1/tokens/{created['id']}"), 409, "token_in_use")
        assert (await api.delete(f"/v1/tokens/{created['id']}")).status_code == 204
        problem(await client.get("/v1/sites"), 401, "unauthorised")


async def test_tokens_are_not_in_the_database(
    cloud: CloudProcess, token: str, api: httpx.AsyncClient
) -> None:
    created = await made(await api.post("/v1/tokens", json={"name": "x"}))
    for path in cloud.root.glob("cloud.db*"):
        content = path.read_bytes()
        assert token.encode() not in content
        assert created["token"].encode() not in content
