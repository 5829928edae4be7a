"""MicroPython's ``bluetooth`` module on a simulated board, over the bench's radio.

The contract is MicroPython's documentation, and its NimBLE port where that is silent. What goes over the board link is
described in hil/radio/ble_ops.py. Here is the peripheral role; central role, pairing and L2CAP are in _ble_central, loaded
when they are asked for: on a real board they cost no heap.
"""

import struct
import sys

import _board
import uctypes
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
_STARTED = const(14)

_WAIT_MS = const(20)
_EINVAL = const(22)
_VIEW = const(118)  # "v" and "u" in the format of an event
_UUID = const(117)
_NONE = const(110)  # "n"
_LAZY = const(
    "gap_scan gap_connect gap_pair gap_passkey gattc_discover_services gattc_discover_characteristics"
    " gattc_discover_descriptors gattc_read gattc_write gattc_exchange_mtu l2cap_listen l2cap_connect"
    " l2cap_disconnect l2cap_send l2cap_recvinto"
)


class UUID(bytes):
    """16, 32 or 128 bits; the bytes are little endian, as on air."""

    def __init__(self, value):
        if isinstance(value, int):
            if value > 65535:
                raise ValueError("invalid UUID")
            data = struct.pack("<H", value & 0xFFFF)
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


class _Radio:
    def __new__(cls):
        global _ble
        if _ble is None:
            _ble = object.__new__(cls)
            _ble._active = False
            _ble._settings = {}
            _ble._handler = None
            _ble._rxbuf = 128
            _board.on(_board.BLE, _ble._event)
        return _ble

    def active(self, *on):
        if len(on) > 1:
            raise TypeError
        if on:
            self._active = False
            on = (2 if self._handler else 1) if on[0] else 0
            _board.call(_board.BLE, _ACTIVE, bytes((on,)))
            # Bonds and keys are asked of the handler while this waits, as on a board whose host task runs beside it.
            _board.pump()  # the end of a scan that this ended
            while on == 2 and not _board.call(_board.BLE, _STARTED):
                _board.wait_ms(_WAIT_MS)
            self._active = on != 0
            for name in self._settings if on else ():
                self._set(name, self._settings[name])
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
            return self._get(name) if self._active else self._settings.get(name, b"")
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
        elif name == "mtu":
            self._set(name, struct.pack("<H", value))
        elif name == "addr_mode":
            self._set(name, bytes((value,)))
        elif name in ("gap_name", "io", "bond", "mitm", "le_secure"):  # these outlive the radio's power
            value = _buffer(value) if name == "gap_name" else bytes((value if name == "io" else bool(value),))
            if self._active:
                self._set(name, value)
            self._settings[name] = value
        else:
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
            raise OSError(_EINVAL)
        flags = bool(connectable) | (adv_data is not None) << 1 | (resp_data is not None) << 2
        head = struct.pack("<BI", flags, interval_us)
        _board.call(_board.BLE, _ADVERTISE, head + bytes((len(adv),)) + adv + bytes((len(resp),)) + resp)

    def gap_disconnect(self, conn_handle):
        _board.pump()  # what came while the program did not wait has been handled on a board
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
        try:
            return _board.call(_board.BLE, _READ, struct.pack("<H", value_handle))
        except OSError:
            return b""  # as the port, for a handle that is none, and while the radio is off

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

    def _event(self, event, payload):
        """Run the handler; the payload says by itself what it holds: hil/radio/ble_ops.py."""
        if not event:  # several
            while payload:
                end = 3 + (payload[1] | payload[2] << 8)
                self._event(payload[0], payload[3:end])
                payload = payload[end:]
            return
        if self._handler is None:
            result = None
        else:
            try:
                result = _encode(self._handler(event, _decode(payload)))
            except Exception as e:
                print("Unhandled exception in IRQ callback handler")
                sys.print_exception(e)
                self._handler = result = None
        # Views are valid only in the handler: let firmware that keeps one see so.
        uctypes.bytearray_at(uctypes.addressof(payload) + 2, len(payload) - 2)[:] = bytes(len(payload) - 2)
        if payload[0] or payload[1]:
            _board.post(_board.BLE, _ANSWER, payload[:2] + (result or b""))


def _decode(payload):
    view = memoryview(payload)
    at = 3 + payload[2]
    data = []
    for kind in payload[3:at]:
        if kind == _VIEW or kind == _UUID:
            size = payload[at] | payload[at + 1] << 8
            item = view[at + 2 : at + 2 + size]
            data.append(item if kind == _VIEW else UUID(item))
            at += 2 + size
        elif kind == _NONE:
            data.append(None)
        else:
            kind = "<" + chr(kind)
            data.append(struct.unpack_from(kind, payload, at)[0])
            at += struct.calcsize(kind)
    return tuple(data)


def _encode(result):
    if result is None:
        return b""
    if isinstance(result, (int, bool)):
        return struct.pack("<Bi", 0, result)
    return b"\x01" + _buffer(result)


def _later(name):
    def call(self, *args):
        return getattr(__import__("_ble_central"), name)(*args)

    return call


def _add_uuid(out, uuid, error):
    if not isinstance(uuid, UUID):
        raise ValueError(error)
    data = bytes(uuid)
    out.append(len(data))
    out.extend(data)


# A door does without: _ble_central is loaded at the first call.
BLE = type("BLE", (_Radio,), {name: _later(name) for name in _LAZY.split()})
_ble = None
_board.post(_board.BLE, 0)  # WAKE: the air may start while the firmware goes on
