"""The power is cut at every single write to the flash of a day at a door."""

from pathlib import Path
from typing import Any

from tests.device.power_lanes import cut_everywhere
from tests.device.power_steps import STEPS


async def test_a_power_cut_at_every_write_of_a_scenario_harms_nothing(
    tmp_path: Path, record_property: Any
) -> None:
    record_property("summary", await cut_everywhere(tmp_path, STEPS))
