"""Line ends of a console: a board prints CR LF, the unix VM's terminal would have to.

A terminal without CR prints stairs, and tools such as MicroPython's run-multitests.py read lines up to CR LF. Where a tool's
code takes ``sys.stdout.buffer``, as mpremote's mount does, bytes pass unchanged from then on, until the VM restarts.
"""

_UNCOOKED = b".buffer"


class Newlines:
    """``typed`` sees what goes to the VM, ``cooked`` makes what comes from it a board's, unless it is ``binary``."""

    def __init__(self) -> None:
        self.restarted()

    def restarted(self) -> None:
        self.binary = False
        self._typed = b""
        self._after_return = False

    def typed(self, data: bytes) -> None:
        seen = self._typed + data
        self.binary = self.binary or _UNCOOKED in seen
        self._typed = seen[-len(_UNCOOKED) + 1 :]

    def cooked(self, data: bytes) -> bytes:
        """LF without CR before it becomes CR LF."""
        if not data:
            return data
        first, self._after_return = self._after_return, data.endswith(b"\r")
        lines = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return lines[1:] if first and lines.startswith(b"\r\n") else lines
