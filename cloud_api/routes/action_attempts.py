"""/v1/action_attempts: what became of a command."""

from typing import Annotated

from fastapi import Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.commands import AttemptOut, show_attempt, wait_attempt
from cloud_api.db.models import ActionAttempt
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.routes.context import Caller, CloudDep, resource_router
from cloud_api.routes.schemas import AttemptPath, id_pattern
from cloud_api.settings import MAX_WAIT_S

router = resource_router("action attempts")


@router.get("/action_attempts")
async def list_attempts(
    cloud: CloudDep,
    caller: Caller,
    door_id: Annotated[str | None, Query(pattern=id_pattern("door"))] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AttemptOut]:
    """List action attempts, oldest first."""
    mine = select(ActionAttempt).where(ActionAttempt.organisation_id == caller.organisation_id)
    if door_id is not None:
        mine = mine.where(ActionAttempt.door_id == door_id)

    def work(session: Session) -> Page[AttemptOut]:
        return fetch_page(session, mine, ActionAttempt.ord, limit, cursor, show_attempt)

    return await cloud.db.read(work)


@router.get("/action_attempts/{id}")
async def get_attempt(
    attempt_id: AttemptPath,
    cloud: CloudDep,
    caller: Caller,
    wait: Annotated[
        float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for the end of a pending attempt.")
    ] = 0,
) -> AttemptOut:
    """Read an action attempt; with `wait`, answer when it is over, or still `pending` after that time."""
    return await wait_attempt(cloud, caller, attempt_id, wait)
