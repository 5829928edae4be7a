"""JUnit XML, as pytest and Jenkins write and read it: a suite for each file, a case for each combination."""

import itertools
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

from hil.scenario.outcome import Outcome

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KINDS = {"failed": "failure", "timeout": "failure", "error": "error"}


def write_junit(outcomes: list[Outcome], path: Path) -> None:
    """Raises OSError."""
    root = ET.Element("testsuites")
    for file, group in itertools.groupby(outcomes, key=lambda outcome: outcome.path):
        root.append(_suite(file, list(group)))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _suite(file: Path, outcomes: list[Outcome]) -> ET.Element:
    kinds = [_KINDS.get(outcome.verdict) for outcome in outcomes]
    suite = ET.Element(
        "testsuite",
        name=str(file),
        tests=str(len(outcomes)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped="0",
        time=f"{sum(outcome.setup_s + outcome.steps_s for outcome in outcomes):.3f}",
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    suite.extend(_case(outcome) for outcome in outcomes)
    return suite


def _case(outcome: Outcome) -> ET.Element:
    case = ET.Element(
        "testcase",
        name=outcome.title,
        classname=outcome.path.stem,
        file=str(outcome.path),
        time=f"{outcome.setup_s + outcome.steps_s:.3f}",
    )
    properties = ET.SubElement(case, "properties")
    facts = {"seed": outcome.seed, "setup_s": f"{outcome.setup_s:.3f}", "steps_s": f"{outcome.steps_s:.3f}"}
    for name, value in {**facts, **outcome.settings}.items():
        ET.SubElement(properties, "property", name=name, value=_clean(str(value)))
    if not outcome.passed:
        told = ET.SubElement(
            case, _KINDS[outcome.verdict], message=_clean(outcome.reason()), type=outcome.verdict
        )
        told.text = _clean("\n".join(outcome.failure()))
    ET.SubElement(case, "system-out").text = _clean(_steps(outcome))
    return case


def _steps(outcome: Outcome) -> str:
    lines = [
        f"{'ok    ' if step.ok else 'FAILED'} {step.duration_ms:9.1f} ms  {step.title}"
        + (f": {step.error}" if step.error else "")
        for step in outcome.steps
        if step.reached
    ]
    for name, text in outcome.consoles.items():
        lines += [f"--- console of {name} ---", text]
    return "\n".join(lines)


def _clean(text: str) -> str:
    """A console may print what XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
