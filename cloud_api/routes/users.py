"""/v1/users: people who hold keys."""

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms
from cloud_api.db.models import User
from cloud_api.keys import new_subject
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.schemas import Body, Name, UserPath

router = resource_router("users")


class UserIn(Body):
    """A new user."""

    name: Name = Field(examples=["Ada Lovelace"])


class UserOut(BaseModel):
    """A user."""

    id: str = Field(examples=["user_45c48cce2e2d7fbd"])
    name: str
    created_at: datetime


def _show(row: User) -> UserOut:
    return UserOut(id=row.id, name=row.name, created_at=from_ms(row.created_at))


@router.post("/users", status_code=201)
async def create_user(body: UserIn, cloud: CloudDep, caller: Caller, response: Response) -> UserOut:
    """Create a user."""

    def work(session: Session) -> UserOut:
        subject = new_subject(session, caller.organisation_id)
        row = User(**identity("user", caller), name=body.name, subject=subject, generation=0)
        session.add(row)
        return _show(row)

    user = await cloud.db.write(work)
    response.headers["Location"] = f"/v1/users/{user.id}"
    return user


@router.get("/users")
async def list_users(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[UserOut]:
    """List users, oldest first."""
    mine = select(User).where(User.organisation_id == caller.organisation_id)
    return await cloud.db.read(lambda session: fetch_page(session, mine, User.ord, limit, cursor, _show))


@router.get("/users/{id}")
async def get_user(user_id: UserPath, cloud: CloudDep, caller: Caller) -> UserOut:
    """Read a user."""
    return await cloud.db.read(lambda session: _show(own(session, User, user_id, caller)))
