"""All of ``network.WLAN`` as the ESP32 port has it: both interfaces, every parameter. A door needs the station alone."""

import json
import struct

import _board
import network
from micropython import const

_SCAN = const(3)
_RSSI = const(4)
_IFCONFIG = const(5)
_POINT = const(6)
_STATIONS = const(1)  # interrupt
_MAX_SSID = const(32)
_MAX_KEY = const(63)


_Lean = network.WLAN


class WLAN(_Lean):
    IF_STA, IF_AP = 0, 1
    SEC_OPEN, SEC_WEP, SEC_WPA, SEC_WPA2, SEC_WPA_WPA2, SEC_WPA2_ENT, SEC_WPA3, SEC_WPA2_WPA3 = range(8)
    SEC_WAPI, SEC_OWE, SEC_WPA3_ENT_192 = range(8, 11)
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = range(3)
    _mac = None  # by the program, instead of the chip's
    _set = None  # ifconfig

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

    def ifconfig(self, config=None):
        if config is None:
            return self._set or self._told()
        if isinstance(config, str):
            if config != "dhcp" or self is _point:
                raise ValueError("invalid arguments")
            self._set = None
            return
        address, mask, gateway, dns = config
        if isinstance(mask, int):
            bits = 0xFFFFFFFF << (32 - mask) & 0xFFFFFFFF
            mask = ".".join([str(bits >> n & 255) for n in (24, 16, 8, 0)])
        self._set = (address, mask, gateway, dns)

    def _told(self):
        return super().ifconfig()

    def ipconfig(self, param=None, **kwargs):
        if not kwargs:
            if param not in ("addr4", "gw4", "has_dhcp4", "dhcp4", "addr6", "has_autoconf6", "autoconf6"):
                raise ValueError("unknown config param")
            address, mask, gateway, _ = self.ifconfig()
            return {
                "addr4": (address, mask),
                "gw4": gateway,
                "has_dhcp4": self._set is None and address != "0.0.0.0",  # noqa: S104
                "dhcp4": self._set is None,
                "addr6": [],
                "has_autoconf6": False,
                "autoconf6": False,
            }[param]
        if param is not None:
            raise TypeError("either pos or kw args are allowed")
        for name, value in kwargs.items():
            self._put(name, value)

    def _put(self, name, value):
        address, mask, gateway, dns = self.ifconfig()
        if name == "dhcp4":
            self._set = None if value else (address, mask, gateway, dns)
        elif name == "addr4":
            if isinstance(value, str):
                value, _, bits = value.partition("/")
                value = (value, int(bits) if bits else mask)
            self.ifconfig((value[0], value[1], gateway, dns))
        elif name == "gw4":
            self.ifconfig((address, mask, value, dns))
        else:
            raise ValueError("unknown config param")

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

    def _told(self):
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


def _stations(op, payload):
    if op != _STATIONS:
        WLAN.state, WLAN.channel = struct.unpack("<HB", payload)
        return False
    _point.macs = payload if _point.active() else b""
    return False


_board.on(_board.NET, None, _stations)


def LAN(*args, **kwargs):
    raise ValueError("unknown PHY")  # no board of the bench has one


MODE_11B, MODE_11G, MODE_11N, MODE_LR = 1, 2, 4, 8
AUTH_OPEN, AUTH_WEP, AUTH_WPA_PSK, AUTH_WPA2_PSK, AUTH_WPA_WPA2_PSK, AUTH_WPA2_ENTERPRISE = range(6)
AUTH_WPA3_PSK, AUTH_WPA2_WPA3_PSK, AUTH_WAPI_PSK, AUTH_OWE, AUTH_WPA3_ENT_192 = range(6, 11)
AUTH_MAX = 14
STAT_CONNECT_FAIL, STAT_HANDSHAKE_TIMEOUT = 203, 204
STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY, STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD = 210, 211
STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD = 212
