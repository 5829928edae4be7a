"""Who calls: bearer tokens, each bound to one organisation.

Only the SHA-256 of a token is stored. A found token is remembered for a moment, because a lookup costs more
than an unlock may; revoking it here forgets it at once.
"""

import time
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.db.database import Database
from cloud_api.db.models import ApiToken
from cloud_api.problems import unauthorised
from cloud_api.secrets import token_digest
from cloud_api.settings import TOKEN_CACHE_S, TOKEN_CACHE_SIZE

MAX_TOKEN = 256  # bounds what a stranger can make us hash


@dataclass(frozen=True)
class Principal:
    """The organisation that a request speaks for, and by which token."""

    token_id: str
    organisation_id: str


class Tokens:
    """Finds the principal of a bearer token."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[bytes, tuple[Principal, float]] = {}

    async def from_header(self, header: str | None) -> Principal:
        """Principal of an Authorization header; raises the 401 problem."""
        if header is None:
            raise unauthorised("Send an API token: Authorization: Bearer lw_…")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorised("The Authorization header must carry a Bearer token.")
        return await self.principal(token.strip())

    async def principal(self, token: str) -> Principal:
        """Principal of a token; raises the 401 problem."""
        if not 0 < len(token) <= MAX_TOKEN or not token.isascii():
            raise unauthorised("This is not an API token.")
        digest = token_digest(token)
        found = self._known.get(digest)
        if found is not None and found[1] > time.monotonic():
            return found[0]
        principal = await self._db.read(lambda session: _look_up(session, digest))
        if principal is None:
            self._known.pop(digest, None)
            raise unauthorised("This API token is unknown or was revoked.")
        if len(self._known) >= TOKEN_CACHE_SIZE:
            self._known.clear()
        self._known[digest] = (principal, time.monotonic() + TOKEN_CACHE_S)
        return principal

    def forget(self, token_id: str) -> None:
        """A token was revoked: the next request with it is refused."""
        self._known = {d: entry for d, entry in self._known.items() if entry[0].token_id != token_id}


def _look_up(session: Session, digest: bytes) -> Principal | None:
    row = session.execute(
        select(ApiToken.id, ApiToken.organisation_id).where(
            ApiToken.digest == digest, ApiToken.revoked_at.is_(None)
        )
    ).first()
    return Principal(row.id, row.organisation_id) if row else None
