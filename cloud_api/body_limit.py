"""What a request body may weigh, and how a refused one is read to its end so that its sender hears why.

A server that answers before it has read a body, and then closes, resets the connection: the client sees a broken
pipe where the problem should be, or loses its next request on a connection that is gone (RFC 9112, section 9.6). So
what nobody read is read and thrown away before the answer starts, within bounds of its own.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from cloud_api.settings import MAX_BODY

_DISCARD_MAX = 8 * 1024 * 1024  # whoever sends more than this is cut off and hears nothing
_DISCARD_S = 5.0  # a sender this slow holds a connection open for nothing


class LimitedBody:
    """An ASGI `receive` that raises HTTPException(413) at the byte that is one too many."""

    def __init__(self, headers: Headers, receive: Receive, limit: int = MAX_BODY) -> None:
        self._limit = limit
        self._receive = receive
        self._size = 0
        declared = headers.get("content-length", "0")
        self.declared_too_large = not declared.isdigit() or int(declared) > limit
        self._ended = declared == "0" and "transfer-encoding" not in headers
        self._asks_first = headers.get("expect", "").lower() == "100-continue"

    async def __call__(self) -> Message:
        """Count the body as it comes: a chunked one declares no length."""
        message = await self._next()
        if message["type"] == "http.request" and self._size > self._limit:
            # FastAPI lets an HTTPException out of its body parser, and turns all else into 400.
            raise HTTPException(413, str(self._limit))
        return message

    async def discard(self) -> None:
        """Read what is left; a sender that waits for 100 Continue has not begun."""
        if self._ended or (self._asks_first and self._size == 0):
            return
        try:
            async with asyncio.timeout(_DISCARD_S):
                while not self._ended and self._size <= _DISCARD_MAX:
                    await self._next()
        except TimeoutError:
            return

    async def _next(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message
