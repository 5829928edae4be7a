"""Draws who said what to whom: lifelines as columns, one row per message, long silences folded."""

from dataclasses import dataclass

from hil.report.markup import Markup, el, join
from hil.report.model import Kind, Message, Report, Step
from hil.report.scale import milliseconds, moment, offset

WIDTH = 1200
_TIME_GUTTER = 96
_KIND_GUTTER = 76
# A silence longer than this is drawn as a fold, whatever its length.
_FOLD_MS = 400.0
_ROW = 30
_FOLD_ROW = 28
_TOP = 28
_BOTTOM = 16
# Wide enough for a system font that runs wide: a label must not leave the picture.
_CHARACTER = 6.9
_LONGEST_LABEL = 72
_HEAD_LEAST, _HEAD_MOST = 8.0, 12.5
_HEAD_CHARACTER = 0.78  # of the font's size
_HEAD_EDGES = 20

KIND_NAMES: dict[Kind, str] = {
    "ble": "Bluetooth",
    "mqtt": "MQTT",
    "http": "HTTPS",
    "ws": "WebSocket",
    "console": "console",
    "pin": "wiring",
    "fault": "fault",
}


@dataclass
class _Row:
    y: float
    message: Message
    # The silence before this row if it is folded, and the height of the fold's middle.
    silence_ms: float = 0.0
    fold_y: float = 0.0


def column_x(index: int, count: int) -> float:
    """The middle of a lifeline's column in the picture's own units."""
    return _TIME_GUTTER + (index + 0.5) * (WIDTH - _TIME_GUTTER - _KIND_GUTTER) / count


def sequence(report: Report) -> Markup:
    """The whole timeline: the heads of the lifelines, then one picture per step."""
    columns = report.columns()
    if not columns:
        return el("p", "No messages were recorded.", class_="empty")
    numbers = {step.name: number for number, step in enumerate(report.steps, 1)}
    acts = [
        _act(index, step, numbers.get(step.name if step else "", 0), messages, columns)
        for index, (step, messages) in enumerate(report.messages_by_step())
    ]
    return join(_legend(report), el("div", _heads(columns), *acts, class_="sequence"))


def _heads(columns: list[str]) -> Markup:
    width = (WIDTH - _TIME_GUTTER - _KIND_GUTTER) / len(columns)
    heads = [
        el(
            "span",
            el("b", name, style=f"font-size:{_head_size(name, width):.1f}px"),
            style=f"left:{100 * column_x(i, len(columns)) / WIDTH:.3f}%;width:{100 * width / WIDTH:.3f}%",
        )
        for i, name in enumerate(columns)
    ]
    return el("div", el("div", *heads), class_="heads", aria_hidden="true")


def _head_size(name: str, width: float) -> float:
    """Pixels at which the longest word of a name fits its column, but not so few that nobody can read it."""
    longest = max(map(len, name.split()), default=1)
    return max(_HEAD_LEAST, min(_HEAD_MOST, (width - _HEAD_EDGES) / longest / _HEAD_CHARACTER))


def _legend(report: Report) -> Markup:
    used = {message.kind for message in report.messages}
    keys = [
        el("li", el("i", class_=f"swatch k-{kind}"), name)
        for kind, name in KIND_NAMES.items()
        if kind in used
    ]
    for outcome, name in (("refused", "refused"), ("lost", "lost")):
        if any(message.outcome == outcome for message in report.messages):
            keys.append(el("li", el("i", class_=f"swatch o-{outcome}"), name))
    return el("ul", *keys, class_="legend", aria_label="Kinds of message")


def _act(index: int, step: Step | None, number: int, messages: list[Message], columns: list[str]) -> Markup:
    origin = step.started_ms if step else 0.0
    title = (f"{step.group}: " if step.group else "") + step.title if step else "Before the first step"
    heading = el(
        "h3",
        el("span", number or "–", class_="number"),
        el("span", title, class_="act-title"),
        el("span", f"from {moment(origin)}", class_="when"),
    )
    return el(
        "section",
        heading,
        _picture(index, title, origin, messages, columns),
        _as_list(origin, messages),
        class_="act" if step is None or step.ok else "act failed",
    )


def _as_list(origin: float, messages: list[Message]) -> Markup:
    """The same as text: what a narrow screen shows in place of the picture."""
    items = [
        el(
            "li",
            el("time", offset(m.t_ms - origin)),
            el("span", _route(m), class_="route"),
            el("span", m.label, class_="label"),
            class_=_classes(m),
        )
        for m in messages
    ]
    return el("ol", *items, class_="messages")


def _route(message: Message) -> str:
    return message.source if message.source == message.target else f"{message.source} → {message.target}"


def _classes(message: Message) -> str:
    return f"k-{message.kind} o-{message.outcome}"


def _layout(messages: list[Message]) -> tuple[list[_Row], float]:
    rows: list[_Row] = []
    y = float(_TOP)
    before = messages[0].t_ms
    for message in messages:
        silence = message.t_ms - before
        before = message.t_ms
        if silence >= _FOLD_MS:
            rows.append(_Row(y + _FOLD_ROW, message, silence, y - 8))
            y += _FOLD_ROW + _ROW
        else:
            rows.append(_Row(y, message))
            y += _ROW
    return rows, y - _ROW + _BOTTOM


def _picture(index: int, title: str, origin: float, messages: list[Message], columns: list[str]) -> Markup:
    rows, height = _layout(messages)
    x_of = {name: column_x(i, len(columns)) for i, name in enumerate(columns)}
    active = {name for m in messages for name in (m.source, m.target)}
    spoken = "; ".join(
        f"{offset(m.t_ms - origin)} ms {_route(m)}: {m.label}"
        + ("" if m.outcome == "delivered" else f" ({m.outcome})")
        for m in messages
    )
    return el(
        "svg",
        el("title", f"Messages of: {title}", id=f"seq-{index}-t"),
        el("desc", spoken, id=f"seq-{index}-d"),
        *(_lifeline(x, height, rows, name in active) for name, x in x_of.items()),
        *(_fold(row) for row in rows if row.silence_ms),
        *(_arrow(row, origin, x_of) for row in rows),
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        aria_labelledby=f"seq-{index}-t seq-{index}-d",
    )


def _lifeline(x: float, height: float, rows: list[_Row], active: bool) -> Markup:
    cuts = [row.fold_y for row in rows if row.silence_ms]
    path, y = "", 0.0
    for cut in cuts:
        path += f"M{x:.1f} {y:.1f}V{cut - 9:.1f}"
        y = cut + 9
    path += f"M{x:.1f} {y:.1f}V{height:.1f}"
    dots = "".join(f"M{x:.1f} {cut - 7:.1f}V{cut + 8:.1f}" for cut in cuts)
    quiet = "" if active else " quiet"
    return join(
        el("path", d=path, class_=f"lifeline{quiet}"),
        el("path", d=dots, class_=f"lifeline fold{quiet}") if dots else None,
    )


def _fold(row: _Row) -> Markup:
    return el(
        "text", f"⋮ {milliseconds(row.silence_ms)}", x=_TIME_GUTTER - 16, y=row.fold_y + 4, class_="silence"
    )


def _arrow(row: _Row, origin: float, x_of: dict[str, float]) -> Markup:
    message, y = row.message, row.y
    start, end = x_of[message.source], x_of[message.target]
    shape = _note(start, y) if start == end else _line(start, end, y, message.outcome)
    return el(
        "g",
        el(
            "title",
            f"{_route(message)}: {message.label}" + (f" — {message.detail}" if message.detail else ""),
        ),
        el("text", offset(message.t_ms - origin), x=_TIME_GUTTER - 16, y=y + 4, class_="t"),
        shape,
        _label(message.label, start, end, y),
        el("text", KIND_NAMES[message.kind], x=WIDTH - _KIND_GUTTER + 12, y=y + 4, class_="kind"),
        class_=f"message {_classes(message)}",
    )


def _label(label: str, start: float, end: float, y: float) -> Markup:
    shown = label if len(label) <= _LONGEST_LABEL else label[: _LONGEST_LABEL - 1] + "…"
    half = len(shown) * _CHARACTER / 2
    low, high = _TIME_GUTTER + half, WIDTH - _KIND_GUTTER - half
    if start != end:
        return el("text", shown, x=min(max((start + end) / 2, low), high), y=y - 6, class_="label")
    # A note stands right of its lifeline, or left of it where there is no room.
    side = 1 if start + 14 + 2 * half <= WIDTH - _KIND_GUTTER else -1
    return el("text", shown, x=start + side * (14 + half), y=y + 4, class_="label")


def _note(x: float, y: float) -> Markup:
    return el("path", d=f"M{x - 5:.1f} {y:.1f}l5 -5l5 5l-5 5z", class_="head")


def _line(start: float, end: float, y: float, outcome: str) -> Markup:
    way = 1 if end > start else -1
    if outcome == "lost":
        stop = (start + end) / 2
        return join(el("path", d=f"M{start:.1f} {y:.1f}H{stop:.1f}", class_="line"), _cross(stop, y))
    if outcome == "refused":
        stop = end - way * 12
        return join(
            el("path", d=f"M{start:.1f} {y:.1f}H{stop - way * 6:.1f}", class_="line"), _cross(stop, y)
        )
    tip = end - way * 1.5
    return join(
        el("path", d=f"M{start:.1f} {y:.1f}H{tip - way * 6:.1f}", class_="line"),
        el("path", d=f"M{tip:.1f} {y:.1f}l{-way * 8} -4v8z", class_="head"),
    )


def _cross(x: float, y: float) -> Markup:
    return el("path", d=f"M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10", class_="cross")
