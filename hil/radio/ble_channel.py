"""One L2CAP credit-based channel: NimBLE's flow control, on Bumble's channel.

Bumble (0.0.236) gives credits back as soon as data is there, and joins packets; NimBLE gives them when the program has taken
a packet (SDU), sends each as it is, and holds one more while the peer gives none.
"""

import struct
from collections.abc import Callable
from typing import Any

from bumble import l2cap

from hil.radio import ble_errors as errors

MPS = 248  # BLE_L2CAP_COC_MPS of the ESP32 builds: a block of the pool less its head
_LENGTH = 2  # bytes of the length in front of an SDU


def credits_for(mtu: int) -> int:
    """PDUs that carry one SDU."""
    return -(-(mtu + _LENGTH) // MPS)


class Channel(l2cap.LeCreditBasedChannel):  # type: ignore[misc]
    """``on_sdu`` takes a packet, ``on_unstalled`` is called when one that was held back is sent."""

    out_sdu: bytes | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_sdu: Callable[[bytes], None] = lambda _: None
        self.on_unstalled: Callable[[], None] = lambda: None
        self.sink = self._received
        # The peer's credits are given by ``grant`` alone.
        self.peer_credits_threshold = -1
        self._held = False

    def _received(self, sdu: bytes) -> None:
        self.on_sdu(sdu)

    def grant(self) -> None:
        """Let the peer send one more SDU: the credits it lacks for that."""
        lacking = credits_for(self.mtu) - self.peer_credits
        if lacking > 0 and self.state == self.State.CONNECTED:
            self.peer_credits += lacking
            identifier = self.manager.next_identifier(self.connection)
            self.send_control_frame(
                l2cap.L2CAP_LE_Flow_Control_Credit(
                    identifier=identifier, cid=self.source_cid, credits=lacking
                )
            )

    def send_sdu(self, data: bytes) -> bool:
        """False: stalled, it is sent when there are credits. Raises OSError(EBUSY) if one is held already."""
        if self.out_sdu is not None:
            raise errors.host_error(errors.EBUSY, "stalled")
        self.out_sdu = struct.pack("<H", len(data)) + data
        self.process_output()
        self._held = self.out_sdu is not None
        return not self._held

    def on_credits(self, credits: int) -> None:
        super().on_credits(credits)
        if self._held and self.out_sdu is None:
            self._held = False
            self.on_unstalled()
