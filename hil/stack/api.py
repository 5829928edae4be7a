"""The operator's side: the cloud's API over pinned HTTPS, and its live stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from hil.phone import DoorKey
from protocol.host.carry import Cargo, carrier_key
from protocol.host.pins import client_context

DEADLINE_S = 20.0

OnCall = Callable[[str, str, int, float, float], None]  # times are of time.monotonic()


class ApiError(Exception):
    """The API answered with a problem document."""

    def __init__(self, response: httpx.Response) -> None:
        told = complaint(_document(response)) or response.text[:300]
        request = f"{response.request.method} {response.request.url.path}"
        super().__init__(f"{request}: {response.status_code}: {told}")
        self.status = response.status_code


def complaint(problem: Mapping[str, Any]) -> str:
    """What a problem document (RFC 9457) complains of, field by field; empty of what is none."""
    fields = [f"{error['pointer']}: {error['detail']}" for error in problem.get("errors") or ()]
    return "; ".join(fields) or str(problem.get("detail", ""))


def _document(response: httpx.Response) -> dict[str, Any]:
    """The fields of an answer; none of one that is no document."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


class Api:
    """One token's view of the cloud."""

    def __init__(self, url: str, token: str, ca: str, pins: list[str], on_call: OnCall | None = None) -> None:
        """``on_call`` hears of every answer: method, path, status, and when the call began and ended."""
        self.url = url
        self._on_call = on_call
        self._token = token
        self._context = client_context(ca, pins=pins)
        self._client = httpx.AsyncClient(
            base_url=url,
            verify=self._context,
            timeout=DEADLINE_S,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Any call: its status, and what it answers, a problem too; empty if that is nothing."""
        response = await self._request(method, path, **({} if body is None else {"json": body}))
        return response.status_code, _document(response)

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        return await self._call("GET", path, params=query)

    async def revocations(self, key: DoorKey) -> Cargo | None:
        """What a phone with this key carries to its door, by that key alone, without our token. None: nothing was ever
        revoked there.
        """
        now = int(time.time())
        narrowed = b"".join(key.caveats)
        mac = carrier_key(key.key, key.door_id, now)
        proof = f"Carrier {key.token.hex()}.{narrowed.hex()}.{now}.{mac}"
        try:
            answer = await self._call(
                "GET", f"/v1/doors/{key.door_id}/revocations", headers={"Authorization": proof}
            )
        except ApiError as error:
            if error.status != 404:
                raise
            return None
        return Cargo.parse(answer)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._call("POST", path, json=body)

    async def upload(self, path: str, data: bytes) -> dict[str, Any]:
        """POST a file."""
        return await self._call(
            "POST", path, content=data, headers={"Content-Type": "application/octet-stream"}
        )

    async def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self._call("PATCH", path, json=body)

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = await self._request(method, path, **request)
        if not response.is_success:
            raise ApiError(response)
        body = response.json()
        assert isinstance(body, dict)
        return body

    async def _request(self, method: str, path: str, **request: Any) -> httpx.Response:
        began = time.monotonic()
        response = await self._client.request(method, path, **request)
        if self._on_call is not None:
            self._on_call(method, path, response.status_code, began, time.monotonic())
        return response

    async def events(self, **query: Any) -> list[dict[str, Any]]:
        """All events that fit, oldest first."""
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next_cursor": None}
        while True:
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = await self.get("/v1/events", limit=200, **query, **cursor)
            found += page["items"]
            if page["next_cursor"] is None:
                return found

    async def finished(self, attempt: dict[str, Any], deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The action attempt once it is no longer pending."""
        ends = time.monotonic() + deadline_s
        while attempt["status"] == "pending" and time.monotonic() < ends:
            attempt = await self.get(f"/v1/action_attempts/{attempt['id']}", wait=5)
        return attempt

    @asynccontextmanager
    async def stream(self, after: str | None = None) -> AsyncIterator["EventStream"]:
        """The live stream, from now on or after an event's id."""
        address = self.url.replace("https://", "wss://") + "/v1/stream"
        if after is not None:
            address += f"?after={after}"
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            address, ssl=self._context, additional_headers=headers, proxy=None, open_timeout=DEADLINE_S
        ) as socket:
            stream = EventStream(socket)
            if after is None:
                await stream.until_ready()
            yield stream


class EventStream:
    """Events as they come."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def until_ready(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while (await self._next())["type"] != "ready":
                pass

    async def wait(
        self, fits: Callable[[dict[str, Any]], bool], deadline_s: float = DEADLINE_S
    ) -> dict[str, Any]:
        """The next event that fits; raises TimeoutError."""
        async with asyncio.timeout(deadline_s):
            while True:
                event = await self.next_event()
                if fits(event):
                    return event

    async def next_event(self) -> dict[str, Any]:
        """The next event, without a deadline; raises websockets' ConnectionClosed."""
        while (message := await self._next())["type"] != "event":
            pass
        event = message["event"]
        assert isinstance(event, dict)
        return event

    async def _next(self) -> dict[str, Any]:
        message = json.loads(await self._socket.recv())
        assert isinstance(message, dict)
        return message
