"""btsnoop files, read by tshark."""

import subprocess
import time
from pathlib import Path

from bumble.snoop import Snooper

from hil.radio.btsnoop import Capture
from hil.radio.medium import Medium
from tests.hil.test_radio_medium import link, station


def fields(capture: Path, *names: str, show: str = "") -> list[list[str]]:
    command = ["tshark", "-r", str(capture), "-T", "fields"]
    command += [word for name in names for word in ("-e", name)]
    command += ["-Y", show] if show else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


async def test_tshark_reads_who_said_what_and_when(tmp_path: Path) -> None:
    medium = Medium()
    door, phone = await station(medium, 1), await station(medium, 2)
    capture = Capture(tmp_path / "phone.btsnoop")
    phone.device.host.snooper = capture
    began = time.time()
    connection, _ = await link(phone, door)
    await connection.disconnect()
    ended = time.time()
    capture.close()
    rows = fields(
        tmp_path / "phone.btsnoop", "hci_h4.type", "hci_h4.direction", "frame.time_epoch", "_ws.col.Info"
    )
    assert {(kind, direction) for kind, direction, *_ in rows} == {("0x01", "0x00"), ("0x04", "0x01")}
    assert began - 0.001 <= float(rows[0][2]) <= float(rows[-1][2]) <= ended + 0.001
    said = [row[3] for row in rows]
    assert "Sent LE Create Connection" in said
    assert "Rcvd LE Meta (LE Connection Complete)" in said
    assert said[-1] == "Rcvd Disconnect Complete"
    await medium.aclose()


def test_a_full_disk_ends_the_capture_and_nothing_else(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "full.btsnoop")
    with Path("/dev/full").open("wb", buffering=0) as full:
        capture._snooper.output = full
        for _ in range(2):
            capture.snoop(b"\x01\x03\x0c\x00", Snooper.Direction.HOST_TO_CONTROLLER)
    assert capture._snooper is None
