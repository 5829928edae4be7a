"""Errors of the API: one shape (RFC 9457, application/problem+json) for every refusal, HTTP or WebSocket.

    {"type": "urn:latchwork:problem:<code>", "title", "status", "code", "detail", "request_id", "errors":
    [{"pointer", "detail"}]}

`code` is what a client switches on and never changes meaning; `detail` is for people and may. `errors` points
into the request (RFC 6901 pointers below /body, /query, /path or /header).
"""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from cloud_api.db.database import StoreUnavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
MAX_ERRORS = 20  # a body of thousands of wrong fields gets a short answer

# A WebSocket is closed with 4000 + the status, after the problem itself was sent as a last message; at a
# restart with RFC 6455's own.
WS_PROBLEM = 4000
WS_GOING_AWAY = 1001


class Location(BaseModel):
    """Where in the request something is wrong."""

    pointer: str = Field(examples=["/body/name"])
    detail: str = Field(examples=["String should have at least 1 character"])


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:latchwork:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["not_found"])
    detail: str = Field(examples=["No door with this id in your organisation."])
    request_id: str = Field(examples=["5f0c2c8e1f9b4a7d"])
    errors: list[Location] = Field(default_factory=list)


class Problem(Exception):
    """A refusal with its stable code."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Location] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}

    def document(self, request_id: str) -> dict[str, Any]:
        """The wire shape, in wire order."""
        return ProblemDocument(
            type=f"urn:latchwork:problem:{self.code}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            code=self.code,
            detail=self.detail,
            request_id=request_id,
            errors=self.errors,
        ).model_dump()

    def response(self, request_id: str) -> JSONResponse:
        """The HTTP answer."""
        return JSONResponse(
            self.document(request_id), self.status, headers=self.headers, media_type=MEDIA_TYPE
        )


def unauthorised(detail: str) -> Problem:
    """401 with the challenge that RFC 6750 asks for."""
    return Problem(401, "unauthorised", detail, headers={"WWW-Authenticate": 'Bearer realm="latchwork"'})


def not_found(kind: str) -> Problem:
    """404; also the answer for what belongs to another organisation, so that ids cannot be probed."""
    return Problem(404, "not_found", f"No {kind} with this id in your organisation.")


def _pointer(location: Sequence[int | str]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _from_validation(error: RequestValidationError) -> Problem:
    places = [
        Location(pointer=_pointer(e["loc"])[:200], detail=str(e["msg"])[:300])
        for e in error.errors()[:MAX_ERRORS]
    ]
    return Problem(
        422, "invalid_request", "The request does not fit the schema of this operation.", errors=places
    )


_HTTP_CODES = {
    404: ("not_found", "Nothing is served under this path."),
    405: ("method_not_allowed", "This path does not take this method; see the Allow header."),
}


def _from_http(request: Request, error: HTTPException) -> Problem:
    if error.status_code == 413:
        return body_too_large(error.detail)
    if error.status_code == 400:  # FastAPI's word for a body that is not even text
        place = Location(pointer="/body", detail="must be JSON in UTF-8")
        return Problem(422, "invalid_request", "The body could not be read.", errors=[place])
    code, detail = _HTTP_CODES.get(error.status_code, ("http_error", str(error.detail)))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request)
    return Problem(error.status_code, code, detail, headers=headers)


def _allowed(request: Request) -> str:
    """All methods of the path (RFC 9110, section 10.2.1), as the OpenAPI document has them; Starlette names one route's."""
    methods: set[str] = set()
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), request.url.path):
            methods |= {name.upper() for name in operations}
    return ", ".join(sorted(methods))


def body_too_large(limit: int | str) -> Problem:
    """413; `limit` in bytes."""
    return Problem(413, "body_too_large", f"The body of this request may have at most {limit} bytes.")


def internal_error() -> Problem:
    """500; the cause is in the log under the request id, never in the answer."""
    return Problem(500, "internal_error", "The server failed. The request id finds the reason in its log.")


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def store_unavailable() -> Problem:
    """503; as with any answer of 5xx, what became of a POST is to be looked up."""
    detail = (
        "The store takes no work now: try again later. The request id finds the reason in the server's log."
    )
    return Problem(503, "store_unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def install(app: FastAPI) -> None:
    """Give every refusal of the application the one shape; what nobody expected is answered by `edge`."""

    def answer(request: Request, problem: Problem) -> JSONResponse:
        return problem.response(_request_id(request))

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return answer(request, error)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return answer(request, _from_validation(error))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return answer(request, _from_http(request, error))

    async def on_store(request: Request, error: Exception) -> JSONResponse:
        log.error(
            "store_unavailable", path=request.url.path, request_id=_request_id(request), error=str(error)
        )
        return answer(request, store_unavailable())

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(StoreUnavailable, on_store)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
