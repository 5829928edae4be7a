"""The power is cut at every write to the flash while a firmware is switched to, tried, kept and given up."""

from pathlib import Path
from typing import Any

import pytest

from tests.device.power_lanes import cut_everywhere
from tests.device.power_update import steps
from tests.device.test_update import Vendor


@pytest.mark.timeout(300)
async def test_a_power_cut_at_every_write_of_an_update_leaves_a_firmware_that_runs(
    tmp_path: Path, record_property: Any
) -> None:
    maker = Vendor(tmp_path)
    told = await cut_everywhere(tmp_path / "boards", steps(maker), firmware=maker.image())
    record_property("summary", told)
