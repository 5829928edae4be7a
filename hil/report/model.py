"""The report as data: `report.json`, and what the HTML page and the terminal table are drawn from.

All `*_ms` are milliseconds since the run began, on the bench's monotonic clock.
"""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Kind = Literal["ble", "mqtt", "http", "ws", "console", "pin", "fault"]
Outcome = Literal["delivered", "refused", "lost"]
NOT_REACHED = "not reached"  # the error of a step that was never begun


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Step(_Part):
    """One named step of the run. `summary` is the one line that tells what was seen; `group`, what it is a part of, such as a
    scenario among several."""

    name: str
    title: str
    group: str = ""
    ok: bool
    started_ms: float
    duration_ms: float
    summary: str = ""
    evidence: dict[str, JsonValue] = Field(default_factory=dict)
    error: str | None = None
    lifelines: list[str] = Field(default_factory=list)  # who may take part in it; none: anybody

    @property
    def ended_ms(self) -> float:
        return self.started_ms + self.duration_ms

    @property
    def reached(self) -> bool:
        """Whether it was begun."""
        return self.error != NOT_REACHED


class Message(_Part):
    """Something one lifeline said to another, or (source = target) did by itself."""

    t_ms: float
    source: str
    target: str
    label: str
    kind: Kind
    detail: str = ""
    outcome: Outcome = "delivered"


class Number(_Part):
    """A measurement worth a place at the head of the report."""

    title: str
    value: float
    unit: str = "ms"


class Recording(_Part):
    """The VCD file beside the report, and where its time zero lies in the run."""

    file: str
    offset_ms: float = 0.0


class Report(_Part):
    """A whole run. `lifelines` fixes the order of the sequence's columns; the rest follow as they appear."""

    title: str
    started_at: datetime
    ended_at: datetime
    ok: bool
    versions: dict[str, str] = Field(default_factory=dict)
    steps: list[Step] = Field(default_factory=list)
    lifelines: list[str] = Field(default_factory=list)
    messages: list[Message] = Field(default_factory=list)
    numbers: list[Number] = Field(default_factory=list)
    recording: Recording | None = None
    scopes: dict[str, str] = Field(
        default_factory=dict
    )  # of the recording, and the group that each belongs to

    def duration_ms(self) -> float:
        """The length of the run: to its end, or to the last thing that happened if that is later."""
        ends = [step.ended_ms for step in self.steps]
        ends += [message.t_ms for message in self.messages]
        return max([(self.ended_at - self.started_at).total_seconds() * 1000, *ends])

    def verdict(self) -> str:
        """The outcome in words."""
        groups = {step.group for step in self.steps}
        if len(groups) > 1:
            failed = len({step.group for step in self.steps if not step.ok})
            told = f"All {len(groups)} passed" if self.ok else f"{failed} of {len(groups)} failed"
            return f"{told}, {len(self.steps)} steps"
        if self.ok:
            return f"All {len(self.steps)} steps passed"
        reached = [step for step in self.steps if step.reached]
        failed = sum(not step.ok for step in reached)
        if not failed:
            return "The run failed outside its steps"
        left = len(self.steps) - len(reached)
        return f"{failed} of {len(self.steps)} steps failed" + (f", {left} not reached" if left else "")

    def columns(self) -> list[str]:
        """The lifelines that take part, in their order."""
        seen = [name for m in self.messages for name in (m.source, m.target)]
        return [name for name in dict.fromkeys([*self.lifelines, *seen]) if name in set(seen)]

    def messages_by_step(self) -> list[tuple[Step | None, list[Message]]]:
        """Each message under the last step begun before it; those before the first step under None. Where steps run side by
        side: under one that its ends take part in, and that still ran. In the order of the steps."""
        steps = sorted(self.steps, key=lambda step: step.started_ms)
        acts: list[tuple[Step | None, list[Message]]] = [(None, []), *((step, []) for step in steps)]
        begun = 0
        for message in sorted(self.messages, key=lambda message: message.t_ms):
            while begun < len(steps) and steps[begun].started_ms <= message.t_ms:
                begun += 1
            fits = [n for n in range(begun, 0, -1) if _takes_part(steps[n - 1], message)]
            runs = (n for n in fits if steps[n - 1].ended_ms >= message.t_ms)
            acts[next(runs, fits[0] if fits else begun)][1].append(message)
        place = {id(step): number for number, step in enumerate(self.steps)}
        acts.sort(key=lambda act: place.get(id(act[0]), -1))
        return [(step, messages) for step, messages in acts if messages]


def _takes_part(step: Step, message: Message) -> bool:
    return not step.lifelines or {message.source, message.target} <= set(step.lifelines)


def write_json(report: Report, path: str | Path) -> None:
    """Write `report.json`."""
    Path(path).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
