"""The certificate that this board shows: the newest, and while that one is not let in, the one before.

A renewed certificate is for the same key: nothing secret travels, and the board's pin stays. It comes as a file of
the kind `certificate` (device.inbox), its version the unix second at which it ends.

    renewed.0, renewed.1   slot files: version 4 | certificate (DER)
    certificate.der        the one before, which was let in when the renewed one came; at first that of provisioning
"""

import os

from device.config_store import SlotFile
from device.identity import read_file
from device.tls_socket import PinnedContext
from protocol.errors import Malformed
from protocol.x509_spki import spki_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

    from device.identity import Identity


class Certificate:
    """`changed()` is called when a renewed one is to be shown."""

    def __init__(self, identity: "Identity") -> None:
        self._base = identity.base
        self._slots = SlotFile(self._base + "/renewed")
        self._renewed = self._slots.load()
        self._before = self._renewed is None  # whether the one before is shown
        self._made: "Optional[PinnedContext]" = None
        self.changed: "Callable[[], None]" = lambda: None

    def version(self) -> int:
        """That of the renewed one, or 0."""
        return int.from_bytes(self._renewed[:4], "big") if self._renewed else 0

    def take(self, path: str, version: int) -> None:
        """Show the certificate in this file from the next session on; raise Malformed if it is not for our key, ValueError if
        TLS cannot read it: with such a one there would be no session ever again.
        """
        certificate, shown = read_file(path), self._shown()
        if spki_of(certificate) != spki_of(shown):
            raise Malformed("certificate_key")
        made = self._context(certificate)
        if not self._before:
            with open(self._base + "/certificate.new", "wb") as f:
                f.write(shown)
            os.rename(self._base + "/certificate.new", self._base + "/certificate.der")
        renewed = version.to_bytes(4, "big") + certificate
        self._slots.save(renewed)
        self._renewed, self._before, self._made = renewed, False, made
        self.changed()

    def context(self) -> PinnedContext:
        """For the next connection. Raises OSError or ValueError if the files are damaged."""
        if self._made is None:
            self._made = self._context(self._shown())
        return self._made

    def _context(self, certificate: bytes) -> PinnedContext:
        return PinnedContext(
            certificate, read_file(self._base + "/key.der"), read_file(self._base + "/ca.der")
        )

    def not_let_in(self) -> None:
        """The last connection came to nothing: the next one shows the other certificate, if there are two."""
        if self._renewed is not None:
            self._before = not self._before
            self._made = None

    def _shown(self) -> bytes:
        if self._before or self._renewed is None:
            return read_file(self._base + "/certificate.der")
        return self._renewed[4:]
