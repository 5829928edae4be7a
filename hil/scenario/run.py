"""Runs the cases of files on one bench, and writes what they ask for: JUnit, HTML, VCD."""

import asyncio
import contextlib
import errno
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from rich.console import Console

from hil.demo.scribe import CLOUD, GATEWAY, MEDIUM, OPERATOR
from hil.report import Number, Recording, Report, render_html
from hil.report.table import LiveSteps
from hil.scenario.api import Scenario
from hil.scenario.bench import Bench, versions
from hil.scenario.junit import write_junit
from hil.scenario.load import Case, ScenarioFile
from hil.scenario.outcome import Outcome, story
from hil.scenario.perform import Misstep, exhaust, perform_one
from hil.scenario.quantities import shown
from hil.scenario.steps import Step
from hil.scenario.verb import StepFailed
from hil.scenario.world import World
from hil.scratch import Scratch
from hil.trace import VcdWriter, read_vcd
from protocol.host.logs import logged_to

SETUP_S = 120.0
STOP_S = 60.0
MAX_SEED = 2**32
_SETUP, _LAPS = "set-up", "laps"


@dataclass
class Options:
    """What the command line asks for."""

    seed: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    junit: Path | None = None
    html: Path | None = None
    vcd: Path | None = None
    keep: bool = False
    timeout: float | None = None
    jobs: int = 1


async def run_files(files: Sequence[ScenarioFile], options: Options, console: Console) -> list[Outcome]:
    """All cases of all files, in their order. Raises OSError for a report that cannot be written."""
    scratch = Scratch("scenario")
    folder = scratch.path
    try:
        with (folder / "bench.log").open("w") as log, logged_to(log):
            return await _Run(files, options, console, folder).run()
    finally:
        if options.keep:
            scratch.keep()
            console.print(f"Files of the run: {folder}", markup=False, highlight=False, soft_wrap=True)
        else:
            scratch.remove()


class _Run:
    def __init__(
        self, files: Sequence[ScenarioFile], options: Options, console: Console, folder: Path
    ) -> None:
        self._cases = [case for file in files for case in file.cases]
        self._options = options
        self._console = console
        self._folder = folder
        self._began_s = time.monotonic()

    async def run(self) -> list[Outcome]:
        started_at = datetime.now(UTC)
        vcd = self._options.vcd or self._folder / "run.vcd"
        traced = self._options.vcd is not None or self._options.html is not None
        with contextlib.ExitStack() as stack:
            start_us = int(self._began_s * 1e6)
            trace = stack.enter_context(VcdWriter(vcd, start_us=start_us)) if traced else None
            bench = Bench(self._folder / "bench", trace=trace)
            bench.scribe.begin(self._began_s)
            async with bench:
                outcomes = await self._all(bench)
            if trace is not None:
                trace.close(time.monotonic_ns() // 1000)
        if self._options.junit is not None:
            write_junit(outcomes, self._options.junit)
        if self._options.html is not None:
            render_html(self._report(bench, outcomes, started_at, vcd), read_vcd(vcd), self._options.html)
        return outcomes

    async def _all(self, bench: Bench) -> list[Outcome]:
        """At most ``jobs`` at once; those that harm the site come after the others, each alone."""
        slots = asyncio.Semaphore(self._options.jobs)

        async def one(case: Case) -> Outcome:
            async with slots:
                outcome = await self._case(bench, case)
                self._tell(outcome)
                return outcome

        if self._options.jobs == 1:
            return [await one(case) for case in self._cases]
        together = [case for case in self._cases if not case.is_alone]
        async with asyncio.TaskGroup() as group:
            tasks = {id(case): group.create_task(one(case)) for case in together}
        done = {number: task.result() for number, task in tasks.items()}
        done |= {id(case): await one(case) for case in self._cases if case.is_alone}
        return [done[id(case)] for case in self._cases]

    async def _case(self, bench: Bench, case: Case) -> Outcome:
        seed = self._seed(case)
        values = {**self._options.settings, **{name: str(value) for name, value in case.varied.items()}}
        outcome = Outcome(case.title, case.path, seed, values)
        several = self._options.jobs > 1
        live = LiveSteps(_titles(case), Console(file=StringIO()) if several else self._console)
        outcome.scope = bench.scope(case.title) if several and bench.trace is not None else ""
        world = World(bench, case.header, case.path.parent, seed, scope=outcome.scope)
        try:
            with live:
                await self._through(world, case, live, outcome)
        except Exception as error:  # every kind of failure is told alike
            _judge(outcome, error, _failed(case, live))
            outcome.consoles = {name: unit.target.console.text for name, unit in world.units.items()}
        finally:
            await _stopped(world, outcome)
        outcome.steps = live.steps
        _witness(outcome)
        offset = (live.origin_s - self._began_s) * 1000
        for step in outcome.steps:
            step.lifelines = _lifelines(case)
            step.started_ms = round(step.started_ms + offset, 3)
        return outcome

    async def _through(self, world: World, case: Case, live: LiveSteps, outcome: Outcome) -> None:
        began = time.monotonic()
        async with live.step(_SETUP), _within(SETUP_S, "set-up"):
            await world.start()
        ready = time.monotonic()
        outcome.setup_s = ready - began
        limit = self._options.timeout or case.header.timeout
        try:
            async with _within(limit, "steps"):
                await _unless_crashed(world, _steps(world, case, live))
        finally:
            outcome.steps_s = time.monotonic() - ready

    def _seed(self, case: Case) -> int:
        for seed in (self._options.seed, case.header.seed):
            if seed is not None:
                return seed
        return secrets.randbelow(MAX_SEED)

    def _tell(self, outcome: Outcome) -> None:
        style = "green" if outcome.passed else "bold red"
        self._console.print(outcome.line(), style=style, markup=False, highlight=False, soft_wrap=True)
        for line in [] if outcome.passed else outcome.failure():
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _report(self, bench: Bench, outcomes: list[Outcome], started_at: datetime, vcd: Path) -> Report:
        one = len(outcomes) == 1
        titles = _apart(outcomes)
        steps = []
        for number, outcome in enumerate(outcomes, 1):
            for step in outcome.steps:
                group = "" if one else titles[number - 1]
                steps.append(step.model_copy(update={"name": f"{number}-{step.name}", "group": group}))
        numbers = [Number(title="Set-up", value=round(sum(o.setup_s for o in outcomes) * 1000, 1))]
        numbers.append(Number(title="Steps", value=round(sum(o.steps_s for o in outcomes) * 1000, 1)))
        return Report(
            title=outcomes[0].title if one else f"{len(outcomes)} scenarios",
            started_at=started_at,
            ended_at=datetime.now(UTC),
            ok=all(outcome.passed for outcome in outcomes),
            versions={**versions(), **_seeds(dict(zip(titles, outcomes, strict=True)))},
            steps=steps,
            lifelines=[*dict.fromkeys(bench.door_names.values()), GATEWAY, CLOUD, OPERATOR],
            messages=story(bench.scribe.messages, outcomes),
            numbers=numbers,
            recording=Recording(file=vcd.name, offset_ms=0.0),
            scopes={o.scope: title for title, o in zip(titles, outcomes, strict=True) if o.scope},
        )


def _lifelines(case: Case) -> list[str]:
    site = [GATEWAY, CLOUD, OPERATOR] if case.header.has_site else []
    return [*case.header.boards, *case.header.phones, *site, MEDIUM]


def _apart(outcomes: list[Outcome]) -> list[str]:
    """Their titles, with the file's name where two have the same."""
    often = Counter(outcome.title for outcome in outcomes)
    return [o.title if often[o.title] == 1 else f"{o.title} ({o.path.name})" for o in outcomes]


def _seeds(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """One line if they all had the same."""
    seeds = {title: str(outcome.seed) for title, outcome in outcomes.items()}
    if len(set(seeds.values())) == 1:
        return {"seed": next(iter(seeds.values()))}
    return {f"seed of {title}": seed for title, seed in seeds.items()}


class Overtime(Exception):
    """The scenario's own time is over."""


@contextlib.asynccontextmanager
async def _within(limit: float, what: str):  # type: ignore[no-untyped-def]
    """Overtime, but not for a time-out of what is inside."""
    try:
        async with asyncio.timeout(limit) as clock:
            yield
    except TimeoutError:
        if clock.expired():
            raise Overtime(f"the {what} took longer than {shown(limit)}") from None
        raise


def _titles(case: Case) -> dict[str, str]:
    first = {_SETUP: "set up"}
    if case.header.exhaustive is not None:
        return {
            **first,
            _LAPS: f"{case.header.exhaustive.fault} at every write of: {case.steps[0].title} ...",
        }
    return {**first, **{str(number): step.title for number, step in enumerate(case.steps, 1)}}


async def _steps(world: World, case: Case, live: LiveSteps) -> None:
    scenario = Scenario(world)
    about = case.header.exhaustive
    if about is not None:
        async with live.step(_LAPS) as shown_step:
            await exhaust(scenario, world, case, about, shown_step)
        return
    for number, step in enumerate(case.steps, 1):
        async with live.step(str(number)):
            await perform_one(scenario, step)


def _failed(case: Case, live: LiveSteps) -> str:
    """The step that failed or was stopped; empty if it is none of the file's."""
    wrong = {step.name for step in live.steps if step.reached and not step.ok}
    return next((_place(step) for number, step in enumerate(case.steps, 1) if str(number) in wrong), "")


def _place(step: Step) -> str:
    return f"line {step.line}: {step.title}"


async def _unless_crashed(world: World, work) -> None:  # type: ignore[no-untyped-def]
    """Do it, unless a VM crashes meanwhile."""
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait((working, world.crashed), return_when=asyncio.FIRST_COMPLETED)
        if world.crashed.done():
            raise StepFailed("VMs that run", world.crashed.result())
        await working
    finally:
        working.cancel()
        await asyncio.wait((working,))


async def _stopped(world: World, outcome: Outcome) -> None:
    """What does not end in time is told, and ends with the bench."""
    try:
        async with _within(STOP_S, "end of the boards"):
            await world.stop()
    except Overtime as error:
        if outcome.passed:
            outcome.verdict, outcome.seen = "error", str(error)


def _witness(outcome: Outcome) -> None:
    """Put what a failure leaves behind to the step that failed, for the report."""
    failed = next((step for step in outcome.steps if step.reached and not step.ok), None)
    if outcome.passed or failed is None:
        return
    failed.error = outcome.reason() if outcome.verdict == "timeout" else failed.error
    consoles = {f"console of {name}": "\n".join(end) or None for name, end in outcome.ends().items()}
    failed.evidence |= {**consoles, "the same again": outcome.again}


def _judge(outcome: Outcome, error: BaseException, where: str) -> None:
    """Put an exception into words; ``where`` it was, unless it knows better."""
    outcome.where = where
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Misstep):
        outcome.verdict, outcome.where = "failed", _place(error.step)
        outcome.expected, outcome.seen = error.cause.expected, error.cause.seen
    elif isinstance(error, StepFailed):
        outcome.verdict, outcome.expected, outcome.seen = "failed", error.expected, error.seen
    elif isinstance(error, Overtime):
        outcome.verdict, outcome.seen = "timeout", str(error)
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        outcome.verdict, outcome.seen = (
            "error",
            f"the disk is full ({error.filename or tempfile.gettempdir()})",
        )
    else:
        outcome.verdict, outcome.seen = "error", f"{type(error).__name__}: {error}"
