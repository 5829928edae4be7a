"""What people can do to an air, as they ask for them: ``DISTURB`` of hil/air/ops.py."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hil.air import ops
from hil.radio.loss import Noise, probability
from hil.radio.path_loss import Position

if TYPE_CHECKING:
    from hil.radio.medium import Medium

Change = Callable[["Medium"], None]


def change(payload: bytes) -> Change:
    """What a DISTURB asks for; raises ValueError, or LookupError for what it leaves out."""
    wanted = json.loads(payload)
    if not isinstance(wanted, dict):
        raise ValueError("a disturbance is an object")
    if "renew" in wanted:
        return lambda medium: medium.expire_addresses()
    return _noise(wanted) if "noise" in wanted else _losses(wanted)


def _losses(wanted: dict[str, Any]) -> Change:
    part, between, seed = probability(float(wanted["lose"])), wanted.get("between"), wanted.get("seed")
    pair = (str(between[0]), str(between[1])) if between else None
    dice = None if seed is None else int(seed)

    def apply(medium: "Medium") -> None:
        if dice is not None:
            medium.losses.reseed(dice)
        medium.lose(part, pair)

    return apply


def _noise(wanted: dict[str, Any]) -> Change:
    place, name = ops.place(wanted["position"]), str(wanted["noise"])
    numbers = {key: float(wanted[key]) for key in ("power", "duty", "share") if key in wanted}
    noise = None if place is None else Noise(Position(*place), **numbers)
    return lambda medium: medium.interfere(name, noise)
