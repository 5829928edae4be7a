"""What only the broker's log tells: clients that TLS turned away, devices that reached for others' topics.

Strangers write into this log: a certificate's names go into it with their line breaks, though with no bare
quote. So a line counts only with the broker's own process number, and a device is named only between quotes.
"""

import re
from collections.abc import Callable

_CLIENT = r"^\[(\d+)\] \S+ \S+ \[ERR\] (\S+):(\d+) - mid:\d+ - "
_HANDSHAKE = re.compile(_CLIENT + "TLS handshake error: tls: (.*)$")
_VIOLATION = re.compile(_CLIENT + '"((?:dev|gw)_[0-9a-f]{16})" - (Publish|Subscription) Violation - ')
_REASONS = (
    ("client didn't provide a certificate", "no_certificate"),
    ("certificate signed by unknown authority", "unknown_ca"),
    ("certificate has expired or is not yet valid", "expired_certificate"),
    ("failed to verify certificate", "bad_certificate"),
)


class BrokerLog:
    """Takes the log line by line: `on_refused(reason, who, pin)` as the admission, `on_violation(who, kind)`. `address_of(port)`
    knows whom the gate let in by this port of ours.
    """

    def __init__(
        self,
        pid: Callable[[], int | None],
        on_refused: Callable[[str, str, str], None],
        on_violation: Callable[[str, str], None],
        address_of: Callable[[int], str | None] = lambda port: None,
    ) -> None:
        self._pid = pid
        self._on_refused = on_refused
        self._on_violation = on_violation
        self._address_of = address_of

    def take(self, line: str) -> None:
        """One line. What says nothing to us, or is not the broker's own, is passed over."""
        if found := _HANDSHAKE.match(line):
            pid, address, port, text = found.groups()
            reason = next((slug for part, slug in _REASONS if part in text), "")
            # Without a reason of ours it is a port scan or a lost connection: no client was turned away.
            if reason and pid == str(self._pid()):
                self._on_refused(reason, self._address_of(int(port)) or address, "")
        elif found := _VIOLATION.match(line):
            pid, _, _, who, kind = found.groups()
            if pid == str(self._pid()):
                self._on_violation(who, kind.lower())
