"""``latchwork fleet``."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hil.fleet.report import FleetReport, Spread, Unlocks
from hil.scratch import Scratch

if TYPE_CHECKING:
    from hil.fleet.fleet import OnProgress
    from hil.fleet.plan import Plan

PHASES = {
    "provision": "provision",
    "ramp": "switch on, connect",
    "idle": "measure the idle fleet",
    "hold": "hold: people at the doors (s)",
    "chaos": "chaos: boards without power",
    "return": "chaos: sessions again",
}
_TENTH = 10
LOG_WIDTH = 130  # of a table in a file


def fleet(
    devices: Annotated[int, typer.Option(min=1, max=20_000, help="How many boards.")] = 100,
    hold: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds with people at the doors.")] = 10.0,
    ramp: Annotated[
        float, typer.Option(min=0, help="Boards switched on per second; 0: as fast as they connect.")
    ] = 0.0,
    unlocks: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Unlocks per second while it holds.")
    ] = 5.0,
    chaos: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of the boards that lose their power while gateway and cloud are killed; 0: no chaos.",
        ),
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Which doors, which boards, and when.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    keep: Annotated[
        Path | None, typer.Option("--dir", help="Keep consoles, logs and databases in this new folder.")
    ] = None,
) -> None:
    """Run thousands of boards with the real firmware, each with a certificate of its own, against one site.

    Starts a cloud and a gateway, provisions every board over its console, and then: **ramp** switches all on until the cloud
    has the record of each board's boot; **idle** measures memory and processor time; **hold** has people at random doors, half
    of them by Bluetooth, half through the cloud; **chaos** takes the power of some boards and kills gateway and cloud, until all
    boards have a session again. At the end, every record that a board made must be in the cloud.

    Exit code 0 if all boards connected, every unlock was granted, and nothing was lost; 1 if not; 2 if the machine has no room
    for so many.

        latchwork fleet --devices 1000 --hold 30
        latchwork fleet --devices 50 --ramp 5 --chaos 0 --json > fleet.json
    """
    from hil.fleet.plan import NoRoom, Plan
    from hil.stack.service import ServiceError
    from protocol.host.logs import log_json

    log_json(level=logging.ERROR)
    plan = Plan(devices, hold, ramp, unlocks, chaos, seed)
    try:
        with _folder(keep) as folder:
            report = asyncio.run(_run(plan, folder))
    except (NoRoom, ServiceError, OSError) as error:
        typer.echo(f"latchwork: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH, highlight=False)
        for part in (_table(report), *_verdict(report)):
            console.print(part)
    raise typer.Exit(0 if report.ok else 1)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with Scratch("fleet") as scratch:
            yield scratch.path
        return
    if keep.exists() and any(keep.iterdir()):
        raise FileExistsError(f"{keep} is not empty: choose a new folder")
    keep.mkdir(parents=True, exist_ok=True, mode=0o700)
    yield keep


async def _run(plan: "Plan", folder: Path) -> FleetReport:
    from hil.fleet.fleet import Fleet

    with _shown() as say:
        async with Fleet.built(plan, folder, say) as fleet:
            return await fleet.run()


class _Lines:
    """Progress where there is no terminal: a line at each tenth."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def say(self, phase: str, done: int, of: int) -> None:
        tenth = _TENTH * done // max(1, of)
        if self._told.get(phase) != tenth:
            self._told[phase] = tenth
            print(f"{PHASES[phase]}: {done} of {of}", file=sys.stderr, flush=True)


class _Bars:
    """Progress on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks = {
            phase: progress.add_task(text, total=None, visible=False) for phase, text in PHASES.items()
        }

    def say(self, phase: str, done: int, of: int) -> None:
        self._progress.update(self._tasks[phase], completed=done, total=max(1, of), visible=True)


@contextmanager
def _shown() -> "Iterator[OnProgress]":
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines().say
        return
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress).say


def _table(report: FleetReport) -> Table:
    table = Table(title=f"{report.devices} boards, seed {report.seed}", title_justify="left")
    table.add_column("what")
    table.add_column("n", justify="right")
    for name in ("p50", "p90", "p99", "worst"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    for phase, reached in (
        ("power-on to connected", report.ramp),
        ("the same, amid the chaos", report.chaos),
    ):
        if reached is not None:
            _row(table, phase, reached.seconds, 2)
            table.add_row(
                "    until the last of them", str(reached.connected), "", "", "", f"{reached.took_s:.2f}", "s"
            )
    if report.returned is not None:
        returned = report.returned
        what = "outage over until all have a session"
        table.add_row(what, str(returned.connected), "", "", "", f"{returned.took_s:.2f}", "s")
    for kind, unlocks in (
        ("unlock through the cloud", report.remote),
        ("unlock by Bluetooth", report.bluetooth),
    ):
        if unlocks is not None:
            _row(table, kind, unlocks.took, 0)
    if report.idle is not None:
        idle = report.idle
        _row(table, "memory of a board's VM (PSS)", idle.vm_kib, 0)
        _mean(table, "    and in the bench", report.devices, f"{idle.bench_kib:,.0f}", "KiB")
        _row(table, "processor time of an idle board's VM", idle.vm_cpu, 3)
        _mean(table, "    and in the bench", report.devices, f"{idle.bench_cpu:.3f}", "ms/s")
        for name, cpu in idle.servers_cpu.items():
            _mean(table, f"processor time of the {name}", 1, f"{cpu:.1f}", "ms/s")
    return table


def _row(table: Table, what: str, spread: Spread | None, digits: int) -> None:
    if spread is None:
        table.add_row(what, "0")
        return
    values = (spread.p50, spread.p90, spread.p99, spread.worst)
    table.add_row(what, str(spread.n), *(f"{value:,.{digits}f}" for value in values), spread.unit)


def _mean(table: Table, what: str, n: int, value: str, unit: str) -> None:
    table.add_row(what, str(n), value, "", "", "", unit)


def _verdict(report: FleetReport) -> Iterator[str]:
    """What went wrong, or that nothing did."""
    yield f"provisioned in {report.provisioned_s:.0f} s"
    if report.chaos_faults:
        yield "chaos: " + ", ".join(report.chaos_faults)
    if report.error:
        yield f"[red]given up: {escape(report.error)}[/red]"
    for why, count in report.not_started.items():
        yield f"[red]{count} boards did not start: {escape(why)}[/red]"
    for phase, reached in (
        ("switched on", report.ramp),
        ("without power in the chaos", report.chaos),
        ("after the outage", report.returned),
    ):
        if reached is not None and reached.connected < reached.boards:
            names = ", ".join(reached.missing)
            yield f"[red]{phase}: {reached.boards - reached.connected} of {reached.boards} did not connect: {names}, …[/red]"
    for kind, unlocks in (("through the cloud", report.remote), ("by Bluetooth", report.bluetooth)):
        yield from _refused(kind, unlocks)
    if report.lost:
        yield f"[red]{report.lost} records of boards are not in the cloud[/red]"
    if report.ok:
        yield "[green]passed: all connected, every unlock granted, no record lost[/green]"
    else:
        yield "[red]failed[/red]"


def _refused(kind: str, unlocks: Unlocks | None) -> Iterator[str]:
    if unlocks is not None and unlocks.failed:
        told = ", ".join(f"{count} x {why}" for why, count in unlocks.failed.items())
        yield f"[red]unlocks {kind} that failed: {told}[/red]"
