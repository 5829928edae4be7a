"""An air as a station of this process sees it: stands for ``hil.radio.medium.Medium`` where a phone is made.

    medium = await RemoteMedium.join("lab", "anna")
    phone = Phone.on(medium, "anna")

One station each; it leaves the air when the phone is closed or cut.
"""

import secrets
from typing import Any, Self

from bumble.hci import Address

from hil.air import client, ops
from hil.air.ops import Identity
from hil.radio.medium import Medium
from hil.radio.path_loss import Position


class RemoteController:
    """The host's end of the controller that the air has."""

    def __init__(self, member: client.Member) -> None:
        self.name = member.name
        self.host: Any = None
        self._member = member
        member.on(ops.BLE, lambda _op, packet: self._heard(packet))

    def set_packet_sink(self, sink: Any) -> None:
        self.host = sink

    def on_packet(self, packet: bytes) -> None:
        """From the host."""
        self._member.post(ops.BLE, ops.HCI, packet)

    def _heard(self, packet: bytes) -> None:
        if self.host is not None:
            self.host.on_packet(packet)


class RemoteMedium(Medium):
    """Use ``join``."""

    def __init__(self, member: client.Member, public: Address) -> None:
        super().__init__()
        self._member = member
        self._public = public

    @classmethod
    async def join(cls, air: str | None, name: str) -> Self:
        """On the air of that name, which is started if it is not there; raises AirError."""
        public = b"\x02" + secrets.token_bytes(5)
        member = await client.join(air, Identity(name, public), ops.HOST)
        return cls(member, Address(public[::-1], Address.PUBLIC_DEVICE_ADDRESS))

    def fresh_address(self) -> Address:
        return self._public

    def controller(self, name: str, public: Address, **options: Any) -> Any:
        return RemoteController(self._member)

    def place(self, controller: Any, position: Position | None) -> None:
        where = None if position is None else (position.x, position.y, position.z)
        self._member.post(ops.AIR, ops.PLACE, ops.encode_place("", where))

    def silence(self, controller: Any) -> None:
        self._member.close()

    def remove_controller(self, controller: Any) -> None:
        self._member.close()
