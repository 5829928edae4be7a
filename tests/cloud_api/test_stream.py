"""The live stream: nothing is missed over a reconnect, nothing comes twice, and a slow client harms only
itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cloud_api.db.models import Event
from cloud_api.metrics import Metrics
from cloud_api.settings import STREAM_QUEUE
from cloud_api.stream import CATCH_UP_PAGE, Hub
from protocol.host.pins import client_context
from tests.cloud_api.conftest import Site
from tests.cloud_api.test_problems import SHAPE
from tests.cloud_api.world import DEADLINE_S, CloudProcess, made, new_door


@asynccontextmanager
async def stream(
    cloud: CloudProcess, token: str | None, after: str | None = None
) -> AsyncIterator[ClientConnection]:
    url = cloud.url.replace("https", "wss") + "/v1/stream" + (f"?after={after}" if after is not None else "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    context = client_context(cloud.ca, pins=cloud.pins)
    async with connect(url, ssl=context, additional_headers=headers, open_timeout=DEADLINE_S) as socket:
        yield socket


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        return dict(json.loads(await socket.recv()))


async def until_ready(socket: ClientConnection) -> list[dict[str, Any]]:
    """The events before `ready`."""
    events = []
    while (message := await receive(socket))["type"] != "ready":
        events.append(message["event"])
    return events


async def next_event(socket: ClientConnection) -> dict[str, Any]:
    while (message := await receive(socket))["type"] != "event":
        pass
    return dict(message["event"])


async def refused(socket: ClientConnection) -> tuple[dict[str, Any], int]:
    """The problem and the close code."""
    message = await receive(socket)
    assert message["type"] == "problem"
    assert list(message["problem"]) == SHAPE
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(DEADLINE_S):
            await socket.recv()
    assert socket.close_code is not None
    return message["problem"], socket.close_code


async def add_events(site: Site, count: int) -> None:
    """Grow the log by `count` and wait until they are committed."""
    device = site.device
    for start in range(0, count, 32):
        await device.send_records(device.records(min(32, count - start)))
        await device.acked(device.chain.seq)


async def test_an_event_arrives_as_it_happens(cloud: CloudProcess, token: str, site: Site) -> None:
    async with stream(cloud, token) as socket:
        assert await until_ready(socket) == []
        await add_events(site, 1)
        event = await next_event(socket)
        assert (event["source"], event["seq"], event["type"]) == (site.device.id, 1, "door_forced")
        assert event == await made(await site.api.get(f"/v1/events/{event['id']}"), 200)


async def test_the_token_may_be_the_first_message(cloud: CloudProcess, token: str) -> None:
    async with stream(cloud, None) as socket:
        await socket.send(json.dumps({"token": token}))
        assert await until_ready(socket) == []


@pytest.mark.parametrize(
    "first", ["", "x", "[]", "{}", '{"token": 7}', '{"token": "lw_wrong"}', "[" * 9000, b"\x00"]
)
async def test_a_stream_without_a_valid_token_is_refused(cloud: CloudProcess, first: str | bytes) -> None:
    async with stream(cloud, None) as socket:
        await socket.send(first)
        problem, code = await refused(socket)
        assert (problem["code"], code) == ("unauthorised", 4401)


async def test_a_wrong_token_in_the_header_is_refused(cloud: CloudProcess) -> None:
    async with stream(cloud, "lw_wrong") as socket:
        assert (await refused(socket))[1] == 4401


@pytest.mark.parametrize("after", ["x", "evt_", "evt_zzzzzzzzzzzzzzzz", "evt_ffffffffffffffff", "%27;--"])
async def test_a_made_up_cursor_is_refused(cloud: CloudProcess, token: str, after: str) -> None:
    async with stream(cloud, token, after) as socket:
        problem, code = await refused(socket)
        assert (problem["code"], code) == ("bad_cursor", 4400)


async def test_a_reconnect_misses_nothing_and_repeats_nothing(
    cloud: CloudProcess, token: str, site: Site
) -> None:
    seen: list[dict[str, Any]] = []
    async with stream(cloud, token) as socket:
        await until_ready(socket)
        await add_events(site, 3)
        seen += [await next_event(socket) for _ in range(2)]
    await add_events(site, 4)
    async with stream(cloud, token, seen[-1]["id"]) as socket:
        seen += await until_ready(socket)
        await add_events(site, 2)
        seen += [await next_event(socket) for _ in range(2)]
    assert [e["seq"] for e in seen] == list(range(1, 10))


async def test_catch_up_and_live_meet_without_a_seam(cloud: CloudProcess, token: str, site: Site) -> None:
    """Clients come and go while events are committed: each sees every event once, in order."""
    start = (await made(await site.api.get("/v1/events", params={"order": "desc", "limit": 1}), 200))[
        "items"
    ][0]["id"]
    total = 2 * CATCH_UP_PAGE + 60
    writing = asyncio.create_task(add_events(site, total))

    async def follow(leave_after: int) -> list[int]:
        seqs: list[int] = []
        after = start
        while len(seqs) < total:
            async with stream(cloud, token, after) as socket:
                for _ in range(leave_after):
                    event = await next_event(socket)
                    after = event["id"]
                    seqs.append(event["seq"])
                    if len(seqs) == total:
                        break
        return seqs

    for seqs in await asyncio.gather(follow(total), follow(37), follow(111)):
        assert seqs == list(range(1, total + 1))
    await writing


async def test_organisations_do_not_hear_each_other(
    cloud: CloudProcess, site: Site, stranger: httpx.AsyncClient
) -> None:
    foreign = stranger.headers["authorization"].removeprefix("Bearer ")
    async with stream(cloud, foreign, "evt_0000000000000000") as socket:
        assert await until_ready(socket) == []
        await add_events(site, 1)
        created = await made(await stranger.post("/v1/tokens", json={"name": "mine"}))
        event = await next_event(socket)
        assert (event["type"], event["data"]["token_id"]) == ("token_created", created["id"])


async def test_a_restart_closes_streams_cleanly_and_their_cursor_goes_on(own_cloud: CloudProcess) -> None:
    token = own_cloud.new_organisation()
    async with own_cloud.api(token) as api, stream(own_cloud, token) as socket:
        await until_ready(socket)
        await made(await api.post("/v1/tokens", json={"name": "a"}))
        last = (await next_event(socket))["id"]
        ending = asyncio.create_task(asyncio.to_thread(own_cloud.stop))
        problem, code = await refused(socket)
        assert (problem["code"], code) == ("going_away", 1001)
        assert await ending == 0
    own_cloud.start()
    async with own_cloud.api(token) as api, stream(own_cloud, token, last) as socket:
        assert await until_ready(socket) == []
        await made(await api.post("/v1/tokens", json={"name": "b"}))
        assert (await next_event(socket))["type"] == "token_created"


async def test_a_client_that_is_too_far_behind_is_cut_off_and_others_are_not() -> None:
    hub = Hub(Metrics())
    slow, quick = hub.subscribe("org_a"), hub.subscribe("org_a")
    assert slow is not None
    assert quick is not None
    for order in range(STREAM_QUEUE + 1):
        event = Event(ord=order, organisation_id="org_a", source="x", type="t", received_at=0, data={})
        hub.publish([event])
        assert (await quick.queue.get()).order == order
    assert slow.overflowed
    assert slow.queue.qsize() == STREAM_QUEUE
    assert not quick.overflowed


async def test_one_event_is_not_sent_to_another_door_by_its_filter(site: Site) -> None:
    door = await new_door(site.api, site.device.gateway.site_id)
    await add_events(site, 1)
    page = await made(await site.api.get("/v1/events", params={"door_id": door["id"]}), 200)
    assert page["items"] == []
