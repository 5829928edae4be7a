"""What every operation starts from: the cloud, the caller, and rows of the caller's organisation only."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.auth import Principal
from cloud_api.clock import now_ms
from cloud_api.db.models import (
    ApiToken,
    Credential,
    Device,
    Door,
    Gateway,
    Key,
    Package,
    Schedule,
    Site,
    User,
)
from cloud_api.idempotency import IdempotentRoute
from cloud_api.problems import not_found
from cloud_api.routes.schemas import PROBLEM
from cloud_api.secrets import random_id
from cloud_api.services import Cloud

# Only for OpenAPI: the header itself is read by `Tokens`, which answers with our own problem.
bearer = HTTPBearer(auto_error=False, description="An API token: `latchwork-cloud token --help`.")

_NAMES = {"ApiToken": "token"}

Owned = TypeVar("Owned", ApiToken, Site, Door, Device, Gateway, User, Key, Credential, Package, Schedule)


async def get_cloud(request: Request) -> Cloud:
    """The cloud that this application serves. A coroutine: FastAPI sends plain functions to a thread."""
    cloud: Cloud = request.app.state.cloud
    return cloud


CloudDep = Annotated[Cloud, Depends(get_cloud)]


async def get_caller(
    request: Request,
    cloud: CloudDep,
    _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """The principal of the request; 401 without one."""
    return await cloud.tokens.from_header(request.headers.get("authorization"))


Caller = Annotated[Principal, Depends(get_caller)]


def resource_router(name: str) -> APIRouter:
    """A router under /v1 with the problems that every operation may answer."""
    responses: dict[int | str, dict[str, Any]] = dict.fromkeys((401, 404, 409, 413, 422, 500, 503), PROBLEM)
    return APIRouter(prefix="/v1", tags=[name], route_class=IdempotentRoute, responses=responses)


def own(session: Session, model: type[Owned], row_id: str, caller: Principal) -> Owned:
    """The caller's row of that id; 404 for everybody else's."""
    statement = select(model).where(model.id == row_id, model.organisation_id == caller.organisation_id)
    row = session.scalar(statement)
    if row is None:
        raise not_found(_NAMES.get(model.__name__, model.__name__.lower()))
    return row


def identity(kind: str, caller: Principal) -> dict[str, Any]:
    """The columns that every new resource starts with."""
    return {"id": random_id(kind), "organisation_id": caller.organisation_id, "created_at": now_ms()}
