"""The report in a real browser: nothing runs, nothing is fetched, nothing is cut off."""

from pathlib import Path

import pytest

from hil.report import render_html
from tests.hil.browser import browser
from tests.hil.report_sample import sample_recording, sample_report

_SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_PICTURES = "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width > 0).length"


@pytest.mark.parametrize("width", [1280, 390])
async def test_the_report_shows_itself_without_fetching_or_running_anything(
    tmp_path: Path, width: int
) -> None:
    path = tmp_path / "report.html"
    render_html(sample_report(), sample_recording(tmp_path / "door.vcd"), path)
    async with browser(tmp_path / "profile") as page:
        await page.open(path, width)
        assert await page.evaluate(_SIDEWAYS) == 0
        assert await page.evaluate(_PICTURES) >= 4
        assert await page.evaluate("document.title") == "Passed: One door opens, end to end"
        requested = [
            said["request"]["url"] for name, said in page.told if name == "Network.requestWillBeSent"
        ]
        assert requested == [path.as_uri()]
        complaints = [
            said for name, said in page.told if name in ("Log.entryAdded", "Runtime.exceptionThrown")
        ]
        assert complaints == []


async def test_a_step_opens_to_its_evidence(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    render_html(sample_report(), sample_recording(tmp_path / "door.vcd"), path)
    async with browser(tmp_path / "profile") as page:
        await page.open(path, 1280)
        shown = "document.querySelectorAll('details.step')[3].querySelector('.evidence').checkVisibility()"
        assert await page.evaluate(shown) is False
        await page.evaluate("document.querySelectorAll('details.step summary')[3].click()")
        assert await page.evaluate(shown) is True
