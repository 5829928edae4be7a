"""Field types that several resources share: strict, bounded, and described for OpenAPI."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from cloud_api.problems import MEDIA_TYPE

MAX_NAME = 200
_LAST_S = 0xFFFFFFFE  # the last second that a token can name; one more means "never"


class Body(BaseModel):
    """A request body: unknown fields and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _printable(value: str) -> str:
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in value):
        raise ValueError("must not contain control characters")
    return value


def _in_token_range(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must name its UTC offset, for example a trailing Z")
    if not 0 <= value.timestamp() <= _LAST_S:
        raise ValueError("must lie between 1970 and 2106")
    return value.astimezone(UTC)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME),
    AfterValidator(_printable),
    Field(description="For people; any script, no control characters."),
]
Instant = Annotated[datetime, Field(strict=False), AfterValidator(_in_token_range)]


def id_pattern(kind: str) -> str:
    """Regular expression of the ids of one kind."""
    return rf"^{kind}_[0-9a-f]{{16}}$"


SiteId = Annotated[str, Field(pattern=id_pattern("site"), examples=["site_1f3870be274f6c49"])]
DoorId = Annotated[str, Field(pattern=id_pattern("door"), examples=["door_c9f0f895fb98ab91"])]
DeviceId = Annotated[str, Field(pattern=id_pattern("dev"), examples=["dev_8f14e45fceea167a"])]
UserId = Annotated[str, Field(pattern=id_pattern("user"), examples=["user_45c48cce2e2d7fbd"])]
ScheduleId = Annotated[str, Field(pattern=id_pattern("sch"), examples=["sch_d3d9446802a44259"])]
PackageId = Annotated[str, Field(pattern=id_pattern("pkg"), examples=["pkg_a87ff679a2f3e71d"])]

Drift = Annotated[
    int | None,
    Field(
        examples=[60],
        description="How fast the crystal of its board runs, in ppm; null: it has not told.",
    ),
]
DriftUncertainty = Annotated[
    int | None,
    Field(examples=[13], description="To either side, and heat and age counted in; 100: nothing learnt yet."),
]

SitePath = Annotated[str, Path(alias="id", pattern=id_pattern("site"))]
DoorPath = Annotated[str, Path(alias="id", pattern=id_pattern("door"))]
DevicePath = Annotated[str, Path(alias="id", pattern=id_pattern("dev"))]
GatewayPath = Annotated[str, Path(alias="id", pattern=id_pattern("gw"))]
UserPath = Annotated[str, Path(alias="id", pattern=id_pattern("user"))]
CredentialPath = Annotated[str, Path(alias="id", pattern=id_pattern("cred"))]
PackagePath = Annotated[str, Path(alias="id", pattern=id_pattern("pkg"))]
KeyPath = Annotated[str, Path(alias="id", pattern=id_pattern("key"))]
SchedulePath = Annotated[str, Path(alias="id", pattern=id_pattern("sch"))]
AttemptPath = Annotated[str, Path(alias="id", pattern=id_pattern("act"))]
TokenPath = Annotated[str, Path(alias="id", pattern=id_pattern("tok"))]
EventPath = Annotated[str, Path(alias="id", pattern=id_pattern("evt"))]

PROBLEM = {
    "description": "A problem document.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}
