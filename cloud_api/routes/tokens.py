"""/v1/tokens: API tokens of the organisation."""

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.clock import from_ms, now_ms
from cloud_api.db.models import ApiToken, Event
from cloud_api.events import add_cloud_event
from cloud_api.idempotency import answers_secret
from cloud_api.paging import Cursor, Limit, Page, fetch_page
from cloud_api.problems import Problem
from cloud_api.routes.context import Caller, CloudDep, identity, own, resource_router
from cloud_api.routes.schemas import Body, Name, TokenPath
from cloud_api.secrets import new_token, token_digest

router = resource_router("tokens")


class TokenIn(Body):
    """A new token."""

    name: Name = Field(examples=["Front desk integration"])


class TokenOut(BaseModel):
    """A token without its secret."""

    id: str = Field(examples=["tok_c81e728d9d4c2f63"])
    name: str
    created_at: datetime
    revoked_at: datetime | None


class TokenCreated(TokenOut):
    """A token with its secret, shown this once."""

    token: str = Field(examples=["lw_9rYlYv0o…"])


def _show(row: ApiToken) -> TokenOut:
    return TokenOut(
        id=row.id,
        name=row.name,
        created_at=from_ms(row.created_at),
        revoked_at=from_ms(row.revoked_at) if row.revoked_at else None,
    )


@router.post("/tokens", status_code=201)
@answers_secret
async def create_token(body: TokenIn, cloud: CloudDep, caller: Caller, response: Response) -> TokenCreated:
    """Create a token for the same organisation; the answer is the only time it is shown."""
    token = new_token()

    def work(session: Session) -> tuple[TokenCreated, Event]:
        row = ApiToken(**identity("tok", caller), name=body.name, digest=token_digest(token))
        session.add(row)
        session.flush()
        facts = {"token_id": row.id, "by": caller.token_id}
        event = add_cloud_event(session, caller.organisation_id, "token_created", data=facts)
        return TokenCreated(**_show(row).model_dump(), token=token), event

    answer, event = await cloud.db.write(work, durable=True)
    cloud.hub.publish([event])
    response.headers["Location"] = f"/v1/tokens/{answer.id}"
    return answer


@router.get("/tokens")
async def list_tokens(
    cloud: CloudDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[TokenOut]:
    """List tokens, oldest first, without their secrets."""
    mine = select(ApiToken).where(ApiToken.organisation_id == caller.organisation_id)
    return await cloud.db.read(lambda session: fetch_page(session, mine, ApiToken.ord, limit, cursor, _show))


@router.get("/tokens/{id}")
async def get_token(token_id: TokenPath, cloud: CloudDep, caller: Caller) -> TokenOut:
    """Read a token, without its secret."""
    return await cloud.db.read(lambda session: _show(own(session, ApiToken, token_id, caller)))


@router.delete("/tokens/{id}", status_code=204)
async def revoke_token(token_id: TokenPath, cloud: CloudDep, caller: Caller) -> None:
    """Revoke a token; the next request with it is refused. A token cannot revoke itself."""
    if token_id == caller.token_id:
        raise Problem(409, "token_in_use", "A token cannot revoke itself: use another one.")

    def work(session: Session) -> Event | None:
        row = own(session, ApiToken, token_id, caller)
        if row.revoked_at is not None:
            return None
        row.revoked_at = now_ms()
        facts = {"token_id": row.id, "by": caller.token_id}
        return add_cloud_event(session, caller.organisation_id, "token_revoked", data=facts)

    event = await cloud.db.write(work, durable=True)
    cloud.tokens.forget(token_id)
    if event is not None:
        cloud.hub.publish([event])
