"""The board's Wi-Fi: its station, its access point, and the site's access point that it may join.

A board on an air joins the access points of other boards there before the site's.
"""

import asyncio
import contextlib
import errno
import json
import struct
from typing import TYPE_CHECKING, Any

from hil.board.routes import NO_ADDRESS, Attached, Routes
from hil.board.signals import Observable
from hil.vm.link import NET, Answer, Link

if TYPE_CHECKING:
    from hil.air.seat import Seat

ACTIVE, CONNECT, DISCONNECT, SCAN, RSSI, IFCONFIG, POINT, ADDRESS = range(8)
CHANGED, STATIONS = range(2)  # interrupts
IDLE, CONNECTING, GOT_IP = 1000, 1001, 1010
BEACON_TIMEOUT, NO_AP_FOUND, WRONG_PASSWORD = 200, 201, 202
JOIN_S = 0.02  # a real station takes one to three seconds; scenarios that care set it
AGAIN_S = 0.3  # between attempts on an air; a real station takes a scan's time
SITE_BSSID = b"\x02LWAP\x01"
POINT_ADDRESS = "192.168.4.1"
_POINT_ADDRESSES = b"192.168.4.1,255.255.255.0,192.168.4.1,0.0.0.0"


class Wifi:
    """Channel NET. ``ssid`` None accepts every network; ``up`` False takes the site's access point away."""

    def __init__(
        self,
        link: Link,
        ssid: str | None = None,
        key: str | None = None,
        seat: "Seat | None" = None,
        routes: Routes | None = None,
    ) -> None:
        self._link = link
        self.routes = routes or Routes()
        self.ssid = ssid
        self.key = key
        self.join_s = JOIN_S
        self.rssi = -55
        self.status = Observable[int]("wifi_status", IDLE)
        self._up = True
        self._active = False
        self._point: dict[str, Any] = {}  # what it is, while it is up
        self._fixed = ["", ""]  # addresses by hand: of the station, of the access point
        self._wanted: tuple[str, str, str | None] | None = None
        self._known_on_air = False  # the network that is wanted: then it is not the site's
        self._joining: asyncio.Task[None] | None = None
        self._air: AirStation | None = AirStation(seat, self) if seat is not None else None
        link.attach(NET, self)

    @property
    def up(self) -> bool:
        return self._up

    def set_up(self, up: bool) -> None:
        """Switch the access point on or off; a joined station notices at once, and rejoins by itself."""
        self._up = up
        if up and self._wanted is not None:
            self._join()
        elif not up and self.status.value == GOT_IP and not self._on_air:
            self.report(BEACON_TIMEOUT)

    def handle(self, op: int, payload: bytes) -> Answer:
        if op == ACTIVE:
            self._active = payload[0] == 1
            if not self._active:
                self._leave()
        elif op == CONNECT:
            self._wanted = self._strings(payload)
            self._known_on_air = False
            self._join()
        elif op == DISCONNECT:
            self._leave()
        elif op == SCAN:
            return self._scan()
        elif op == RSSI:
            return self._signal()
        elif op == IFCONFIG:
            return self._addresses(of_point=payload == b"\x01")
        elif op == POINT:
            return self._set_point(json.loads(payload))
        elif op == ADDRESS:
            return self._set_address(payload[0], payload[1:].decode())
        return None

    def vm_lost(self) -> None:
        self._active = False
        self._leave()
        self.routes.take("point")
        self._point, self._fixed = {}, ["", ""]
        if self._air is not None:
            self._air.reset()

    def report(self, status: int) -> None:
        self._set_status(status)
        channel = self._air.channel if self._on_air and self._air is not None else 1
        self._link.interrupt(NET, CHANGED, struct.pack("<HB", status, channel))

    def lost(self, reason: int) -> None:
        """The access point on the air let the station go; it tries again."""
        if self.status.value == GOT_IP:
            self.report(reason)
            if self._wanted is not None:
                self._join(quiet=True)

    def networked(self, network: dict[str, Any]) -> None:
        """Who is in the network of the access point on the air that the board has, or has joined."""
        mine, hosts, point = self.routes.addresses.outer, network["hosts"], network["point"]
        others = {address: host for address, host in hosts.items() if host != mine}
        own = next((address for address, host in hosts.items() if host == mine), "")
        if hosts[point] == mine:
            if self._point:
                self.routes.put("point", Attached(point, others))
        elif self._air is not None and self._air.joined is not None and self.status.value == GOT_IP:
            self._air.joined.update(address=own, network=network)
            self.routes.put("station", Attached(own, others))

    def stations(self, macs: list[str]) -> None:
        """Who has joined the board's own access point."""
        self._link.interrupt(NET, STATIONS, b"".join(map(bytes.fromhex, macs)))

    @property
    def fixed_address(self) -> str:
        """Of the station, by hand."""
        return self._fixed[0]

    @property
    def _on_air(self) -> bool:
        return self._air is not None and self._air.joined is not None

    def _join(self, quiet: bool = False) -> None:
        self._cancel()
        if not quiet:
            self._set_status(CONNECTING)
        self._joining = asyncio.get_running_loop().create_task(self._attempts())

    async def _attempts(self) -> None:
        """On an air again and again, as the port does; the site's access point says when it is back."""
        while self._wanted is not None:
            await asyncio.sleep(self.join_s)
            if self._wanted is None or not self._active:
                return
            status = await self._attempt(*self._wanted)
            if status == GOT_IP or status != self.status.value:
                self.report(status)
            if status == GOT_IP or self._air is None:
                return
            await asyncio.sleep(AGAIN_S)

    async def _attempt(self, ssid: str, key: str, bssid: str | None) -> int:
        if self._air is not None:
            status = await self._air.join(ssid, key, bssid)
            self._known_on_air |= status != NO_AP_FOUND
            if self._known_on_air:
                return status
        if not self._up or (self.ssid is not None and ssid != self.ssid):
            return NO_AP_FOUND
        return WRONG_PASSWORD if self.key is not None and key != self.key else GOT_IP

    def _leave(self) -> None:
        self._cancel()
        self._wanted = None
        self._set_status(IDLE)
        if self._air is not None:
            self._air.leave()

    def _cancel(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
            self._joining = None

    def _scan(self) -> Answer:
        if not self._active:
            raise OSError(errno.ENETDOWN, "Wi-Fi is not active")
        own = b"" if not self._up or self.ssid is None else _found(self.ssid, SITE_BSSID, 1, self.rssi, 3)
        return own if self._air is None else self._scan_air(self._air, own)

    @staticmethod
    async def _scan_air(air: "AirStation", own: bytes) -> bytes:
        rows = await air.scan()
        return own + b"".join(_found(r[0], bytes.fromhex(r[1]), r[2], r[3], r[4]) for r in rows)

    def _signal(self) -> Answer:
        if self.status.value != GOT_IP:
            raise OSError(errno.ENOTCONN, "not joined")
        if self._on_air and self._air is not None:
            return self._air.rssi()
        return bytes((self.rssi + 256,))

    def _set_status(self, status: int) -> None:
        self.status.set(status)
        if status != GOT_IP:
            self.routes.take("station")
        elif self._air is None or self._air.joined is None:
            self.routes.put("station", Attached(self._fixed[0]))
        else:
            self.networked(self._air.joined["network"])

    def _addresses(self, of_point: bool) -> bytes:
        if of_point:
            return _POINT_ADDRESSES
        if self.status.value != GOT_IP:
            return NO_ADDRESS
        if self._air is None or self._air.joined is None:
            return self.routes.site_addresses
        address, point = self._air.joined["address"], self._air.joined["network"]["point"]
        return f"{address},255.255.255.0,{point},{point}".encode()

    def _set_address(self, of_point: int, address: str) -> Answer:
        self._fixed[of_point] = address
        if of_point:
            return self._set_point(self._point) if self._point else None
        if self._on_air and self._air is not None:
            return self._air.set_address(address)
        self._set_status(self.status.value)
        return None

    def _set_point(self, about: dict[str, Any]) -> Answer:
        self._point = about
        address = self._fixed[1] or POINT_ADDRESS
        if not about:
            self.routes.take("point")
        elif self._air is None or not self.routes.has("point"):
            self.routes.put("point", Attached(address, {}))
        if self._air is None:
            return None
        return self._air.set_point({**about, "address": address} if about else {})

    @staticmethod
    def _strings(payload: bytes) -> tuple[str, str, str | None]:
        split = 1 + payload[0]
        end = split + 1 + payload[split]
        return payload[1:split].decode(), payload[split + 1 : end].decode(), payload[end:].hex() or None


class AirStation:
    """The board's Wi-Fi on an air, which it joins when it is needed. Without an air there are no access points."""

    def __init__(self, seat: "Seat", wifi: Wifi) -> None:
        self._seat = seat
        self._wifi = wifi
        self.joined: dict[str, Any] | None = None
        seat.handlers[NET] = self._interrupt

    @property
    def channel(self) -> int:
        return int(self.joined["channel"]) if self.joined else 1

    async def join(self, ssid: str, key: str, bssid: str | None) -> int:
        """The status."""
        from hil.air import wifi

        try:
            asked = {"ssid": ssid, "key": key, "bssid": bssid, "host": self._wifi.routes.addresses.outer}
            asked["address"] = self._wifi.fixed_address
            answer = await self._ask(wifi.JOIN, asked)
        except OSError:
            return NO_AP_FOUND
        self.joined = answer if answer["status"] == GOT_IP else None
        return int(answer["status"])

    async def set_address(self, address: str) -> None:
        from hil.air import wifi

        await self._ask(wifi.ADDRESS, {"address": address})

    async def scan(self) -> list[list[Any]]:
        from hil.air import wifi

        try:
            return list(await self._ask(wifi.SCAN, {}))
        except OSError:
            return []

    async def rssi(self) -> bytes:
        from hil.air import wifi

        return bytes((int(await self._ask(wifi.RSSI, {})) & 0xFF,))

    async def set_point(self, about: dict[str, Any]) -> None:
        from hil.air import wifi

        await self._ask(wifi.AP, {**about, "host": self._wifi.routes.addresses.outer} if about else {})

    def leave(self) -> None:
        from hil.air import wifi

        if self.joined is not None and (member := self._seat.member) is not None:
            member.post(NET, wifi.LEAVE)
        self.joined = None

    def reset(self) -> None:
        from hil.air import ops

        self.joined = None
        if (member := self._seat.member) is not None:
            member.post(ops.AIR, ops.RESET, bytes((NET,)))

    async def _ask(self, op: int, about: dict[str, Any]) -> Any:
        member = await self._seat.joined()
        answer = await member.call(NET, op, json.dumps(about).encode())
        return json.loads(answer) if answer else None

    def _interrupt(self, op: int, payload: bytes) -> None:
        from hil.air import wifi

        if op == wifi.LOST:
            self.joined = None
            self._wifi.lost(int.from_bytes(payload, "little"))
        elif op == wifi.NETWORK:
            with contextlib.suppress(ValueError):
                self._wifi.networked(json.loads(payload))
        elif op == wifi.STATIONS:
            with contextlib.suppress(ValueError):
                self._wifi.stations(json.loads(payload))


def _found(ssid: str, bssid: bytes, channel: int, rssi: int, security: int) -> bytes:
    name = ssid.encode()
    return struct.pack("<BBbB", len(name), channel, rssi, security) + bssid + name
