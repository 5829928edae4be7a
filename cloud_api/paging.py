"""Cursor pages: stable while rows are added, and as cheap on page 1000 as on page 1 (no OFFSET)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from cloud_api.problems import Location, Problem

T = TypeVar("T")
Row = TypeVar("Row")

MAX_LIMIT = 200
MAX_ORD = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Rows on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=32, description="`next_cursor` of the page before; absent: the first page.")
]


class Page(BaseModel, Generic[T]):
    """One page."""

    items: list[T]
    next_cursor: str | None = Field(description="Ask for the next page with it; null: this was the last one.")


def bad_cursor() -> Problem:
    """422 for a cursor that we did not make."""
    place = Location(pointer="/query/cursor", detail="Not a cursor of this list.")
    return Problem(422, "invalid_request", "Use next_cursor as it was given.", errors=[place])


def encode_cursor(order: int) -> str:
    """Opaque text for the position after row `order`."""
    return base64.urlsafe_b64encode(b"c%d" % order).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> int:
    """Position of a cursor; raises the 422 problem."""
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        order = int(raw[1:]) if raw[:1] == b"c" and raw[1:].isdigit() else -1
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    if not 0 <= order <= MAX_ORD:
        raise bad_cursor()
    return order


def fetch_page(
    session: Session,
    statement: Select[Row],
    order: InstrumentedAttribute[int],
    limit: int,
    cursor: str | None,
    show: Callable[[Row], T],
) -> Page[T]:
    """Run `statement` for one page in rising `order`."""
    if cursor is not None:
        statement = statement.where(order > decode_cursor(cursor))
    rows: Sequence[Any] = session.scalars(statement.order_by(order).limit(limit + 1)).all()
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=[show(r) for r in rows],
        next_cursor=encode_cursor(getattr(rows[-1], order.key)) if more else None,
    )
