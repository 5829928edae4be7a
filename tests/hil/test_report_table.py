"""The run in the terminal: every step is timed and judged, with and without a terminal."""

import asyncio
import io

import pytest
from rich.console import Console

from hil.report.table import LiveSteps, print_timeline
from tests.hil.report_sample import sample_report

_TITLES = {"open": "Open the door", "close": "Close the door", "wait": "Wait"}


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=100), out


async def test_steps_are_timed_and_hold_what_the_run_put_in() -> None:
    clock = _Clock()
    console, _ = _console()
    with LiveSteps(_TITLES, console, clock) as live:
        clock.now += 0.25
        async with live.step("open") as step:
            step.summary = "relay energised"
            step.evidence["relay_ms"] = 7.3
            clock.now += 0.0125
    opened = live.steps[0]
    assert (opened.ok, opened.started_ms, opened.duration_ms) == (True, 250.0, 12.5)
    assert opened.evidence == {"relay_ms": 7.3}
    assert live.at_ms(100.5) == 500.0


async def test_a_failure_is_recorded_and_goes_on() -> None:
    console, out = _console()
    with LiveSteps(_TITLES, console) as live:
        with pytest.raises(TimeoutError):
            async with live.step("open"):
                raise TimeoutError
        with pytest.raises(RuntimeError):
            async with live.step("close"):
                raise RuntimeError("the [bold]bolt[/bold] jammed\nat 3 mm")
    assert [step.error for step in live.steps] == [
        "TimeoutError",
        "the [bold]bolt[/bold] jammed\nat 3 mm",
        "not reached",
    ]
    assert not live.ok
    assert "[2/3] FAILED" in out.getvalue()
    assert "the [bold]bolt[/bold] jammed\n" in out.getvalue()


async def test_a_step_that_sets_its_own_error_failed() -> None:
    console, _ = _console()
    with LiveSteps({"open": "Open"}, console) as live:
        async with live.step("open") as step:
            step.error = "the relay did not move"
    assert not live.steps[0].ok


async def test_a_cancelled_step_is_recorded_and_stays_cancelled() -> None:
    console, _ = _console(terminal=True)
    begun = asyncio.Event()

    async def run(live: LiveSteps) -> None:
        async with live.step("open"):
            begun.set()
            await asyncio.Event().wait()

    with LiveSteps(_TITLES, console) as live:
        task = asyncio.create_task(run(live))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert live.steps[0].error == "stopped before its end"


async def test_without_a_terminal_each_step_is_one_plain_line() -> None:
    console, out = _console()
    with LiveSteps(_TITLES, console) as live:
        for name in _TITLES:
            async with live.step(name) as step:
                step.summary = f"{name} " + "seen " * 40
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("[2/3] ok ")
    assert "\x1b" not in out.getvalue()
    assert live.ok


class _Screen(io.StringIO):
    """A terminal that tells when it was redrawn a few times."""

    def __init__(self) -> None:
        super().__init__()
        self.redrawn = asyncio.Event()

    def write(self, text: str) -> int:
        if self.getvalue().count("Open the door") >= 3:
            self.redrawn.set()
        return super().write(text)


async def test_on_a_terminal_a_running_step_is_redrawn_until_it_ends() -> None:
    out = _Screen()
    console = Console(file=out, force_terminal=True, width=100)
    with LiveSteps(_TITLES, console) as live:
        async with live.step("open"):
            await asyncio.wait_for(out.redrawn.wait(), 10)
    assert "Open the door" in out.getvalue()


async def test_a_step_runs_once() -> None:
    console, _ = _console()
    with LiveSteps(_TITLES, console) as live:
        async with live.step("open"):
            pass
        with pytest.raises(ValueError, match="has run already"):
            async with live.step("open"):
                pass
        with pytest.raises(KeyError):
            async with live.step("unknown"):
                pass


async def test_a_step_that_a_group_of_errors_ended_tells_each_of_them() -> None:
    console, out = _console()
    with LiveSteps(_TITLES, console) as live, pytest.raises(ExceptionGroup):
        async with live.step("open"):
            raise ExceptionGroup("tasks", [OSError("no route"), TimeoutError()])
    assert live.steps[0].error == "no route; TimeoutError"
    assert "no route" in out.getvalue()


@pytest.mark.parametrize("ok", [True, False])
def test_the_timeline_tells_every_step_its_times_and_the_verdict(ok: bool) -> None:
    console, out = _console()
    report = sample_report(ok)
    report.title = report.steps[0].title = "[red]not markup[/red]"
    print_timeline(report, console)
    text = out.getvalue()
    assert text.count("[red]not markup[/red]") == 2
    assert "13,980.0" in text
    assert "5.82 ms" in text
    assert ("10 steps passed" if ok else "1 of 10 steps failed") in text
