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
