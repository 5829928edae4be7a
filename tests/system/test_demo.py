"""`latchwork demo` as a user runs it: from a folder of their own, with nothing running before."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hil.demo import run as demo_run
from hil.report import Report
from hil.trace import read_vcd
from tests.system.processes import children

LATCHWORK = str(Path(sys.executable).with_name("latchwork"))
DEADLINE_S = 110
ACTS = [
    "start",
    "provision",
    "share",
    "offline_unlock",
    "reconnect",
    "cloud_unlock",
    "reader",
    "hours",
    "revoked",
    "forced",
    "wrong_pin",
    "replay",
    "update",
    "account",
]


def read_report(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "report.json").read_text())
    assert isinstance(report, dict)
    Report.model_validate(report)
    return report


def test_the_demonstration_passes_and_leaves_its_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [LATCHWORK, "demo", "--out", "shown"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = read_report(tmp_path / "shown")
    assert report["ok"]
    assert [step["name"] for step in report["steps"]] == ACTS
    for step in report["steps"]:
        assert step["ok"]
        assert step["duration_ms"] > 0
        assert step["evidence"]
    for act in range(len(ACTS)):
        assert f"[{act + 1}/{len(ACTS)}] ok" in done.stdout
    pulses = read_vcd(tmp_path / "shown" / "door.vcd").traces
    assert {name: len(pulses[f"{name}.relay"].edges("1")) for name in ("front", "lab", "yard")} == {
        "front": 3,
        "lab": 4,
        "yard": 0,
    }
    page = (tmp_path / "shown" / "report.html").read_text()
    assert f"All {len(ACTS)} steps passed" in page
    assert "<svg" in page
    kinds = {message["kind"] for message in report["messages"]}
    assert kinds == {"ble", "mqtt", "http", "ws", "console", "pin", "fault"}
    (tmp_path / "shown" / "report.html").write_text("old")
    demo_run._clear(tmp_path / "shown")  # what it wrote itself makes room for the next run
    assert [path.name for path in (tmp_path / "shown").iterdir()] == ["site"]


def test_a_step_that_fails_makes_the_exit_code_1_and_the_report_tell(tmp_path: Path) -> None:
    with subprocess.Popen(
        [LATCHWORK, "demo", "--out", "shown"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        line = demo.stdout.readline()
        assert line.startswith(f"[1/{len(ACTS)}] ok"), line
        (gateway,) = [pid for pid in children(demo.pid) if b"latchwork-gateway" in command_of(pid)]
        os.kill(gateway, signal.SIGKILL)
        printed = demo.communicate(timeout=DEADLINE_S)[0]
    assert demo.returncode == 1, printed
    report = read_report(tmp_path / "shown")
    assert not report["ok"]
    failed = [step for step in report["steps"] if not step["ok"]]
    assert failed[0]["name"] in ("provision", "share")
    assert failed[0]["error"] not in (None, "not reached")
    assert {step["error"] for step in failed[1:]} == {"not reached"}
    assert "Logs of the servers" in printed
    assert children(demo.pid) == []


@pytest.mark.parametrize("names", [["thesis.txt"], ["report.json"], ["report.json", "site", "thesis.txt"]])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("years of work")
    done = subprocess.run(
        [LATCHWORK, "demo", "--out", str(tmp_path)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 2
    assert "choose another folder" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
