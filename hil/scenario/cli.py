"""``latchwork scenario``: run, check and describe scenarios."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hil.scenario.load import ScenarioFile

app = typer.Typer(
    no_args_is_help=True, help="Run scenarios: YAML files of steps on boards, phones, gateway and cloud."
)

SHIPPED = Path(__file__).resolve().parents[1] / "scenarios"
LOG_WIDTH = 130
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenarios, or folders of them.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
]


@app.command()
def run(
    files: Files,
    seed: Annotated[
        int | None, typer.Option(min=0, help="What faults are drawn from; the same seed draws the same.")
    ] = None,
    settings: Settings = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures.")] = None,
    vcd: Annotated[Path | None, typer.Option(help="Write the waveforms of all pins.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds for the steps, in place of the file's.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=1, max=16, help="Run so many at once, where they do not harm each other."
        ),
    ] = 1,
    keep: Annotated[bool, typer.Option(help="Keep flash, logs and consoles, and say where.")] = False,
) -> None:
    """Run scenarios on one bench.

    Exit code: 0 all passed, 1 one failed, 2 a file or an option is wrong, 42 a scenario's time was over.
    """
    from rich.console import Console

    from hil.scenario.outcome import exit_code
    from hil.scenario.run import Options, run_files

    loaded = _all(files, settings)
    _writable([path for path in (junit, html, vcd) if path is not None])
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    options = Options(seed, _settings(settings or []), junit, html, vcd, keep, timeout, jobs)
    try:
        outcomes = asyncio.run(run_files(loaded, options, console))
    except OSError as error:
        typer.echo(f"latchwork: {error.filename or 'scenario'}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
    failed = sum(not outcome.passed for outcome in outcomes)
    if len(outcomes) > 1:
        typer.echo(f"{len(outcomes) - failed} passed, {failed} failed")
    raise typer.Exit(exit_code(outcomes))


@app.command()
def lint(files: Files, settings: Settings = None) -> None:
    """Look for mistakes without running anything. Each is told as FILE:LINE:COLUMN. Exit code 2 if there is one."""
    for file in _all(files, settings):
        cases = f", {len(file.cases)} cases" if len(file.cases) > 1 else ""
        typer.echo(f"{file.path}: {file.header.name}{cases}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenarios, for editors."""
    from hil.scenario.schema import schema as whole

    typer.echo(json.dumps(whole(), indent=2))


@app.command(name="list")
def list_() -> None:
    """List the scenarios that come with the bench."""
    for file in _all([SHIPPED]):
        typer.echo(f"{_short(file.path)}\n    {file.header.name}. {' '.join(file.header.about.split())}")


def _short(path: Path) -> str:
    """From here, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _settings(given: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise _refused(f"--set {item}: write NAME=VALUE")
        values[name] = value
    return values


def _all(files: list[Path], settings: list[str] | None = None) -> "list[ScenarioFile]":
    """Every file loaded; all mistakes of all files are told before it ends."""
    from hil.scenario.document import ScenarioError
    from hil.scenario.load import load

    values = _settings(settings or [])
    paths = [path for file in files for path in (sorted(file.glob("*.yaml")) if file.is_dir() else [file])]
    if not paths:
        raise _refused("no scenario in these folders: they hold no *.yaml")
    found, wrong = [], []
    for path in paths:
        try:
            found.append(load(path, values))
        except ScenarioError as error:
            wrong.append(str(error))
    if wrong:
        typer.echo("\n".join(wrong), err=True)
        raise typer.Exit(2)
    return found


def _writable(paths: list[Path]) -> None:
    """A report that cannot be written is told before the run."""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.open("a").close()
        except OSError as error:
            raise _refused(f"{path}: {error.strerror}") from None


def _refused(message: str) -> typer.Exit:
    typer.echo(f"latchwork: {message}", err=True)
    return typer.Exit(2)
