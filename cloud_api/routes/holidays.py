"""The holidays of a site, as its requests and answers have them."""

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from cloud_api.routes.schemas import Body, Name
from protocol.host.calendar_rows import FIRST_YEAR, LAST_YEAR

Kinds = Annotated[
    list[Annotated[int, Field(ge=1, le=8)]],
    Field(max_length=8, description="1 to 8; what each means is yours to say.", examples=[[1]]),
]
Day = Annotated[
    date,
    Field(strict=False, ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31), examples=["2027-12-24"]),
]


class Holiday(Body):
    """Days that no weekday's window opens, in the site's local time."""

    name: Name = Field(examples=["Christmas"])
    first: Day
    last: Day
    every_year: bool = Field(default=False, description="The same dates in all years.")
    kinds: Kinds = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> "Holiday":
        if self.last < self.first:
            raise ValueError("last must not lie before first")
        if self.every_year and (self.last - self.first).days >= 365:
            raise ValueError("a holiday of every year must be shorter than a year")
        return self
