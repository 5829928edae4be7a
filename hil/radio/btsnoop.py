"""What a board's host and controller say to each other (HCI), in a btsnoop file for Wireshark, also while it is written."""

from pathlib import Path
from typing import Any

from bumble.snoop import BtSnooper, Snooper

from hil.log import Log

log = Log(__name__)


class Capture(Snooper):  # type: ignore[misc]
    """Writes a new file from the first packet of the board's life on; raises OSError if it cannot be made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._snooper: Any = BtSnooper(self._file)

    def snoop(self, hci_packet: bytes, direction: Snooper.Direction) -> None:
        """Record a packet. A full disk ends the recording, not the radio."""
        if self._snooper is None:
            return
        try:
            self._snooper.snoop(hci_packet, direction)
        except OSError as error:
            log.warning("btsnoop_ended", path=str(self._path), error=error.strerror)
            self.close()

    def close(self) -> None:
        self._snooper = None
        self._file.close()
