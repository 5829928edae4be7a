"""Writes the report as one HTML file that needs nothing else: no script, no font, no fetch."""

from importlib.resources import files
from pathlib import Path

from hil.report.markup import Markup, el, join
from hil.report.model import Report
from hil.report.scale import milliseconds
from hil.report.sequence import sequence
from hil.report.steps import step_list
from hil.report.waves import waveforms
from hil.trace.waveforms import Waveforms

# The page holds what devices and people named themselves: even if an escape were missed, nothing may run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render_html(report: Report, recording: Waveforms | None, path: str | Path) -> None:
    """Write the page of `report`, with the waveforms of `recording`."""
    Path(path).write_text(page(report, recording), encoding="utf-8")


def page(report: Report, recording: Waveforms | None) -> str:
    """The page as text."""
    css = Markup(files("hil.report").joinpath("report.css").read_text(encoding="utf-8"))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("title", f"{'Passed' if report.ok else 'Failed'}: {report.title}"),
        el("style", css),
    )
    main = el(
        "main",
        _section("steps", "Steps", step_list(report)),
        _section("sequence", "Who said what", sequence(report)),
        _section("waveforms", "What the doors did", waveforms(report, recording)),
        _section("environment", "Environment", _environment(report)),
    )
    return "<!doctype html>\n" + el("html", head, el("body", _header(report), main), lang="en") + "\n"


def _section(name: str, title: str, *children: Markup) -> Markup:
    return el("section", el("h2", title, id=name), *children, aria_labelledby=name, class_=f"part {name}")


def _header(report: Report) -> Markup:
    return el(
        "header",
        el("p", "Latchwork", class_="brand"),
        el("h1", report.title),
        el(
            "p",
            el(
                "strong",
                ("✓ " if report.ok else "✕ ") + report.verdict(),
                class_="ok" if report.ok else "bad",
            ),
            el("span", milliseconds(report.duration_ms())),
            el(
                "time",
                report.started_at.strftime("%-d %B %Y, %H:%M:%S %Z").strip(),
                datetime=report.started_at.isoformat(),
            ),
            class_="outcome",
        ),
        _numbers(report),
        _contents(),
    )


def _numbers(report: Report) -> Markup | None:
    if not report.numbers:
        return None
    cards = []
    for number in report.numbers:
        shown = milliseconds(number.value) if number.unit == "ms" else f"{number.value:,.10g} {number.unit}"
        figure, _, unit = shown.replace("\u202f", " ").rpartition(" ")
        cards.append(join(el("div", el("dt", number.title), el("dd", figure, el("small", unit)))))
    return el("dl", *cards, class_="numbers")


def _contents() -> Markup:
    places = {
        "steps": "Steps",
        "sequence": "Who said what",
        "waveforms": "What the doors did",
        "environment": "Environment",
    }
    return el(
        "nav", *(el("a", name, href=f"#{place}") for place, name in places.items()), aria_label="Contents"
    )


def _environment(report: Report) -> Markup:
    facts = dict(report.versions)
    if report.recording:
        facts["signal recording"] = report.recording.file
    rows = [el("tr", el("th", name, scope="row"), el("td", version)) for name, version in facts.items()]
    return el("table", el("tbody", *rows)) if rows else el("p", "No versions were recorded.", class_="empty")
