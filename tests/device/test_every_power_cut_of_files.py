"""The power is cut at every single write to the flash while certificates, tables and pins of the broker are renewed."""

from pathlib import Path
from typing import Any

import pytest

from tests.device.power_files import STEPS
from tests.device.power_lanes import cut_everywhere


@pytest.mark.timeout(300)
async def test_a_power_cut_at_every_write_of_what_is_renewed_harms_nothing(
    tmp_path: Path, record_property: Any
) -> None:
    record_property("summary", await cut_everywhere(tmp_path, STEPS, "reader_door"))
