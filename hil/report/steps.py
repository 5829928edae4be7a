"""Draws the steps: where each lay in the run, how long it took, and what was seen."""

from pydantic import JsonValue

from hil.report.markup import Markup, el, join
from hil.report.model import Report, Step
from hil.report.scale import milliseconds, moment, tick_label, ticks

# A bar must be seen and hit even where its step took a thousandth of the run.
_MIN_WIDTH_PERCENT = 0.6


def step_list(report: Report) -> Markup:
    """The steps as a list that opens to the evidence; a failed one stands open."""
    if not report.steps:
        return el("p", "No step was begun.", class_="empty")
    whole = max(report.duration_ms(), 1e-3)
    groups: dict[str, list[Markup]] = {}
    steps: dict[str, list[Step]] = {}
    for number, step in enumerate(report.steps, 1):
        groups.setdefault(step.group, []).append(el("li", _step(number, step, whole)))
        steps.setdefault(step.group, []).append(step)
    items = [
        item
        for name, inner in groups.items()
        for item in ([el("li", _group(name, steps[name], inner, whole))] if name else inner)
    ]
    return join(_axis(whole), el("ol", *items, class_="steps"))


def _axis(whole: float) -> Markup:
    marks = ticks(0.0, whole, 5)
    step = marks[1] - marks[0] if len(marks) > 1 else whole
    labels = [
        el("span", tick_label(mark, step), style=f"left:{100 * mark / whole:.2f}%")
        for mark in marks
        if mark / whole < 0.95
    ]
    return el("div", el("div", *labels), class_="steps-axis", aria_hidden="true")


def _group(name: str, steps: list[Step], items: list[Markup], whole: float) -> Markup:
    """Steps that belong together, as one line that opens to them; one with a failure stands open."""
    ok = all(step.ok for step in steps)
    began = min(step.started_ms for step in steps)
    took = max(step.ended_ms for step in steps) - began
    told = f"{len(steps)} steps" if len(steps) > 1 else "1 step"
    summary = _line("", name, told, began, took, whole, ok)
    return el(
        "details", summary, el("ol", *items), open=not ok, class_="step group" if ok else "step group failed"
    )


def _step(number: int, step: Step, whole: float) -> Markup:
    told = step.error.partition("\n")[0] if step.error else step.summary
    summary = _line(str(number), step.title, told, step.started_ms, step.duration_ms, whole, step.ok)
    return el(
        "details", summary, _evidence(step), open=not step.ok, class_="step" if step.ok else "step failed"
    )


def _line(number: str, title: str, told: str, began: float, took: float, whole: float, ok: bool) -> Markup:
    """A bar that says when in the run it was, between what it was and how it ended."""
    left = min(100 * began / whole, 100 - _MIN_WIDTH_PERCENT)
    width = min(max(100 * took / whole, _MIN_WIDTH_PERCENT), 100 - left)
    return el(
        "summary",
        el("span", number, class_="number"),
        el(
            "span",
            el("span", title, class_="step-title"),
            el("span", told, class_="step-summary") if told else None,
            class_="step-text",
        ),
        el("span", el("i", style=f"left:{left:.2f}%;width:{width:.2f}%"), class_="bar", aria_hidden="true"),
        el("span", milliseconds(took), class_="duration"),
        verdict(ok),
    )


def verdict(ok: bool) -> Markup:
    """A mark that does not rest on its colour alone."""
    return el("span", "✓ ok" if ok else "✕ failed", class_="verdict ok" if ok else "verdict bad")


def _evidence(step: Step) -> Markup:
    facts: dict[str, JsonValue] = {"started": f"{moment(step.started_ms)} into the run"}
    return el(
        "div",
        el("p", step.error, class_="error") if step.error and "\n" in step.error else None,
        value({**facts, **step.evidence}),
        class_="evidence",
    )


def value(item: JsonValue) -> Markup:
    """Any JSON value as definition lists, lists and plain text."""
    if isinstance(item, dict):
        pairs = [join(el("dt", key.replace("_", " ")), el("dd", value(inner))) for key, inner in item.items()]
        return el("dl", *pairs) if pairs else el("span", "none", class_="none")
    if isinstance(item, list):
        return el("ul", *(el("li", value(i)) for i in item)) if item else el("span", "none", class_="none")
    if item is None:
        return el("span", "none", class_="none")
    if isinstance(item, bool):
        return el("code", "yes" if item else "no")
    return el("code", f"{item:,.3f}".rstrip("0").rstrip(".") if isinstance(item, float) else str(item))
