"""The board's Wi-Fi station and the access point it may join. Packets go over the host's sockets."""

import asyncio
import errno
import struct

from hil.board.signals import Observable
from hil.vm.link import NET, Link

ACTIVE, CONNECT, DISCONNECT, SCAN, RSSI, IFCONFIG = range(6)
IDLE, CONNECTING, GOT_IP = 1000, 1001, 1010
BEACON_TIMEOUT, NO_AP_FOUND, WRONG_PASSWORD = 200, 201, 202
JOIN_S = 0.02  # a real station takes one to three seconds; scenarios that care set it


class Wifi:
    """Channel NET. ``ssid`` None accepts every network; ``up`` False takes the access point away."""

    def __init__(self, link: Link, ssid: str | None = None, key: str | None = None) -> None:
        self._link = link
        self.ssid = ssid
        self.key = key
        self.join_s = JOIN_S
        self.rssi = -55
        self.status = Observable[int]("wifi_status", IDLE)
        self._up = True
        self._active = False
        self._wanted: tuple[str, str] | None = None
        self._joining: asyncio.TimerHandle | None = None
        link.attach(NET, self)

    @property
    def up(self) -> bool:
        return self._up

    def set_up(self, up: bool) -> None:
        """Switch the access point on or off; a joined station notices at once, and rejoins by itself."""
        self._up = up
        if up and self._wanted is not None:
            self._join()
        elif not up and self.status.value == GOT_IP:
            self._report(BEACON_TIMEOUT)

    def handle(self, op: int, payload: bytes) -> bytes | None:
        if op == ACTIVE:
            self._active = payload[0] == 1
            if not self._active:
                self._leave()
        elif op == CONNECT:
            ssid, key = self._strings(payload)
            self._wanted = (ssid, key)
            self._join()
        elif op == DISCONNECT:
            self._leave()
        elif op == SCAN:
            return self._scan()
        elif op == RSSI:
            if self.status.value != GOT_IP:
                raise OSError(errno.ENOTCONN, "not joined")
            return bytes((self.rssi + 256,))
        elif op == IFCONFIG:
            joined = self.status.value == GOT_IP
            return (
                b"127.0.0.1,255.0.0.0,127.0.0.1,127.0.0.1" if joined else b"0.0.0.0,0.0.0.0,0.0.0.0,0.0.0.0"
            )
        return None

    def vm_lost(self) -> None:
        self._active = False
        self._leave()

    def _join(self) -> None:
        self._cancel()
        self.status.set(CONNECTING)
        self._joining = asyncio.get_running_loop().call_later(self.join_s, self._joined)

    def _joined(self) -> None:
        self._joining = None
        if self._wanted is None or not self._active:
            return
        ssid, key = self._wanted
        if not self._up or (self.ssid is not None and ssid != self.ssid):
            self._report(NO_AP_FOUND)
        elif self.key is not None and key != self.key:
            self._report(WRONG_PASSWORD)
        else:
            self._report(GOT_IP)

    def _leave(self) -> None:
        self._cancel()
        self._wanted = None
        self.status.set(IDLE)

    def _cancel(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
            self._joining = None

    def _report(self, status: int) -> None:
        self.status.set(status)
        self._link.interrupt(NET, 0, struct.pack("<H", status))

    def _scan(self) -> bytes:
        if not self._active:
            raise OSError(errno.ENETDOWN, "Wi-Fi is not active")
        if not self._up or self.ssid is None:
            return b""
        name = self.ssid.encode()
        return struct.pack("<BBbB", len(name), 1, self.rssi, 3) + b"\x02LWAP\x01" + name

    @staticmethod
    def _strings(payload: bytes) -> tuple[str, str]:
        split = 1 + payload[0]
        return payload[1:split].decode(), payload[split + 1 : split + 1 + payload[split]].decode()
