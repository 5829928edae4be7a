"""Shows a run in the terminal: its steps as they happen, and the timeline when it is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hil.report.model import NOT_REACHED, Report, Step

# Drawn from the event loop: a refreshing thread would live through every fork the bench makes.
_FRAME_S = 0.08
STOPPED = "stopped before its end"


class LiveSteps:
    """The steps of a run, shown while they run: `async with live.step(name) as step`.

    `titles` gives the name and title of every step in order. `step` is a `Step` to put `summary` and
    `evidence` into; an exception that leaves the block is recorded as its error and goes on. On a terminal
    the display is redrawn and erased at the end, for `print_timeline` says the same and more; elsewhere each
    step is one line when it ends. `clock` is monotonic seconds.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._console = console or Console()
        self._steps = {
            name: Step(name=name, title=title, ok=False, started_ms=0.0, duration_ms=0.0, error=NOT_REACHED)
            for name, title in titles.items()
        }
        self._running: set[str] = set()
        self._spinner = Spinner("dots", style="yellow")
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, get_renderable=self._render
        )
        self.origin_s = clock()

    def __enter__(self) -> Self:
        self.origin_s = self._clock()
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @property
    def steps(self) -> list[Step]:
        """Every step in order; one that was never begun is not ok."""
        return list(self._steps.values())

    @property
    def ok(self) -> bool:
        return all(step.ok for step in self._steps.values())

    def now_ms(self) -> float:
        """Milliseconds since the run began."""
        return self.at_ms(self._clock())

    def at_ms(self, clock_s: float) -> float:
        """A reading of the same monotonic clock as milliseconds since the run began."""
        return round((clock_s - self.origin_s) * 1000, 3)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[Step]:
        """Run one step: its times, its verdict and its error are recorded when the block is left."""
        step = self._steps[name]
        if step.error != NOT_REACHED:
            raise ValueError(f"step {name!r} has run already")
        step.error = None
        step.started_ms = self.now_ms()
        self._running.add(name)
        frames = asyncio.create_task(self._frames()) if self._live.is_started else None
        try:
            yield step
            step.ok = step.error is None
        except BaseException as error:
            step.error = _said(error)
            raise
        finally:
            step.duration_ms = round(self.now_ms() - step.started_ms, 3)
            self._running.discard(name)
            if frames:
                frames.cancel()
                await asyncio.wait({frames})
            self._show(step)

    async def _frames(self) -> None:
        while True:
            self._live.refresh()
            await asyncio.sleep(_FRAME_S)

    def _show(self, step: Step) -> None:
        if self._live.is_started:
            self._live.refresh()
            return
        number = list(self._steps).index(step.name) + 1
        line = (
            f"[{number}/{len(self._steps)}] {'ok    ' if step.ok else 'FAILED'} {step.duration_ms:9.1f} ms  "
        )
        told = _first_line(step)
        self._console.print(
            line + step.title + (f": {told}" if told else ""), markup=False, highlight=False, soft_wrap=True
        )

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        for step in self._steps.values():
            if step.name in self._running:
                took = f"{self.now_ms() - step.started_ms:,.0f} ms"
                table.add_row(self._spinner, Text(step.title, "bold"), took, Text(step.summary))
            elif step.error == NOT_REACHED:
                table.add_row(Text("·", "dim"), Text(step.title, "dim"), "", "")
            else:
                told = Text(_first_line(step), "red" if step.error else "")
                table.add_row(_mark(step), Text(step.title), f"{step.duration_ms:,.1f} ms", told)
        return table


def _said(error: BaseException) -> str:
    """What an error says; of a group, what its members say: "1 sub-exception" helps nobody."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_said, error.exceptions))
    if isinstance(error, asyncio.CancelledError):
        return STOPPED
    return str(error) or type(error).__name__


def _first_line(step: Step) -> str:
    return (step.error or step.summary).partition("\n")[0]


def _mark(step: Step) -> Text:
    return Text("✓", "green") if step.ok else Text("✕", "bold red")


def timeline(report: Report) -> Table:
    """The steps of a run with their times in milliseconds."""
    table = Table(
        title=escape(report.title),
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", width=1)
    table.add_column("step", overflow="fold")
    table.add_column("from ms", justify="right", no_wrap=True)
    table.add_column("took ms", justify="right", no_wrap=True)
    table.add_column("seen", overflow="fold")
    for step in report.steps:
        if not step.reached:
            table.add_row(Text("·", "dim"), Text(step.title, "dim"), "", "", Text(NOT_REACHED, "dim"))
            continue
        told = Text(_first_line(step), "red" if step.error else "")
        times = (f"{step.started_ms:,.1f}", f"{step.duration_ms:,.1f}")
        table.add_row(_mark(step), Text(step.title), *times, told)
    return table


def print_timeline(report: Report, console: Console | None = None) -> None:
    """Print the timeline, the numbers and the verdict."""
    console = console or Console()
    console.print(timeline(report))
    for number in report.numbers:
        console.print(f"  {number.title}: {number.value:,.6g} {number.unit}", markup=False, highlight=False)
    console.print(
        Text(
            f"{report.verdict()} in {report.duration_ms():,.0f} ms", "bold green" if report.ok else "bold red"
        )
    )
