"""``network``: the Wi-Fi station of the board. Sockets are the host's; the model has the access point."""

import struct

import _board
from micropython import const

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_ASSOC_FAIL = 200, 201, 202, 203
_ACTIVE = const(0)
_CONNECT = const(1)
_DISCONNECT = const(2)
_SCAN = const(3)
_RSSI = const(4)
_IFCONFIG = const(5)
_hostname = "latchwork"
_country = "XX"


def _text(s):
    s = s.encode() if isinstance(s, str) else s or b""
    return bytes((len(s),)) + s


class WLAN:
    IF_STA, IF_AP = 0, 1
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = range(3)
    state = STAT_IDLE  # of the one station a board has
    on = False
    ssid = b""
    channel = 1

    def __init__(self, interface_id=0):
        if interface_id != STA_IF:
            raise ValueError("this board has a station only")

    def active(self, on=None):
        if on is None:
            return WLAN.on
        _board.call(_board.NET, _ACTIVE, bytes((1 if on else 0,)))
        WLAN.on = bool(on)
        if not on:
            WLAN.state = STAT_IDLE
        return WLAN.on

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not WLAN.on:
            raise OSError("Wifi Not Started")
        if WLAN.state == STAT_CONNECTING:
            raise OSError("Wifi Internal State Error")
        if ssid is not None:
            WLAN.ssid = ssid.encode() if isinstance(ssid, str) else ssid
        WLAN.state = STAT_CONNECTING
        _board.post(_board.NET, _CONNECT, _text(WLAN.ssid) + _text(key) + (bssid or b""))

    def disconnect(self):
        WLAN.state = STAT_IDLE
        _board.post(_board.NET, _DISCONNECT)

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, param=None):
        _board.pump()
        if param == "rssi":
            return _board.call(_board.NET, _RSSI)[0] - 256
        if param is not None:
            raise ValueError("unknown status param")
        return WLAN.state

    def scan(self):
        answer = _board.call(_board.NET, _SCAN)
        found = []
        while answer:
            size, channel, rssi, security = struct.unpack("<BBbB", answer)
            found.append((answer[10 : 10 + size], answer[4:10], channel, rssi, security, False))
            answer = answer[10 + size :]
        return found

    def ifconfig(self, config=None):
        if config is None:
            return tuple(_board.call(_board.NET, _IFCONFIG).decode().split(","))

    def ipconfig(self, param=None, **kwargs):
        address, mask, gateway, _ = self.ifconfig()
        if param == "addr4":
            return (address, mask)
        if param == "gw4":
            return gateway
        if param == "has_dhcp4":
            return self.isconnected()

    def config(self, param=None, **kwargs):
        if param == "mac":
            return _board.hello()[2]
        if param in ("ssid", "essid"):
            return WLAN.ssid.decode()
        if param in ("hostname", "dhcp_hostname"):
            return _hostname
        if param == "channel":
            return WLAN.channel
        if param is not None:
            raise ValueError("unknown config param")


def _changed(op, payload):
    WLAN.state, WLAN.channel = struct.unpack("<HB", payload)
    return False


_board.on(_board.NET, None, _changed)


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    _hostname = name


def country(code=None):
    global _country
    if code is None:
        return _country
    _country = code


if _board.bare:
    from _wlan import *
