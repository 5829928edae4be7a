"""The power is cut at every single write to the flash of a day at a door."""

from pathlib import Path
from typing import Any

import pytest

from tests.device.power_lanes import cut_everywhere
from tests.device.power_steps import STEPS


@pytest.mark.timeout(300)
async def test_a_power_cut_at_every_write_of_a_scenario_harms_nothing(
    tmp_path: Path, record_property: Any
) -> None:
    record_property("summary", await cut_everywhere(tmp_path, STEPS))
