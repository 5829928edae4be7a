"""``network.LAN`` as the ESP32 port has it. The model has the cable, and the network behind it."""

import _board
import network
from _nic import Nic
from machine import SPI, Pin
from micropython import const

_ETHERNET = const(19)  # the channel of the board model
_START = const(0)
_STOP = const(1)
_ADDRESSES = const(2)
_POWER_MS = const(100)


class _Lan(Nic):
    def __init__(self, pins):
        mac = (
            int.from_bytes(_board.hello()[2], "big") + 3
        )  # as an ESP32 counts: station, access point, Bluetooth
        self._pins = pins
        self._mac = mac.to_bytes(6, "big")
        self._on = False
        self._status = network.ETH_INITIALIZED
        _board.on(_ETHERNET, None, self._changed)

    def _changed(self, op, payload):
        self._status = payload[0]
        return False

    def active(self, on=None):
        if on is not None and bool(on) != self._on:
            _board.call(_ETHERNET, _START if on else _STOP)
            self._on = bool(on)
        return self._on

    def status(self):
        _board.pump()
        return self._status

    def isconnected(self):
        return self.status() == network.ETH_GOT_IP and self._on

    def config(self, *args, **kwargs):
        if args and kwargs:
            raise TypeError("either pos or kw args are allowed")
        if kwargs:
            if "mac" in kwargs:
                self._set_mac(bytes(kwargs["mac"]))
        elif len(args) != 1:
            raise TypeError("can query only one param")
        elif args[0] == "mac":
            return self._mac
        elif args[0] == "ifname":
            return "en1"
        else:
            raise ValueError("unknown config param")

    def _set_mac(self, mac):
        if len(mac) != 6:
            raise ValueError("invalid buffer length")
        if mac[0] & 1:
            raise OSError("failed setting MAC address")
        self._mac = mac

    def told(self):
        return tuple(_board.call(_ETHERNET, _ADDRESSES).decode().split(","))


_made = []


def lan(
    id=None,
    *,
    mdc=None,
    mdio=None,
    reset=None,
    power=None,
    phy_addr=None,
    phy_type=None,
    spi=None,
    cs=None,
    int=None,
    ref_clk_mode=-1,
    ref_clk=None,
):
    if _made:
        return _made[0]
    for name, value in (("phy_addr", phy_addr), ("phy_type", phy_type)):
        if value is None:
            raise TypeError("'%s' argument required" % name)
    if id not in (None, 0):
        raise ValueError("invalid LAN interface identifier")
    pins = [Pin(pin) if pin is not None else None for pin in (mdc, mdio, reset, power, cs, int, ref_clk)]
    if not 0 <= phy_addr <= 0x1F:
        raise ValueError("invalid phy address")
    on_spi = network.PHY_KSZ8851SNL <= phy_type <= network.PHY_W5500
    if not (on_spi or 0 <= phy_type <= network.PHY_KSZ8081):
        raise ValueError("invalid phy type")
    if power is not None:
        pins[3].init(Pin.OUT, value=1)
        _board.wait_ms(_POWER_MS)
    if on_spi and not isinstance(spi, SPI):
        raise ValueError("expecting a SPI object")
    if not on_spi and (mdc is None or mdio is None):
        raise ValueError("mdc and mdio must be specified")
    _made.append(_Lan(pins))
    return _made[0]
