"""What ``bluetooth.BLE`` has beyond the peripheral role: scanning, connecting, GATT client, pairing, L2CAP.

Loaded at first use. What goes over the board link is described in hil/radio/ble_ops.py.
"""

import struct

import _board
from bluetooth import UUID
from micropython import const

_SCAN = const(20)
_CONNECT = const(21)
_DISCOVER_SERVICES = const(22)
_DISCOVER_CHARACTERISTICS = const(23)
_DISCOVER_DESCRIPTORS = const(24)
_CLIENT_READ = const(25)
_CLIENT_WRITE = const(26)
_EXCHANGE_MTU = const(27)
_PAIR = const(28)
_PASSKEY = const(29)
_L2CAP_LISTEN = const(30)
_L2CAP_CONNECT = const(31)
_L2CAP_DISCONNECT = const(32)
_L2CAP_SEND = const(33)
_L2CAP_RECV = const(34)

_SCAN_DURATION_MS = const(2000)
_MIN_MTU = const(32)
_MAX_MTU = const(65535)


def _call(op, pattern, *fields, data=b""):
    _board.pump()  # what came while the program did not wait has been handled on a board
    return _board.call(_board.BLE, op, struct.pack(pattern, *fields) + data)


def _buffer(data):
    return data.encode() if isinstance(data, str) else bytes(memoryview(data))


def _optional(uuid):
    if uuid is None:
        return b""
    if not isinstance(uuid, UUID):
        raise TypeError("UUID")
    return bytes(uuid)


def gap_scan(duration_ms=0, interval_us=1280000, window_us=11250, active=False):
    if duration_ms is None:
        _call(_SCAN, "")
        _board.pump()  # the handler has seen the end when this returns
    else:
        _call(_SCAN, "<iiiB", duration_ms, interval_us, window_us, bool(active))


def gap_connect(
    addr_type, addr=None, scan_duration_ms=None, min_conn_interval_us=None, max_conn_interval_us=None
):
    if addr is None:
        if addr_type is not None:
            raise TypeError("invalid addr")
        _call(_CONNECT, "")
        return
    addr = bytes(memoryview(addr))
    if len(addr) != 6:
        raise ValueError("invalid addr")
    if scan_duration_ms is None:
        scan_duration_ms = _SCAN_DURATION_MS
    intervals = min_conn_interval_us or 0, max_conn_interval_us or 0
    _call(_CONNECT, "<Biii", addr_type, scan_duration_ms, *intervals, data=addr)
    _board.pump()  # a scan that this ended is done


def gap_pair(conn_handle):
    _call(_PAIR, "<H", conn_handle)


def gap_passkey(conn_handle, action, passkey):
    _call(_PASSKEY, "<HBi", conn_handle, action, passkey)


def gattc_discover_services(conn_handle, uuid=None):
    _call(_DISCOVER_SERVICES, "<H", conn_handle, data=_optional(uuid))


def gattc_discover_characteristics(conn_handle, start_handle, end_handle, uuid=None):
    _call(_DISCOVER_CHARACTERISTICS, "<HHH", conn_handle, start_handle, end_handle, data=_optional(uuid))


def gattc_discover_descriptors(conn_handle, start_handle, end_handle):
    _call(_DISCOVER_DESCRIPTORS, "<HHH", conn_handle, start_handle, end_handle)


def gattc_read(conn_handle, value_handle):
    _call(_CLIENT_READ, "<HH", conn_handle, value_handle)


def gattc_write(conn_handle, value_handle, data, mode=0):
    _call(_CLIENT_WRITE, "<HHB", conn_handle, value_handle, mode, data=_buffer(data))


def gattc_exchange_mtu(conn_handle):
    _call(_EXCHANGE_MTU, "<H", conn_handle)


def _mtu(mtu):
    return max(_MIN_MTU, min(_MAX_MTU, mtu))


def l2cap_listen(psm, mtu):
    _call(_L2CAP_LISTEN, "<HH", psm, _mtu(mtu))


def l2cap_connect(conn_handle, psm, mtu):
    _call(_L2CAP_CONNECT, "<HHH", conn_handle, psm, _mtu(mtu))


def l2cap_disconnect(conn_handle, cid):
    _call(_L2CAP_DISCONNECT, "<HH", conn_handle, cid)


def l2cap_send(conn_handle, cid, buf):
    return _call(_L2CAP_SEND, "<HH", conn_handle, cid, data=_buffer(buf)) == b"\x01"


def l2cap_recvinto(conn_handle, cid, buf):
    if buf is None:
        return struct.unpack("<H", _call(_L2CAP_RECV, "<HHHB", conn_handle, cid, 0, 1))[0]
    data = _call(_L2CAP_RECV, "<HHHB", conn_handle, cid, len(buf), 0)
    memoryview(buf)[: len(data)] = data
    return len(data)
