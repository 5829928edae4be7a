"""``python -m benchmarks``: measure, write a JSON file per entry, print one table.

Each entry has a process of its own, so that none measures what another left behind. A missed target is marked; only
what could not be measured makes the exit status 1.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.entries import ENTRIES
from benchmarks.report import table
from benchmarks.run import Entry

OUT = Path("out/bench")
WIDTH = 150

app = typer.Typer(add_completion=False)
# A log has no width of its own; without one a row would be broken into ten.
console = Console(width=None if sys.stdout.isatty() else WIDTH)


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="Run this entry; may be repeated.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the samples: does it run at all?")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the JSON files.")] = OUT,
    show_list: Annotated[bool, typer.Option("--list", help="Name the entries and stop.")] = False,
) -> None:
    """Measure Latchwork on this machine, each number against a limit or a peer of the same run."""
    if show_list:
        for entry in ENTRIES.values():
            console.print(f"{entry.name:20} {entry.title}", highlight=False)
        return
    unknown = sorted(set(only or ()) - ENTRIES.keys())
    if unknown:
        raise typer.BadParameter(f"no such entry: {', '.join(unknown)}", param_hint="--only")
    chosen = [entry for entry in ENTRIES.values() if not only or entry.name in only]
    found = [(entry, _measure(entry, quick, out)) for entry in chosen]
    console.print(table([report for _, report in found if report is not None]))
    missing = [entry.name for entry, report in found if report is None]
    if missing:
        console.print(f"[red]could not be measured: {', '.join(missing)}[/red]")
        raise typer.Exit(1)


def _measure(entry: Entry, quick: bool, out: Path) -> dict[str, Any] | None:
    """What the entry reported, or None if it could not be measured; it says itself why."""
    path = out / f"{entry.name}.json"
    path.unlink(missing_ok=True)
    options = ["--quick"] if quick else []
    ended = subprocess.run([sys.executable, "-m", "benchmarks.one", entry.name, str(path), *options])
    if ended.returncode or not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    return report


if __name__ == "__main__":
    app()
