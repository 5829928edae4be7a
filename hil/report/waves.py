"""Draws the signals as a logic analyser does: the whole run, and a close-up of each step that moved one."""

from dataclasses import dataclass
from itertools import pairwise

from hil.report.markup import Markup, el, join
from hil.report.model import Report, Step
from hil.report.scale import milliseconds, offset, tick_label, ticks
from hil.trace.waveforms import Trace, Waveforms

WIDTH = 1200
CLOSE_UP_WIDTH = 400
# A fleet's recording would make a page nobody scrolls: the VCD file has the rest.
MAX_DOORS = 12
MAX_TRACES = 8

_ROW = 26
_HIGH = 16
_CHARACTER = 6.9
_DIGIT = 7.2
_FIELD_NAMES = {"dps": "DPS", "rex": "REX"}
# Changes nearer than this are one stroke: a chattering contact must not make a page of megabytes.
_MIN_PIXELS = 0.5
# A close-up narrower than this shows only jitter.
_MIN_SPAN_MS = 5.0


@dataclass
class _Axis:
    """Maps milliseconds of the run to the picture's units."""

    start: float
    end: float
    left: float
    right: float

    def x(self, ms: float) -> float:
        share = (ms - self.start) / max(self.end - self.start, 1e-9)
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)


@dataclass
class _Door:
    name: str
    traces: list[Trace]


def waveforms(report: Report, recording: Waveforms | None) -> Markup:
    """The overview and the close-ups, or a line that says why there are none."""
    doors = _doors(recording, report) if recording else []
    if recording is None or not doors:
        return el("p", "No signals were recorded.", class_="empty")
    shift = report.recording.offset_ms if report.recording else 0.0
    shown = doors[:MAX_DOORS]
    end = max(report.duration_ms(), shift + recording.end_us / 1000)
    picture = _overview(report, shown, shift, end)
    left_out = len(doors) - len(shown)
    return join(
        el(
            "div",
            picture,
            class_="scroll",
            role="region",
            tabindex=0,
            aria_label="Signals of the whole run, scrolls sideways",
        ),
        el("p", f"{left_out} more in the recording.", class_="empty") if left_out else None,
        _close_ups(report, shown, shift),
    )


def _doors(recording: Waveforms, report: Report) -> list[_Door]:
    """Those of what failed come first."""
    failed = {step.group for step in report.steps if step.group and not step.ok}
    doors: list[_Door] = []
    bad: list[_Door] = []
    for name, traces in recording.scopes().items():
        scope, _, board = name.rpartition(".")
        group = report.scopes.get(scope, scope)
        door = _Door(f"{group}: {board}" if group else board, traces[:MAX_TRACES])
        if board:
            (bad if group in failed else doors).append(door)
    found = bad + doors
    moved = [door for door in found if any(len(trace.times_us) > 1 for trace in door.traces)]
    return moved or found


def _overview(report: Report, doors: list[_Door], shift: float, end: float) -> Markup:
    names = [_name(trace) for door in doors for trace in door.traces]
    gutter = 24 + _CHARACTER * max(len(name) for name in names)
    axis = _Axis(0.0, end, gutter, WIDTH - 12)
    top = 34.0
    body: list[Markup] = []
    y = top
    for door in doors:
        body.append(el("text", door.name, x=0, y=y + 17, class_="door"))
        y += 26
        for trace in door.traces:
            body.append(_row(trace, axis, y, shift, gutter))
            y += _ROW
        y += 10
    height = y + 18
    return el(
        "svg",
        el("title", "Signals of every door over the whole run", id="waves-t"),
        el("desc", _spoken(doors, shift), id="waves-d"),
        _bands(report.steps, axis, y),
        _grid(axis, top - 6, y, 10),
        *body,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby="waves-t waves-d",
    )


def _spoken(doors: list[_Door], shift: float) -> str:
    counts = [
        f"{door.name} {_name(trace)}: {max(0, len(trace.times_us) - 1)} changes"
        for door in doors
        for trace in door.traces
    ]
    return f"Recording from {milliseconds(shift)} of the run. " + "; ".join(counts)


def _name(trace: Trace) -> str:
    name = trace.name.rpartition(".")[2]
    return _FIELD_NAMES.get(name.lower(), name)


def _bands(steps: list[Step], axis: _Axis, bottom: float) -> Markup:
    """Every other step shaded, its number above it; numbers too close to stand apart become a range."""
    shades: list[Markup] = []
    groups: list[tuple[float, int, int]] = []
    room = 0.0
    for number, step in enumerate(steps, 1):
        x, right = axis.x(step.started_ms), axis.x(step.ended_ms)
        if number % 2:
            shades.append(
                el("rect", x=x, y=24.0, width=max(right - x, 0.5), height=bottom - 24, class_="band")
            )
        if groups and x < room:
            groups[-1] = (groups[-1][0], groups[-1][1], number)
        else:
            groups.append((x, number, number))
        room = groups[-1][0] + 10 + _DIGIT * len(_range(*groups[-1][1:]))
    labels = [
        join(
            el("path", d=f"M{x:.1f} 8V{bottom:.1f}", class_="marker"),
            el("text", _range(first, last), x=x + 4, y=17, class_="step-number"),
        )
        for x, first, last in groups
    ]
    return join(*shades, *labels)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}–{last}"


def _grid(axis: _Axis, top: float, bottom: float, most: int) -> Markup:
    marks = ticks(axis.start, axis.end, most)
    step = marks[1] - marks[0] if len(marks) > 1 else max(axis.end - axis.start, 1e-3)
    return join(*(_tick(axis.x(t), tick_label(t, step), axis, top, bottom) for t in marks))


def _tick(x: float, label: str, axis: _Axis, top: float, bottom: float) -> Markup:
    half = len(label) * _CHARACTER / 2
    at = min(max(x, axis.left - 8 + half), axis.right + 10 - half)
    return join(
        el("path", d=f"M{x:.1f} {top:.1f}V{bottom:.1f}", class_="grid"),
        el("text", label, x=at, y=bottom + 15, class_="tick"),
    )


def _row(trace: Trace, axis: _Axis, y: float, shift: float, gutter: float) -> Markup:
    shape = _bus(trace, axis, y, shift) if trace.kind == "string" or trace.width > 1 else None
    return el(
        "g",
        el("text", _name(trace), x=gutter - 10, y=y + 17, class_="trace-name"),
        shape or _levels(trace, axis, y, shift),
        class_=f"trace n-{_class(trace)}",
    )


def _class(trace: Trace) -> str:
    name = trace.name.rpartition(".")[2].lower()
    return name if name in {"relay", "strike", "dps", "rex"} else "other"


def _inside(trace: Trace, axis: _Axis, shift: float) -> list[tuple[float, str]]:
    """What the trace shows from the axis's start on: the level there, then its changes (run ms, value)."""
    first = trace.at((axis.start - shift) * 1000)
    changes = [(axis.start, first)]
    for t_us, value in zip(trace.times_us, trace.values, strict=True):
        ms = t_us / 1000 + shift
        if axis.start < ms <= axis.end:
            changes.append((ms, value))
    return changes


def _levels(trace: Trace, axis: _Axis, y: float, shift: float) -> Markup:
    high, low = y + 5, y + 5 + _HIGH
    level = {"1": high, "0": low}
    known, unknown, filled = "", "", ""
    changes = _inside(trace, axis, shift)
    pen: tuple[float, float] | None = None
    stroke = axis.left - 1
    for (ms, value), (until, _) in pairwise([*changes, (axis.end, "")]):
        x, right = axis.x(ms), axis.x(until)
        if right - x < _MIN_PIXELS and until < axis.end:
            if x - stroke >= _MIN_PIXELS:
                known += f"M{x:.1f} {high:.1f}V{low:.1f}"
                stroke = x
            pen = None
            continue
        at = level.get(value)
        if at is None:
            unknown += f"M{x:.1f} {(high + low) / 2:.1f}H{right:.1f}"
            pen = None
            continue
        known += f"V{at:.1f}H{right:.1f}" if pen and pen[0] == x else f"M{x:.1f} {at:.1f}H{right:.1f}"
        pen = (right, at)
        if value == "1":
            filled += f"M{x:.1f} {high:.1f}H{right:.1f}V{low:.1f}H{x:.1f}z"
    return join(
        el("path", d=filled, class_="fill") if filled else None,
        el("path", d=unknown, class_="unknown") if unknown else None,
        el("path", d=known, class_="level") if known else None,
    )


def _bus(trace: Trace, axis: _Axis, y: float, shift: float) -> Markup:
    high, low = y + 5, y + 5 + _HIGH
    shapes: list[Markup] = []
    for (ms, value), (until, _) in pairwise([*_inside(trace, axis, shift), (axis.end, "")]):
        x, right = axis.x(ms), axis.x(until)
        if not value or right - x < _MIN_PIXELS:
            continue
        shapes.append(el("rect", x=x, y=high, width=right - x, height=low - high, class_="bus"))
        if len(value) * _CHARACTER + 6 < right - x:
            shapes.append(el("text", value, x=x + 5, y=y + 17, class_="bus-value"))
    return join(*shapes)


def _close_ups(report: Report, doors: list[_Door], shift: float) -> Markup | None:
    cards = []
    for number, step in enumerate(report.steps, 1):
        end = step.ended_ms
        moved = [
            (door, times) for door in doors if (times := _changes(door.traces, shift, step.started_ms, end))
        ]
        if moved:
            cards.append(_close_up(number, step, moved, shift))
    if not cards:
        return None
    return join(
        el("h3", "Close-ups", class_="sub"),
        el(
            "p",
            "Each step that moved a signal. Labels are milliseconds from the start of the step.",
            class_="lead",
        ),
        el("div", *cards, class_="close-ups"),
    )


def _changes(traces: list[Trace], shift: float, start: float, end: float) -> list[float]:
    """Run ms of every change within. That a level became known is none: a board was switched on."""
    times = [
        t / 1000 + shift
        for trace in traces
        for t, before in zip(trace.times_us[1:], trace.values, strict=False)
        if before not in {"x", ""}
    ]
    return sorted(t for t in times if start <= t <= end)


def _close_up(number: int, step: Step, moved: list[tuple[_Door, list[float]]], shift: float) -> Markup:
    times = [t for _, door_times in moved for t in door_times]
    first, last = min(times), max(times)
    span = max(last - first, _MIN_SPAN_MS)
    names = [_name(trace) for door, _ in moved for trace in door.traces]
    gutter = 18 + _CHARACTER * max(len(name) for name in names)
    axis = _Axis(first - span * 0.12, first + span * 1.18, gutter, CLOSE_UP_WIDTH - 6)
    body: list[Markup] = []
    y = 4.0
    for door, _ in moved:
        body.append(el("text", door.name, x=0, y=y + 13, class_="door"))
        y += 20
        for trace in door.traces:
            y += 12
            body += [
                _row(trace, axis, y, shift, gutter),
                _edge_labels(trace, axis, y, shift, step.started_ms),
            ]
            y += _ROW
        y += 8
    title = f"{number} · {step.title}"
    picture = el(
        "svg",
        el("title", f"Signals during {title}", id=f"close-{number}-t"),
        _relative_grid(axis, step.started_ms, y),
        *body,
        viewBox=f"0 0 {CLOSE_UP_WIDTH} {y + 22:.0f}",
        role="img",
        aria_labelledby=f"close-{number}-t",
    )
    return el("figure", el("figcaption", el("span", number, class_="number"), step.title), picture)


def _relative_grid(axis: _Axis, origin: float, bottom: float) -> Markup:
    moved = _Axis(axis.start - origin, axis.end - origin, axis.left, axis.right)
    return _grid(moved, 22, bottom, 4)


def _edge_labels(trace: Trace, axis: _Axis, y: float, shift: float, origin: float) -> Markup:
    """When each change came, left out where two would touch."""
    labels: list[Markup] = []
    free = axis.left
    for ms, _ in _inside(trace, axis, shift)[1:]:
        label = offset(ms - origin)
        half = len(label) * 6.2 / 2
        x = min(max(axis.x(ms), axis.left + half), axis.right - half)
        if x - half < free:
            continue
        free = x + half + 5
        labels.append(el("text", label, x=x, y=y + 1, class_="edge"))
    return join(*labels)
