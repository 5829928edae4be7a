"""Wi-Fi of an air: access points of its boards, and the stations that joined them. Channel WIFI of a member.

Calls, in JSON:

    AP    {"ssid", "key", "channel", "security", "hidden", "clients", "host", "address"}: put the member's access point on the
          air, or change it; {}: take it off
    SCAN  -> [[ssid, bssid, channel, rssi, security, hidden], ...]
    JOIN  {"ssid", "key", "bssid", "host", "address"} -> {"status"}, or {"status", "bssid", "channel", "address", "network"}
    LEAVE
    RSSI  -> dBm
    ADDRESS {"address"}: the station's by hand; "" is the one that the access point gives

A host is the address of the member on this machine. A network is {"point": address, "hosts": {address: host}}.
Interrupts: LOST reason u16, STATIONS [mac, ...], NETWORK: who is in the network of an access point, to all in it.
"""

import errno
import json
import socket
from typing import Any

from hil.air.ops import WIFI, Identity, Place
from hil.board.address import is_board
from hil.radio.path_loss import PathLoss, Position
from hil.vm.link import Link

AP, SCAN, JOIN, LEAVE, RSSI, ADDRESS = range(1, 7)
LOST, STATIONS, NETWORK = 1, 2, 3
GOT_IP, BEACON_TIMEOUT, NO_AP_FOUND, WRONG_PASSWORD, ASSOC_FAIL = 1010, 200, 201, 202, 203
DEAUTHENTICATED = 2
MAX_CLIENTS = 10
MAX_FOUND = 64  # access points of a scan: its answer is one frame
POINT_ADDRESS = "192.168.4.1"
MAX_NAME = 64  # bytes of a network's name or key
_NUMBERS = {"channel": 14, "security": 255, "clients": MAX_CLIENTS}  # of an access point, and their most
_LOSS = PathLoss(tx_power=20.0)  # dBm, an ESP32's


class WifiAir:
    """All radios of one air."""

    def __init__(self) -> None:
        self.radios: list[WifiRadio] = []

    def points(self, ssid: str, bssid: str | None) -> "list[WifiRadio]":
        """Access points of that name, or with that address."""
        return [r for r in self.radios if r.point and r.point["ssid"] == ssid and bssid in (None, r.bssid)]


class WifiRadio:
    """One member's."""

    def __init__(self, air: WifiAir, who: Identity, link: Link) -> None:
        self.point: dict[str, Any] | None = None
        self.joined: WifiRadio | None = None
        self.number = 0  # among the stations of an access point
        self.host = ""
        self.fixed = ""  # address of the station, by hand
        self.at = who.position
        self.mac = (
            f"{(int.from_bytes(who.mac, 'big') - 2) % (1 << 48):012x}"  # Bluetooth has the second after it
        )
        self._air = air
        self._link = link
        air.radios.append(self)

    @property
    def bssid(self) -> str:
        """As an ESP32 has it: one more than the station's."""
        return f"{(int(self.mac, 16) + 1) % (1 << 48):012x}"

    @property
    def stations(self) -> "list[WifiRadio]":
        return [radio for radio in self._air.radios if radio.joined is self]

    @property
    def network(self) -> dict[str, Any]:
        """Who is in the network of this access point."""
        assert self.point is not None
        point = self.point["address"]
        return {
            "point": point,
            "hosts": {**{each.address: each.host for each in self.stations}, point: self.host},
        }

    @property
    def address(self) -> str:
        """In the network of the access point that it has joined, whose addresses from the second on are its stations'."""
        assert self.joined is not None
        assert self.joined.point is not None
        return self.fixed or f"{self.joined.point['address'].rpartition('.')[0]}.{2 + self.number}"

    def handle(self, op: int, payload: bytes) -> bytes | None:
        asked = _fields(payload)
        if "host" in asked:
            self.host = _host(asked["host"])
        if op in (JOIN, ADDRESS):
            self.fixed = _address(asked.get("address"))
        if op == AP:
            self._set_point(_point(asked) if asked else {})
            return None
        if op == SCAN:
            return json.dumps(self._scan()).encode()
        if op == JOIN:
            return json.dumps(self._join(asked)).encode()
        if op == LEAVE:
            self._leave()
            return None
        if op == ADDRESS:
            if self.joined is not None:
                self.joined.tell_stations()
            return None
        if op == RSSI and self.joined is not None:
            return json.dumps(self._rssi(self.joined)).encode()
        raise OSError(errno.ENOTCONN, "no access point")

    def vm_lost(self) -> None:
        self._leave()
        self._set_point({})

    def place(self, place: Place) -> None:
        """Who goes out of range loses the other."""
        self.at = place
        joined = [self, *self.stations] if self.joined is not None else self.stations
        for station in joined:
            assert station.joined is not None
            if not _LOSS.hears(station._rssi(station.joined)):
                station.dropped(BEACON_TIMEOUT)

    def close(self) -> None:
        self.vm_lost()
        if self in self._air.radios:
            self._air.radios.remove(self)

    def _set_point(self, about: dict[str, Any]) -> None:
        was, self.point = self.point, about or None
        if was and (not about or any(was[k] != about[k] for k in ("ssid", "key", "security"))):
            for station in self.stations:
                station.dropped(DEAUTHENTICATED if about else BEACON_TIMEOUT)
        if was and about and was["address"] != about["address"]:
            self.tell_stations()

    def dropped(self, reason: int) -> None:
        """The access point is gone, or wants other credentials."""
        self._leave()
        self._link.interrupt(WIFI, LOST, reason.to_bytes(2, "little"))

    def _scan(self) -> list[list[Any]]:
        found = []
        for radio in self._air.radios:
            if radio is not self and radio.point and _LOSS.hears(self._rssi(radio)):
                about = radio.point
                name = "" if about["hidden"] else about["ssid"]
                place = [about["channel"], self._rssi(radio), about["security"], about["hidden"]]
                found.append([name, radio.bssid, *place])
        return sorted(found, key=lambda row: -int(row[3]))[:MAX_FOUND]

    def _join(self, wanted: dict[str, Any]) -> dict[str, Any]:
        self._leave()
        near = [
            radio
            for radio in self._air.points(wanted["ssid"], wanted.get("bssid"))
            if radio is not self and _LOSS.hears(self._rssi(radio))
        ]
        if not near:
            return {"status": NO_AP_FOUND}
        best = max(near, key=self._rssi)
        assert best.point is not None
        if best.point["security"] and wanted["key"] != best.point["key"]:
            return {"status": WRONG_PASSWORD}
        if len(best.stations) >= best.point["clients"]:
            return {"status": ASSOC_FAIL}
        taken = {station.number for station in best.stations}
        self.number = next(n for n in range(MAX_CLIENTS + 1) if n not in taken)
        self.joined = best
        best.tell_stations()
        about = {"bssid": best.bssid, "channel": best.point["channel"], "address": self.address}
        return {"status": GOT_IP, **about, "network": best.network}

    def _leave(self) -> None:
        left, self.joined = self.joined, None
        if left is not None:
            left.tell_stations()

    def tell_stations(self) -> None:
        """Its own board who is joined, and all in its network who else is there."""
        macs = [station.mac for station in self.stations]
        self._link.interrupt(WIFI, STATIONS, json.dumps(macs).encode())
        if self.point is None:
            return
        network = json.dumps(self.network).encode()
        for radio in (self, *self.stations):
            radio._link.interrupt(WIFI, NETWORK, network)

    def _rssi(self, other: "WifiRadio") -> int:
        return min(_LOSS.rssi(_position(self.at), _position(other.at)), 0)


def _position(place: Place) -> Position | None:
    return Position(*place) if place is not None else None


def _fields(payload: bytes) -> dict[str, Any]:
    asked = json.loads(payload) if payload else {}
    if not isinstance(asked, dict):
        raise OSError(errno.EINVAL, "not an object")
    return asked


def _host(value: Any) -> str:
    """An address of a board; raises OSError(EINVAL)."""
    if not is_board(str(value)):
        raise OSError(errno.EINVAL, f"no address of a board: {value}")
    return str(value)


def _address(value: Any) -> str:
    """An IPv4 address or ""; raises OSError(EINVAL)."""
    try:
        return socket.inet_ntoa(socket.inet_aton(str(value))) if value else ""
    except OSError:
        raise OSError(errno.EINVAL, f"no address: {value}") from None


def _point(asked: dict[str, Any]) -> dict[str, Any]:
    """An access point that other members can be told of without harm; raises OSError(EINVAL)."""
    try:
        names = {key: str(asked[key]) for key in ("ssid", "key")}
        numbers = {key: int(asked[key]) for key in _NUMBERS}
        hidden = bool(asked["hidden"])
        usable = all(len(name.encode()) <= MAX_NAME for name in names.values())
    except (LookupError, TypeError, ValueError) as error:
        raise OSError(errno.EINVAL, f"no access point: {error}") from None
    if not usable or not all(0 <= numbers[key] <= most for key, most in _NUMBERS.items()):
        raise OSError(errno.EINVAL, "an access point with a value out of range")
    return {**names, **numbers, "hidden": hidden, "address": _address(asked.get("address")) or POINT_ADDRESS}
