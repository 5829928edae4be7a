"""The pin maps that docs/hardware.md offers: the firmware takes them, and no pin of them is one of the chip's own."""

import json
import re
from pathlib import Path

from device import pinmap

DOCS = Path(__file__).resolve().parents[1] / "docs"
MAP = (DOCS / "boards" / "esp32-s3.json").read_text()
# Strapping, USB, flash, PSRAM of eight lines, console.
NOT_TO_BE_USED = {0, 3, 19, 20, *range(22, 38), 43, 44, 45, 46}


def test_the_map_of_the_esp32_s3_is_one_and_leaves_the_chip_its_pins() -> None:
    pins = pinmap.parse(MAP)
    assert not {role.number for role in pins.values()} & NOT_TO_BE_USED
    assert pins["relay"].invert is False
    assert pins.keys() >= {"wiegand_d0", "wiegand_buzzer", "osdp_tx", "osdp_de", "row3", "col2"}


def test_the_page_tells_every_pin_of_the_map() -> None:
    told = {
        int(n)
        for row in re.findall(r"^\| (?:`|free).*$", (DOCS / "hardware.md").read_text(), re.M)
        for n in re.findall(r"\d+", row.split("|")[2])
    }
    given = {role.number for role in pinmap.parse(MAP).values()}
    assert given <= told
    free = told - given
    assert len(free) == 4
    assert not free & NOT_TO_BE_USED
    assert json.loads(MAP)["lock"] == "fail_secure"
