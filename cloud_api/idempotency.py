"""Idempotency-Key on POST: a client that got no answer may ask again and never causes the effect twice.

The key is written down *before* the work. So the same key with the same request gets the same answer; with
another request 422; while the first is still running 409; and if the server died in the middle, 409
`outcome_unknown`: the client looks before it repeats. Answers are kept sealed for a day. An answer that
carries a secret is not kept: its repetition says where the resource is.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from cloud_api.clock import now_ms
from cloud_api.db.models import IdempotencyKey
from cloud_api.problems import Location, Problem
from cloud_api.services import Cloud
from cloud_api.settings import IDEMPOTENCY_LIFE_S

MAX_KEY = 128
_SECRET = "_answer_is_secret"  # noqa: S105
_PURPOSE = "idempotency"

F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def answers_secret(endpoint: F) -> F:
    """Mark an operation whose answer holds a secret that is given once."""
    setattr(endpoint, _SECRET, True)
    return endpoint


class IdempotentRoute(APIRoute):
    """A route whose POST honours Idempotency-Key."""

    def get_route_handler(self) -> Handler:
        """Wrap the handler of POST routes."""
        handler = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return handler
        secret = getattr(self.endpoint, _SECRET, False)

        async def idempotent(request: Request) -> Response:
            key = request.headers.get("idempotency-key")
            if key is None:
                return await handler(request)
            return await _run_once(request, key, secret, handler)

        return idempotent


async def _run_once(request: Request, key: str, secret: bool, handler: Handler) -> Response:
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        place = Location(
            pointer="/header/Idempotency-Key", detail=f"1 to {MAX_KEY} printable ASCII characters."
        )
        raise Problem(422, "invalid_request", "The Idempotency-Key cannot be used.", errors=[place])
    cloud: Cloud = request.app.state.cloud
    caller = await cloud.tokens.from_header(request.headers.get("authorization"))
    # Not a plain hash: a body may hold a PIN, and there are few of those to try.
    digest = cloud.vault.fingerprint(f"{request.method} {request.url.path}", await request.body())
    mine = (caller.organisation_id, key)
    if mine in cloud.running_posts:
        raise Problem(409, "request_in_progress", "The first request with this Idempotency-Key still runs.")
    cloud.running_posts.add(mine)
    try:
        earlier = await cloud.db.write(lambda session: _reserve(session, mine, digest))
        if earlier is not None:
            return _replay(cloud, earlier, digest)
        response = await _run_reserved(cloud, mine, lambda: handler(request))
        await cloud.db.write(lambda session: _store(session, cloud, mine, response, secret))
        return response
    finally:
        cloud.running_posts.discard(mine)


async def _run_reserved(
    cloud: Cloud, mine: tuple[str, str], run: Callable[[], Awaitable[Response]]
) -> Response:
    try:
        return await run()
    except (Problem, HTTPException, RequestValidationError):
        # Refused before any effect: the key is free again for a corrected request.
        await cloud.db.write(lambda session: _release(session, mine))
        raise


def _reserve(session: Session, mine: tuple[str, str], digest: bytes) -> IdempotencyKey | None:
    found = session.get(IdempotencyKey, mine)
    if found is not None and found.created_at > now_ms() - IDEMPOTENCY_LIFE_S * 1000:
        return found
    if found is not None:
        session.delete(found)
        session.flush()
    session.add(IdempotencyKey(organisation_id=mine[0], key=mine[1], digest=digest, created_at=now_ms()))
    return None


def _store(session: Session, cloud: Cloud, mine: tuple[str, str], response: Response, secret: bool) -> None:
    body = None if secret else cloud.vault.seal(_PURPOSE, "/".join(mine), bytes(response.body))
    session.execute(
        update(IdempotencyKey)
        .where(IdempotencyKey.organisation_id == mine[0], IdempotencyKey.key == mine[1])
        .values(status=response.status_code, location=response.headers.get("location"), answer=body)
    )


def _release(session: Session, mine: tuple[str, str]) -> None:
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.organisation_id == mine[0], IdempotencyKey.key == mine[1])
    )


def purge(session: Session) -> None:
    """Forget answers that are too old to be asked for."""
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < now_ms() - IDEMPOTENCY_LIFE_S * 1000)
    )


def _replay(cloud: Cloud, row: IdempotencyKey, digest: bytes) -> Response:
    if row.digest != digest:
        raise Problem(422, "idempotency_key_reused", "This Idempotency-Key was used for another request.")
    headers = {"Location": row.location} if row.location else {}
    if row.status is None:
        raise Problem(
            409, "outcome_unknown", "The server stopped during the first request: look before you repeat."
        )
    if row.answer is None:
        detail = "The first request succeeded, and its answer held a secret that is given only once."
        raise Problem(409, "secret_given_once", detail, headers=headers)
    body = cloud.vault.open(_PURPOSE, f"{row.organisation_id}/{row.key}", row.answer)
    headers["Idempotency-Replayed"] = "true"
    return Response(body, row.status, headers=headers, media_type="application/json" if body else None)
