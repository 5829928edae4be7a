import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from protocol.host.logs import logged_to

log = structlog.get_logger(__name__)


def test_a_logger_that_wrote_into_a_file_goes_on_when_the_file_is_closed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "log").open("w") as file, logged_to(file):
        log.warning("within")
    log.warning("after")
    assert '"within"' in (tmp_path / "log").read_text()
    assert '"after"' in capsys.readouterr().err


def test_of_runs_that_overlap_the_last_has_the_log_and_none_leaves_its_file_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "first").open("w") as first, (tmp_path / "second").open("w") as second:
        one, other = logged_to(first), logged_to(second)
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        log.warning("within")
        other.__exit__(None, None, None)
    log.warning("after")
    assert '"within"' in (tmp_path / "second").read_text()
    assert '"after"' in capsys.readouterr().err


def test_what_a_full_disk_has_no_room_for_is_lost_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w") as file, logged_to(file):
        log.warning("before")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # One byte is left: of the next line it is all that is written.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1, hard))
        try:
            log.warning("lost")
            log.warning("lost", also=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.warning("after")
    before, torn, counted, after = path.read_text().splitlines()
    assert (json.loads(before)["event"], torn, json.loads(after)["event"]) == ("before", "{", "after")
    assert json.loads(counted) == {"event": "log.lost", "level": "warning", "lines": 2}


def test_nobody_who_reads_the_log_is_no_reason_to_end() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, logged_to(pipe):
        log.warning("nobody hears")


def test_a_file_that_was_closed_too_early_is_no_reason_to_end(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, logged_to(file):
        file.close()
        log.warning("nobody hears")


def test_a_server_that_logs_to_a_full_disk_ends_well() -> None:
    program = (
        "import logging, structlog; from protocol.host.logs import log_json; log_json();"
        "structlog.get_logger().warning('ours'); logging.getLogger('theirs').warning('theirs'); print('alive')"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, timeout=60
        )
    assert (done.returncode, done.stdout) == (0, b"alive\n")
