"""Every entry runs, writes its report, and is in the handbook; what cannot be measured is told by the exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.entries import ENTRIES

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 110


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_reports_what_it_measured(name: str, tmp_path: Path) -> None:
    done = bench("--quick", "--only", name, "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / f"{name}.json").read_text())
    assert report["command"] == f"python -m benchmarks --only {name} --quick"
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["versions"]["nats-server"]
    assert report["lines"]
    for line in report["lines"]:
        assert line["value"] >= 0
        assert line["what"] in done.stdout
        assert (line["verdict"] == "told") == (line["at_most"] is None)
    for series in report["series"].values():
        assert series["min"] <= series["p50"] <= series["p99"] <= series["max"]


def test_what_cannot_be_measured_fails_the_run_and_not_the_other_entries(tmp_path: Path) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    entries = ("--only", "bytecode_size", "--only", "broker_round_trip")
    done = bench("--quick", *entries, "--out", str(tmp_path / "out"), XDG_CACHE_HOME=str(no_folder))
    assert done.returncode == 1
    assert "could not be measured: bytecode_size" in done.stdout
    assert "NotADirectoryError" in done.stderr
    assert [path.stem for path in (tmp_path / "out").iterdir()] == ["broker_round_trip"]


def test_an_entry_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    done = bench("--only", "perpetual_motion", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "perpetual_motion" in done.stderr


def test_every_entry_is_listed_and_in_the_handbook() -> None:
    listed = bench("--list").stdout
    handbook = (ROOT / "docs" / "benchmarks.md").read_text()
    for entry in ENTRIES.values():
        assert f"{entry.name:20} {entry.title}" in listed
        assert f"`{entry.name}`" in handbook
