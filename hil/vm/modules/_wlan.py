"""All of ``network.WLAN`` as the ESP32 port has it: both interfaces, every parameter. A door needs the station alone."""

import json
import struct

import _board
import network
from _nic import Nic
from micropython import const

_SCAN = const(3)
_RSSI = const(4)
_IFCONFIG = const(5)
_POINT = const(6)
_ADDRESS = const(7)
_STATIONS = const(1)  # interrupt
_MAX_SSID = const(32)
_MAX_KEY = const(63)


_Lean = network.WLAN


class WLAN(Nic, _Lean):
    IF_STA, IF_AP = 0, 1
    SEC_OPEN, SEC_WEP, SEC_WPA, SEC_WPA2, SEC_WPA_WPA2, SEC_WPA2_ENT, SEC_WPA3, SEC_WPA2_WPA3 = range(8)
    SEC_WAPI, SEC_OWE, SEC_WPA3_ENT_192 = range(8, 11)
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = range(3)
    _mac = None  # by the program, instead of the chip's
    state, on, ssid, channel = (
        _Lean.state,
        _Lean.on,
        _Lean.ssid,
        _Lean.channel,
    )  # its own: a table that grows takes heap

    def __new__(cls, interface_id=0):
        if interface_id == 0:
            return _station
        if interface_id == 1:
            return _point
        raise ValueError("invalid WLAN interface identifier")

    def __init__(self, interface_id=0):
        pass

    def connect(self, ssid=None, key=None, *, bssid=None):
        if bssid is not None and len(bssid) != 6:
            raise ValueError
        if not WLAN.on:
            raise OSError("Wifi Not Started" if not _point.active() else "Wifi Invalid Mode")
        super().connect(ssid, key, bssid=bssid)

    def disconnect(self):
        if not WLAN.on and not _point.active():
            raise OSError("Wifi Not Started")
        super().disconnect()

    def status(self, param=None):
        if param == "stations":
            self._need(1)
        if param == "rssi":
            try:
                return super().status(param)
            except OSError:
                raise OSError("Wifi Not Connected" if WLAN.on else "Wifi Not Started")
        return super().status(param)

    def scan(self):
        if not WLAN.on:
            raise OSError("STA must be active" if _point.active() else "Wifi Not Started")
        return super().scan()

    def told(self):
        return _Lean.ifconfig(self)

    def addressed(self, address):
        _board.call(_board.NET, _ADDRESS, bytes((self._number,)) + address.encode())

    def config(self, *args, **kwargs):
        if args and kwargs:
            raise TypeError("either pos or kw args are allowed")
        if kwargs:
            for name, value in kwargs.items():
                self._configure(name, value)
            self._configured()
            return
        if len(args) != 1:
            raise TypeError("can query only one param")
        return self._query(args[0])

    def _configure(self, name, value):
        if name == "mac":
            if len(value) != 6:
                raise ValueError("invalid buffer length")
            self._mac = bytes(value)
        elif name in ("hostname", "dhcp_hostname"):
            network.hostname(value)
        elif name == "reconnects":
            self._need(0)
            _settings[name] = value
        elif name == "channel":
            self._channel(value)
        elif name in ("txpower", "pm", "protocol"):
            _settings[name] = value
        elif name in ("ssid", "essid", "hidden", "security", "authmode", "key", "password", "max_clients"):
            self._need(1)
            _point.about[_SAME.get(name, name)] = value.decode() if isinstance(value, bytes) else value
        else:
            raise ValueError("unknown config param")

    def _query(self, name):
        if name == "mac":
            return self._mac or self._chip()
        if name in ("ssid", "essid"):
            return self._name()
        if name in ("hidden", "security", "authmode"):
            self._need(1)
            return _point.about[_SAME.get(name, name)]
        if name == "max_clients":
            return _point.about[name]
        if name == "channel":
            return _point.about["channel"] if _point.active() else WLAN.channel
        if name in ("hostname", "dhcp_hostname"):
            self._need(0)
            return network.hostname()
        if name == "reconnects":
            self._need(0)
        elif name == "ifname":
            return ("st1", "ap1")[self._number]
        if name not in _settings:
            raise ValueError("unknown config param")
        return _settings[name]

    _number = 0

    def _need(self, number):
        if self._number != number:
            raise OSError("AP required" if number else "STA required")

    def _configured(self):
        pass

    def _channel(self, value):
        if not 1 <= value <= 14:
            raise RuntimeError("Wifi Unknown Error 0x0102")

    def _name(self):
        return WLAN.ssid.decode()

    def _chip(self):
        return _board.hello()[2]

    def __repr__(self):
        return "<WLAN %s>" % ("STA", "AP")[self._number]


class _Point(WLAN):
    _number = 1
    client = False
    _up = False

    def __new__(cls):
        return object.__new__(cls)

    def __init__(self):
        mac = self._chip()
        name = "ESP_%02X%02X%02X" % (mac[3], mac[4], mac[5])
        self.about = {"ssid": name, "key": "", "channel": 1, "security": 0, "hidden": False, "max_clients": 4}
        self.macs = b""

    def active(self, on=None):
        if on is not None and bool(on) != self._up:
            self._up = bool(on)
            self._tell()
        return self._up

    def connect(self, *args, **kwargs):
        raise OSError("Wifi Invalid Mode")

    def isconnected(self):
        _board.pump()
        return bool(self.macs)

    def status(self, param=None):
        _board.pump()
        if param == "stations":
            return [(self.macs[i : i + 6],) for i in range(0, len(self.macs), 6)]
        if param == "rssi":
            self._need(0)
        if param is not None:
            raise ValueError("unknown status param")

    def told(self):
        return tuple(_board.call(_board.NET, _IFCONFIG, b"\x01").decode().split(","))

    def _configured(self):
        if self._up:
            self._tell()

    def _channel(self, value):
        super()._channel(value)
        self.about["channel"] = value

    def _name(self):
        return self.about["ssid"]

    def _chip(self):
        mac = int.from_bytes(_board.hello()[2], "big") + 1
        return mac.to_bytes(6, "big")

    def _tell(self):
        about = {}
        if self._up:
            about = dict(self.about)
            about["clients"] = about.pop("max_clients")
            about["hidden"] = bool(about["hidden"])
            if about["security"] and not 8 <= len(about["key"]) <= _MAX_KEY:
                self._up = False
                raise OSError("Wifi Invalid Password")
            if not 1 <= len(about["ssid"]) <= _MAX_SSID:
                self._up = False
                raise OSError("Wifi SSID Invalid")
        else:
            self.macs = b""
        _board.call(_board.NET, _POINT, json.dumps(about).encode())


_SAME = {"essid": "ssid", "password": "key", "authmode": "security"}
_settings = {"reconnects": -1, "txpower": 20.0, "pm": 1, "protocol": 7}
_station = object.__new__(WLAN)
_point = _Point()
_interfaces = [_station]  # that ask for names


def _stations(op, payload):
    if op != _STATIONS:
        WLAN.state, WLAN.channel = struct.unpack("<HB", payload)
        return False
    _point.macs = payload if _point.active() else b""
    return False


_board.on(_board.NET, None, _stations)


def LAN(*args, **kwargs):
    from _lan import lan

    interface = lan(*args, **kwargs)
    if interface not in _interfaces:
        _interfaces.append(interface)
    return interface


def ipconfig(*args, **kwargs):
    if not kwargs:
        if len(args) != 1:
            raise TypeError("must query one param")
        if args[0] != "dns":
            raise ValueError("unexpected key")
        told = [interface.ifconfig()[3] for interface in _interfaces]
        return ([_dns[0]] if _dns[0] else [dns for dns in told if dns != "0.0.0.0"] or told)[0]  # noqa: S104
    if args:
        raise TypeError("can't specify pos and kw args")
    for name, value in kwargs.items():
        if name != "dns":
            raise ValueError("unexpected key")
        if len(value.split(".")) != 4:
            raise ValueError("invalid arguments as dns server")
        _dns[0] = value


def hostname(name=None):
    if name is None:
        return _names["host"]
    _names["host"] = _given(name, range(33))


def country(code=None):
    if code is None:
        return _names["country"]
    _names["country"] = _given(code, (2,))


def _given(text, lengths):
    text = text.decode() if isinstance(text, bytes) else text
    if len(text) not in lengths:
        raise ValueError
    return text


def phy_mode(mode=None):
    pass


_names = {"host": "mpy-esp32", "country": "XX"}


_dns = [""]  # by the program
PHY_LAN8710, PHY_LAN8720, PHY_IP101, PHY_RTL8201, PHY_DP83848, PHY_KSZ8041, PHY_KSZ8081 = range(7)
PHY_KSZ8851SNL, PHY_DM9051, PHY_W5500 = range(100, 103)
ETH_INITIALIZED, ETH_STARTED, ETH_STOPPED, ETH_CONNECTED, ETH_DISCONNECTED, ETH_GOT_IP = range(6)
MODE_11B, MODE_11G, MODE_11N, MODE_LR = 1, 2, 4, 8
AUTH_OPEN, AUTH_WEP, AUTH_WPA_PSK, AUTH_WPA2_PSK, AUTH_WPA_WPA2_PSK, AUTH_WPA2_ENTERPRISE = range(6)
AUTH_WPA3_PSK, AUTH_WPA2_WPA3_PSK, AUTH_WAPI_PSK, AUTH_OWE, AUTH_WPA3_ENT_192 = range(6, 11)
AUTH_WPA3_EXT_PSK, AUTH_WPA3_EXT_PSK_MIXED_MODE, AUTH_DPP, AUTH_MAX = range(11, 15)
STAT_CONNECT_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204
STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY, STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD = 210, 211
STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD = 212
