"""How a case ended, and how that is told."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hil.report import Message
from hil.report import Step as Shown
from hil.rig.expect import TAIL, printable
from hil.scenario.quantities import shown

Verdict = Literal["passed", "failed", "timeout", "error"]
EXIT = {"passed": 0, "failed": 1, "error": 1, "timeout": 42}


@dataclass
class Outcome:
    """Seconds: ``setup_s`` until the boards were ready, ``steps_s`` of the steps, on the boards' own clock."""

    title: str
    path: Path
    seed: int
    settings: Mapping[str, str]
    verdict: Verdict = "passed"
    where: str = ""  # the step that failed
    expected: str = ""
    seen: str = ""
    setup_s: float = 0.0
    steps_s: float = 0.0
    steps: list[Shown] = field(default_factory=list)
    consoles: dict[str, str] = field(default_factory=dict)
    scope: str = ""  # what its signals are recorded under

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def again(self) -> str:
        """The command that does the same again."""
        words = ["latchwork", "scenario", "run", str(self.path), "--seed", str(self.seed)]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={value}"]
        return shlex.join(words)

    def reason(self) -> str:
        """In one line."""
        told = f"expected {self.expected}; saw {self.seen}" if self.expected else self.seen
        return f"{self.where}: {told}" if self.where else told

    def line(self) -> str:
        """The verdict with its times."""
        times = f"set-up {shown(round(self.setup_s, 2))}, steps {shown(round(self.steps_s, 2))}"
        return f"{self.verdict.upper():<8} {self.title}  ({times}, seed {self.seed})"

    def ends(self) -> dict[str, list[str]]:
        """The last lines of each console."""
        tails = {name: text[-TAIL:].strip("\n") for name, text in self.consoles.items()}
        return {name: [printable(line) for line in tail.split("\n") if tail] for name, tail in tails.items()}

    def failure(self) -> list[str]:
        """All that somebody needs to know of one that did not pass."""
        lines = [f"  at {self.where}"] if self.where else []
        lines += [f"  expected  {self.expected}"] if self.expected else []
        lines += [f"  saw       {self.seen}"]
        for name, end in self.ends().items():
            lines.append(f"  console of {name}, its end:" if end else f"  console of {name}: nothing")
            lines += [f"    | {line}" for line in end]
        return [*lines, f"  seed {self.seed}; the same again:", f"    {self.again}"]


def story(messages: Iterable[Message], outcomes: Iterable[Outcome]) -> list[Message]:
    """What was said from the first to the last step of a case: how the bench clears up behind one is no part of it."""
    cases = [[step for step in outcome.steps if step.reached] for outcome in outcomes]
    spans = [(steps[0].started_ms, max(step.ended_ms for step in steps)) for steps in cases if steps]
    return [m for m in messages if any(began <= m.t_ms <= ended for began, ended in spans)]


def exit_code(outcomes: list[Outcome]) -> int:
    """0 passed; 42 if a time-out was all that went wrong; 1 for any other failure."""
    codes = {EXIT[outcome.verdict] for outcome in outcomes} - {0}
    return 0 if not codes else 42 if codes == {42} else 1
