"""/v1/stream: the audit log, live, over WebSocket.

    client  GET /v1/stream?after=evt_…      Authorization: Bearer …      (or no header, and {"token": "lw_…"}
    as first message) server  {"type": "event", "event": {…}} …  {"type": "ready", "after": "evt_…"}  {"type":
    "event", …} …
            {"type": "heartbeat", "after": "evt_…"} while nothing happens

Without `after` only what happens from now on is sent. `ready` means: caught up. To resume after any break,
reconnect with the id of the last event seen: nothing is missed, nothing comes twice. A refusal is sent as
{"type": "problem", "problem": {…}} and then the socket is closed with 4000 + the problem's status.
"""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket
from sqlalchemy import func, select
from starlette.websockets import WebSocketDisconnect

from cloud_api.auth import Principal
from cloud_api.db.models import Event
from cloud_api.events import event_id, event_order
from cloud_api.problems import WS_GOING_AWAY, WS_PROBLEM, Location, Problem, unauthorised
from cloud_api.services import Cloud
from cloud_api.settings import STREAM_AUTH_S, STREAM_HEARTBEAT_S, STREAM_SEND_DEADLINE_S
from cloud_api.stream import CATCH_UP_PAGE, Committed, Subscription, catch_up

router = APIRouter(prefix="/v1", tags=["events"])

MAX_FIRST_MESSAGE = 1024


class Gone(Exception):
    """The client has left, or takes nothing any more."""


class Feed:
    """One client's stream."""

    def __init__(self, cloud: Cloud, socket: WebSocket, caller: Principal, after: int) -> None:
        self._cloud = cloud
        self._socket = socket
        self._organisation = caller.organisation_id
        self._after = after

    async def run(self) -> None:
        """Catch up, then follow, until the client leaves or a problem ends it."""
        # A long history is read before we subscribe: it must not overflow the live queue.
        while len(await self._replay()) == CATCH_UP_PAGE:
            pass
        subscription = self._cloud.hub.subscribe(self._organisation)
        if subscription is None:
            raise Problem(
                429, "too_many_streams", "This server has no room for another stream; try again later."
            )
        try:
            while await self._replay():
                pass
            await self._send({"type": "ready", "after": event_id(self._after)})
            await self._follow(subscription)
        finally:
            self._cloud.hub.unsubscribe(subscription)

    async def _replay(self) -> list[Committed]:
        page = await catch_up(self._cloud.db, self._organisation, self._after)
        for event in page:
            await self._event(event)
        return page

    async def _follow(self, subscription: Subscription) -> None:
        while not subscription.overflowed:
            try:
                async with asyncio.timeout(STREAM_HEARTBEAT_S):
                    event = await subscription.queue.get()
            except TimeoutError:
                await self._send({"type": "heartbeat", "after": event_id(self._after)})
                continue
            if event.order > self._after:
                await self._event(event)
        raise Problem(
            429, "slow_consumer", "The client is too far behind: reconnect with the last event's id."
        )

    async def _event(self, event: Committed) -> None:
        await self._send({"type": "event", "event": event.body})
        self._after = event.order

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(STREAM_SEND_DEADLINE_S):
                await self._socket.send_text(json.dumps(message, separators=(",", ":")))
        except TimeoutError:
            raise Gone from None
        except (WebSocketDisconnect, RuntimeError) as error:
            raise Gone from error


async def _authenticate(cloud: Cloud, socket: WebSocket) -> Principal:
    header = socket.headers.get("authorization")
    if header is not None:
        return await cloud.tokens.from_header(header)
    try:
        async with asyncio.timeout(STREAM_AUTH_S):
            text = await socket.receive_text()
    except TimeoutError:
        raise Problem(408, "auth_timeout", "No token came: send it as header or first message.") from None
    except KeyError:
        raise unauthorised("The first message must be text.") from None
    try:
        token = json.loads(text[:MAX_FIRST_MESSAGE])["token"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise unauthorised('The first message must be {"token": "lw_…"}.') from None
    return await cloud.tokens.principal(token if isinstance(token, str) else "")


async def _position(cloud: Cloud, after: str | None) -> int:
    if after is not None:
        try:
            return event_order(after)
        except Problem:
            place = Location(pointer="/query/after", detail="Not an event id.")
            raise Problem(400, "bad_cursor", "Give the id of an event.", errors=[place]) from None
    newest = await cloud.db.read(lambda session: session.execute(select(func.max(Event.ord))).scalar_one())
    return newest or 0


async def _until_gone(socket: WebSocket) -> None:
    """Read and ignore, to notice that the client leaves."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise Gone


async def _closing(cloud: Cloud) -> None:
    await cloud.hub.closing.wait()
    raise Problem(503, "going_away", "The server restarts: reconnect with the last event's id.")


@router.websocket("/stream")
async def stream(socket: WebSocket, after: Annotated[str | None, Query(max_length=64)] = None) -> None:
    """Follow the log of the caller's organisation."""
    cloud: Cloud = socket.app.state.cloud
    await socket.accept()
    with cloud.hub.socket():
        await _serve(cloud, socket, after)


async def _serve(cloud: Cloud, socket: WebSocket, after: str | None) -> None:
    try:
        caller = await _authenticate(cloud, socket)
        feed = Feed(cloud, socket, caller, await _position(cloud, after))
        async with asyncio.TaskGroup() as group:
            group.create_task(feed.run())
            group.create_task(_until_gone(socket))
            group.create_task(_closing(cloud))
    except* (Gone, WebSocketDisconnect):
        cloud.metrics.stream_closed.labels("client_left").inc()
    except* Problem as problems:
        await _refuse(cloud, socket, _first(problems))


def _first(group: BaseExceptionGroup[Problem]) -> Problem:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Problem)
    return error


async def _refuse(cloud: Cloud, socket: WebSocket, problem: Problem) -> None:
    cloud.metrics.stream_closed.labels(problem.code).inc()
    document = problem.document(getattr(socket.state, "request_id", ""))
    code = WS_GOING_AWAY if problem.status == 503 else WS_PROBLEM + problem.status
    try:
        async with asyncio.timeout(STREAM_SEND_DEADLINE_S):
            await socket.send_text(json.dumps({"type": "problem", "problem": document}))
            await socket.close(code, problem.code)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        cloud.metrics.stream_closed.labels("refusal_unsent").inc()
