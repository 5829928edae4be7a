"""What a run leaves: a JSON file per entry, and one table of them."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.machine import machine, versions
from benchmarks.outcome import MET, MISSED, Outcome
from benchmarks.run import Entry

_COLOURS = {MET: "green", MISSED: "red"}


def write(path: Path, entry: Entry, outcome: Outcome, about: dict[str, Any]) -> None:
    """Write the entry's report. `about` says how this run was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "name": entry.name,
        "title": entry.title,
        "command": f"python -m benchmarks --only {entry.name}{' --quick' if about['quick'] else ''}",
        **about,
        "machine": machine(),
        "versions": versions(),
        "lines": [line.report() for line in outcome.lines],
        "series": {name: series.summary() for name, series in outcome.series.items()},
        "facts": outcome.facts,
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def table(reports: list[dict[str, Any]]) -> Table:
    """All lines of all reports."""
    drawn = Table("entry", "what", title="Latchwork benchmarks", title_justify="left")
    for heading in ("measured", "against", "ratio", "target"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("verdict")
    for report in reports:
        for line in report["lines"]:
            first, last = line is report["lines"][0], line is report["lines"][-1]
            drawn.add_row(report["name"] if first else "", *_cells(line), end_section=last)
    return drawn


def _cells(line: dict[str, Any]) -> tuple[str, ...]:
    unit, against, ratio, at_most = (line[name] for name in ("unit", "against", "ratio", "at_most"))
    colour = _COLOURS.get(line["verdict"], "dim")
    return (
        line["what"],
        f"{number(line['value'])} {unit}",
        "" if against is None else f"{number(against)} {unit} ({line['against_what']})",
        "" if ratio is None else f"{ratio:.2f}",
        "" if at_most is None else f"≤ {at_most:g}",
        f"[{colour}]{line['verdict']}[/{colour}]",
    )


def number(value: float) -> str:
    """Three significant digits, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
