"""The outermost layer of every HTTP request: request id, size limit, timing, and an answer to what nobody
expected.
"""

import secrets
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud_api.body_limit import LimitedBody
from cloud_api.metrics import Metrics
from cloud_api.problems import body_too_large, internal_error
from cloud_api.settings import MAX_BODY, MAX_BODY_OF

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-Id"


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, unless the body is too large."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = request_id = secrets.token_hex(8)
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._http(scope, receive, send, request_id)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 500
        started_answer = False
        limit = MAX_BODY_OF.get(scope["path"], MAX_BODY)
        body = LimitedBody(Headers(scope=scope), receive, limit)

        async def send_named(message: Message) -> None:
            nonlocal status, started_answer
            if message["type"] == "http.response.start":
                await body.discard()
                started_answer = True
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers["Cache-Control"] = "no-store"
            await send(message)

        try:
            if body.declared_too_large:
                await body_too_large(limit).response(request_id)(scope, receive, send_named)
            else:
                await self._app(scope, body, send_named)
        except Exception:
            log.exception("request_failed", path=scope["path"], request_id=request_id)
            if started_answer:
                raise  # too late for a problem: the connection is cut, and the client sees that it was
            await internal_error().response(request_id)(scope, receive, send_named)
        finally:
            route: Any = scope.get("route")
            template = getattr(route, "path", "unmatched")
            elapsed = time.perf_counter() - started
            self._metrics.requests.labels(scope["method"], template, str(status)).observe(elapsed)
