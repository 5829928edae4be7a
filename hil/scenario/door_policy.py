"""What the API would refuse of a door's policy, told before anything runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from hil.rig.hints import near
from hil.scenario.matching import names_in
from hil.scenario.plain import plain


def refused(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Fields, and what is wrong with them. What a run fills in, ``{name}``, may be anything."""
    from cloud_api.routes.door_policy import DoorPolicy  # half a second, which most files need not

    known = DoorPolicy.model_fields
    yield from (
        (name, f"no field {name} of a door{near(name, known)}") for name in fields if name not in known
    )
    said = {name: value for name, value in fields.items() if name in known and not any(names_in(value))}
    try:
        DoorPolicy.model_validate(said)
    except ValidationError as error:
        for issue in error.errors(include_url=False):
            yield str(issue["loc"][0]), f"{issue['loc'][0]}: {plain(issue)}"
