"""Every refusal of the running API has one shape, whoever refuses: RFC 9457, with a code to switch on."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_api.installation import add_token
from hil.stack.installation import Installation
from protocol.host.pins import client_context

SHAPE = {"type", "title", "status", "code", "detail", "request_id", "errors"}


async def test_every_refusal_is_a_problem_of_one_shape(tmp_path: Path) -> None:
    async with Installation(tmp_path) as site:
        await site.start_cloud()
        facts = site.cloud_facts
        place = await site.api.post("/v1/sites", {"name": "Harbour House"})
        door = await site.api.post("/v1/doors", {"site_id": place["id"], "name": "Front"})
        foreign = str(add_token(tmp_path / "cloud", "Others", "test", create=True)["token"])
        path, own = f"/v1/doors/{door['id']}", str(facts["token"])
        wrong = own[:-4] + ("aaaa" if own[-4:] != "aaaa" else "bbbb")
        body = {"site_id": place["id"], "name": "Second"}
        calls: list[tuple[int, str, str, str, str | None, dict[str, Any]]] = [
            (401, "unauthorised", "GET", path, wrong, {}),
            (401, "unauthorised", "GET", path, None, {}),
            (401, "unauthorised", "POST", "/v1/doors", None, {"json": body}),
            (404, "not_found", "GET", path, foreign, {}),
            (404, "not_found", "POST", f"{path}/unlock", foreign, {}),
            (404, "not_found", "POST", "/v1/doors", foreign, {"json": body}),
            (404, "not_found", "GET", "/v1/doors/door_0000000000000000", own, {}),
            (404, "not_found", "GET", "/v1/windows", own, {}),
            (404, "not_found", "GET", "/", own, {}),
            (405, "method_not_allowed", "DELETE", "/v1/doors", own, {}),
            (405, "method_not_allowed", "PUT", path, own, {"json": body}),
            (409, "door_without_device", "POST", f"{path}/unlock", own, {}),
            (413, "body_too_large", "POST", "/v1/doors", own, {"content": b" " * 70_000}),
            (422, "invalid_request", "POST", "/v1/doors", own, {"json": {"name": 1}}),
            (422, "invalid_request", "POST", "/v1/doors", own, {"content": b"{"}),
            (422, "invalid_request", "POST", "/v1/doors", own, {"json": {**body, "open": 1}}),
            (422, "invalid_request", "GET", "/v1/doors/door_1", own, {}),
        ]
        context = client_context(facts["ca"], pins=facts["pins"])
        async with httpx.AsyncClient(base_url=site.api.url, verify=context, trust_env=False) as client:
            for status, code, method, where, token, more in calls:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                answer = await client.request(method, where, headers=headers, **more)
                called = f"{method} {where} {more}: {answer.text}"
                assert answer.headers["content-type"] == "application/problem+json", called
                problem = answer.json()
                assert problem.keys() == SHAPE, called
                assert (answer.status_code, problem["status"]) == (status, status), called
                assert (problem["code"], problem["type"]) == (code, f"urn:latchwork:problem:{code}"), called
                assert problem["request_id"] == answer.headers["x-request-id"], called
                assert problem["detail"], called
                assert bool(problem["errors"]) == (status == 422), called
                assert ("www-authenticate" in answer.headers) == (status == 401), called
                assert ("allow" in answer.headers) == (status == 405), called


@pytest.mark.parametrize("weight", [70_000, 3_000_000])
@pytest.mark.parametrize("where", ["/v1/doors", "/v1/windows"])
async def test_the_sender_of_a_large_body_hears_why_and_keeps_the_connection(
    tmp_path: Path, weight: int, where: str
) -> None:
    """A server that answers early and closes turns the 413 into a broken pipe."""
    async with Installation(tmp_path) as site:
        await site.start_cloud()
        facts = site.cloud_facts
        context = client_context(facts["ca"], pins=facts["pins"])
        headers = {"Authorization": f"Bearer {facts['token']}"}
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            base_url=site.api.url, verify=context, trust_env=False, limits=limits, headers=headers
        ) as client:
            for _ in range(20):
                refused = await client.post(where, content=b" " * weight)
                assert refused.status_code == 413, refused.text
                assert (await client.get("/v1/doors")).status_code == 200


async def test_a_cloud_with_another_key_is_not_spoken_to(tmp_path: Path) -> None:
    """The token goes to the pinned key and to nobody else, whatever the CA says."""
    async with Installation(tmp_path) as site:
        await site.start_cloud()
        context = client_context(site.cloud_facts["ca"], pins=["0" * 64, "1" * 64])
        async with httpx.AsyncClient(base_url=site.api.url, verify=context, trust_env=False) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")
