"""MicroPython's ``bluetooth`` module on a simulated board: the peripheral role, over the bench's radio.

The contract is MicroPython's documentation, and its NimBLE port where that is silent. What goes over the
board link is described in hil/radio/ble_ops.py. Central role, pairing and L2CAP raise EOPNOTSUPP.
"""

import struct
import sys

import _board
from micropython import const

FLAG_READ = const(0x0002)
FLAG_WRITE_NO_RESPONSE = const(0x0004)
FLAG_WRITE = const(0x0008)
FLAG_NOTIFY = const(0x0010)
FLAG_INDICATE = const(0x0020)

_ACTIVE = const(1)
_CONFIG_GET = const(2)
_CONFIG_SET = const(3)
_ADVERTISE = const(4)
_STOP = const(5)
_REGISTER = const(6)
_READ = const(7)
_WRITE = const(8)
_NOTIFY = const(9)
_INDICATE = const(10)
_SET_BUFFER = const(11)
_DISCONNECT = const(12)
_ANSWER = const(13)

_IRQ_CENTRAL_CONNECT = const(1)
_IRQ_CENTRAL_DISCONNECT = const(2)
_IRQ_GATTS_WRITE = const(3)
_IRQ_GATTS_READ_REQUEST = const(4)
_IRQ_GATTS_INDICATE_DONE = const(20)
_IRQ_MTU_EXCHANGED = const(21)
_IRQ_CONNECTION_UPDATE = const(27)

_NOT_SIMULATED = const("gap_scan gap_connect gap_pair gap_passkey")
_EIO = const(5)
_EOPNOTSUPP = const(95)

_address = bytearray(6)
_address_view = memoryview(_address)


class UUID(bytes):
    """16, 32 or 128 bits; the bytes are little endian, as on air."""

    def __init__(self, value):
        if isinstance(value, int):
            if not 0 <= value <= 65535:
                raise ValueError("invalid UUID")
            data = struct.pack("<H", value)
        else:
            data = _buffer(value)
            if len(data) not in (2, 4, 16):
                data = _parse_uuid(data)
        super().__init__(data)

    def __eq__(self, other):
        return isinstance(other, UUID) and bytes(self) == bytes(other)

    def __hash__(self):
        return hash(bytes(self))

    def __repr__(self):
        data = bytes(self)
        text = bytes(reversed(data)).hex()
        if len(data) < 16:
            return "UUID(0x" + text + ")"
        return "UUID('" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])) + "')"

    __str__ = __repr__


def _parse_uuid(text):
    digits = text.replace(b"-", b"")
    for c in digits:
        if c not in b"0123456789abcdefABCDEF":
            raise ValueError("invalid char in UUID")
    if len(digits) > 32:
        raise ValueError("UUID too long")
    if len(digits) < 32:
        raise ValueError("UUID too short")
    return bytes(reversed(bytes.fromhex(digits.decode())))


def _buffer(data):
    return data.encode() if isinstance(data, str) else bytes(memoryview(data))


class BLE:
    """The radio; a singleton."""

    def __new__(cls):
        global _ble
        if _ble is None:
            _ble = object.__new__(cls)
            _ble._active = False
            _ble._name = None
            _ble._handler = None
            _ble._rxbuf = 128
            _board.on(_board.BLE, _ble._event)
        return _ble

    def active(self, *on):
        if on:
            self._active = False
            _board.call(_board.BLE, _ACTIVE, b"\x01" if on[0] else b"\x00")
            self._active = bool(on[0])
            if self._active and self._name is not None:
                self._set("gap_name", self._name)
        return self._active

    def config(self, *query, **values):
        if values:
            if query:
                raise TypeError("can't specify pos and kw args")
            for name, value in values.items():
                self._configure(name, value)
            return None
        if len(query) != 1:
            raise TypeError("must query one param")
        name = query[0]
        if name == "rxbuf":
            return self._rxbuf
        if name == "gap_name":
            return self._get(name) if self._active else self._name or b""
        if name == "mtu":
            return int.from_bytes(self._get(name), "little")
        if name == "mac":
            mac = self._get(name)
            return mac[0], mac[1:]
        raise ValueError("unknown config param")

    def _configure(self, name, value):
        if name == "rxbuf":
            if not 16 <= value <= 0xFFFF:
                raise ValueError
            self._rxbuf = value
        elif name == "gap_name":
            self._name = _buffer(value)
            if self._active:
                self._set(name, self._name)
        elif name == "mtu":
            self._set(name, struct.pack("<H", value))
        elif name == "addr_mode":
            if value not in (0, 1, 2, 3):
                raise ValueError("invalid address mode")
            self._set(name, bytes((value,)))
        elif name not in ("bond", "mitm", "le_secure", "io"):  # these only matter to pairing
            raise ValueError("unknown config param")

    def _get(self, name):
        return _board.call(_board.BLE, _CONFIG_GET, name.encode())

    def _set(self, name, value):
        _board.call(_board.BLE, _CONFIG_SET, name.encode() + b"=" + value)

    def irq(self, handler):
        if handler is not None and not callable(handler):
            raise ValueError("invalid handler")
        self._handler = handler

    def gap_advertise(self, interval_us=500000, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            if self._active:
                _board.call(_board.BLE, _STOP)
            return
        adv = b"" if adv_data is None else _buffer(adv_data)
        resp = b"" if resp_data is None else _buffer(resp_data)
        if len(adv) > 31 or len(resp) > 31:
            raise OSError(_EIO)
        flags = bool(connectable) | (adv_data is not None) << 1 | (resp_data is not None) << 2
        head = struct.pack("<BI", flags, interval_us)
        _board.call(_board.BLE, _ADVERTISE, head + bytes((len(adv),)) + adv + bytes((len(resp),)) + resp)

    def gap_disconnect(self, conn_handle):
        return _board.call(_board.BLE, _DISCONNECT, struct.pack("<H", conn_handle)) == b"\x01"

    def gatts_register_services(self, services_definition):
        out = bytearray((len(services_definition),))
        counts = []
        for uuid, characteristics in services_definition:
            _add_uuid(out, uuid, "invalid service UUID")
            out.append(len(characteristics))
            count = 0
            for characteristic in characteristics:
                if not 2 <= len(characteristic) <= 3:
                    raise ValueError("invalid characteristic tuple")
                descriptors = characteristic[2] if len(characteristic) > 2 else ()
                _add_uuid(out, characteristic[0], "invalid characteristic UUID")
                out.extend(struct.pack("<HB", characteristic[1], len(descriptors)))
                for descriptor_uuid, flags in descriptors:
                    _add_uuid(out, descriptor_uuid, "invalid descriptor UUID")
                    out.extend(struct.pack("<H", flags))
                count += 1 + len(descriptors)
            counts.append(count)
        handles = _board.call(_board.BLE, _REGISTER, bytes(out))
        at = 0
        result = []
        for count in counts:
            result.append(struct.unpack_from("<%dH" % count, handles, at))
            at += 2 * count
        return tuple(result)

    def gatts_read(self, value_handle):
        return _board.call(_board.BLE, _READ, struct.pack("<H", value_handle))

    def gatts_write(self, value_handle, data, send_update=False):
        data = _buffer(data)
        _board.call(_board.BLE, _WRITE, struct.pack("<HB", value_handle, bool(send_update)) + data)
        return len(data)

    def gatts_notify(self, conn_handle, value_handle, data=None):
        self._send(_NOTIFY, conn_handle, value_handle, data)

    def gatts_indicate(self, conn_handle, value_handle, data=None):
        self._send(_INDICATE, conn_handle, value_handle, data)

    def _send(self, op, conn_handle, value_handle, data):
        head = struct.pack("<HHB", conn_handle, value_handle, data is not None)
        _board.call(_board.BLE, op, head if data is None else head + _buffer(data))

    def gatts_set_buffer(self, value_handle, len, append=False):
        _board.call(_board.BLE, _SET_BUFFER, struct.pack("<HHB", value_handle, len, bool(append)))

    def __getattr__(self, name):
        # Not one by one: every name here would cost the firmware's heap what it does not cost on a real board.
        if name.startswith("gattc_") or name.startswith("l2cap_") or name in _NOT_SIMULATED.split():
            return _unsupported
        raise AttributeError(name)

    def _event(self, event, payload):
        if event == _IRQ_GATTS_WRITE or event == _IRQ_GATTS_READ_REQUEST:
            request, conn, handle = struct.unpack("<HHH", payload)
            code = self._invoke(event, (conn, handle))
            _board.post(_board.BLE, _ANSWER, struct.pack("<HB", request, code))
        elif event == _IRQ_CENTRAL_CONNECT or event == _IRQ_CENTRAL_DISCONNECT:
            conn, kind = struct.unpack_from("<HB", payload)
            _address[:] = payload[3:]
            self._invoke(event, (conn, kind, _address_view))
            for i in range(6):  # the view is valid only in the handler: let firmware that keeps it see so
                _address[i] = 0
        elif event == _IRQ_MTU_EXCHANGED:
            self._invoke(event, struct.unpack("<HH", payload))
        elif event == _IRQ_GATTS_INDICATE_DONE:
            self._invoke(event, struct.unpack("<HHB", payload))
        elif event == _IRQ_CONNECTION_UPDATE:
            self._invoke(event, struct.unpack("<HHHHH", payload))

    def _invoke(self, event, data):
        if self._handler is not None:
            try:
                return int(self._handler(event, data) or 0) & 0xFF
            except Exception as e:
                sys.print_exception(e)
        return 0


def _unsupported(*args, **kwargs):
    raise OSError(_EOPNOTSUPP, "central role, pairing and L2CAP are not simulated")


def _add_uuid(out, uuid, error):
    if not isinstance(uuid, UUID):
        raise ValueError(error)
    data = bytes(uuid)
    out.append(len(data))
    out.extend(data)


_ble = None
_board.post(_board.BLE, 0)  # WAKE: the air may start while the firmware goes on
