"""Tracebacks of a console: what is C on a chip has no frames there, and the bench's modules have none here."""

import re
from pathlib import Path

MODULES = Path(__file__).resolve().parents[1] / "vm" / "modules"
_NAMES = "|".join(sorted(re.escape(path.stem) for path in MODULES.glob("*.py")))
_FRAME = re.compile(rf'(?m)^  File "(?:{_NAMES})", line \d+, in [^\r\n]*\r*\n'.encode())
_HEAD = b'  File "'
_HEADS = b"|".join(re.escape(_HEAD[:size]) for size in range(1, len(_HEAD)))
_BEGUN = re.compile(rb"(?m)^(?:" + _HEADS + b"|" + _HEAD + rb"[^\n]*)\Z")  # a line that may become a frame
MAX_HELD = 200  # bytes of such a line, which wait for its end


class Frames:
    """``cut`` takes them out of what a VM prints, in pieces of any size."""

    def __init__(self) -> None:
        self._held = b""
        self._amid = b""  # something, if a line is begun

    def cut(self, data: bytes) -> bytes:
        if not self._held and b"  " not in data and not data.endswith(b" "):  # most of what boards print
            self._amid = b"" if data.endswith(b"\n") else b"|" if data else self._amid
            return data
        whole = _FRAME.sub(b"", self._amid + self._held + data)
        begun = _BEGUN.search(whole)
        at = begun.start() if begun is not None and len(whole) - begun.start() <= MAX_HELD else len(whole)
        shown, self._held = whole[len(self._amid) : at], whole[at:]
        if shown:
            self._amid = b"" if shown.endswith(b"\n") else b"|"
        return shown

    def rest(self) -> bytes:
        """What waits for the end of its line, which does not come."""
        held, self._held = self._held, b""
        return held
