"""Folders of a run: gone with it, also if it was killed, and never somebody else's."""

import subprocess
import sys
from pathlib import Path

import pytest

from hil.scratch import Scratch

# A run that says where its folder is, and is killed there.
RUN = """
import os, sys
from hil.scratch import Scratch
print(Scratch("test").path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_what_a_killed_run_left_is_swept_up_by_the_next_and_what_a_living_one_has_is_not() -> None:
    command = [sys.executable, "-c", RUN]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as dead,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as alive,
    ):
        assert dead.stdout is not None
        assert alive.stdout is not None
        left, held = Path(dead.stdout.readline().strip()), Path(alive.stdout.readline().strip())
        dead.kill()
        dead.wait()
        assert left.is_dir()
        with Scratch("test") as own:
            assert (left.exists(), held.is_dir(), own.path.is_dir()) == (False, True, True)
        assert not own.path.exists()


def test_what_is_kept_and_what_is_no_run_of_ours_stays(tmp_path: Path) -> None:
    kept = Scratch("test")
    kept.keep()
    (tmp_path / "latchwork-test-strange").mkdir()
    with Scratch("test"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {kept.path.name, "latchwork-test-strange"}
