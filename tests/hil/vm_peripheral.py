"""Runs on MicroPython: a peripheral whose every part a central can drive. Arguments: address mode, MTU."""

import sys
import time

import bluetooth

CONNECT, DISCONNECT, WRITE, READ_REQUEST, INDICATE_DONE, MTU, UPDATE = 1, 2, 3, 4, 20, 21, 27
SERVICE = bluetooth.UUID("6c617463-6877-6f72-6b00-0000000000a0")
R = bluetooth.FLAG_READ
W = bluetooth.FLAG_WRITE
WNR = bluetooth.FLAG_WRITE_NO_RESPONSE
READ_ENCRYPTED, WRITE_ENCRYPTED = 0x0200, 0x1000
ADVERTISING = b"\x02\x01\x06\x11\x07" + bytes(SERVICE)
RESPONSE = b"\x05\x09vmp1\x05\xff\xff\xff\x01\x02"


def uuid(n):
    return bluetooth.UUID("6c617463-6877-6f72-6b00-0000000000a" + str(n))


ble = bluetooth.BLE()
reads = 0
deny = 0
kept = None
connected = []


def irq(event, data):
    global reads, deny, kept
    if event == CONNECT:
        connected.append(data[0])
        kept = data[2]
        print("connect", data[0], data[1], bytes(data[2]).hex())
        advertise()
    elif event == DISCONNECT:
        connected.remove(data[0])
        print("disconnect", data[0], data[1], bytes(data[2]).hex())
        advertise()
    elif event == READ_REQUEST:
        reads += 1
        print("read", data[0], data[1])
        if data[1] == counted:
            ble.gatts_write(counted, b"read %d" % reads)
        return deny if data[1] in (counted, long) else None
    elif event == WRITE:
        conn, handle = data
        value = ble.gatts_read(handle)
        print("write", conn, handle, bytes(value))
        if handle == control:
            command(conn, value)
        elif handle == echo:
            ble.gatts_notify(conn, notify, value)
    else:
        print("irq", event, data)


def command(conn, value):
    global deny
    name, _, argument = value.partition(b" ")
    if name == b"deny":
        deny = int(argument)
    elif name == b"update":
        ble.gatts_write(notify, argument, True)
    elif name == b"local":
        ble.gatts_write(notify, argument)
        ble.gatts_notify(conn, notify)
    elif name == b"indicate":
        ble.gatts_indicate(conn, indicate, argument)
    elif name == b"drop":
        print("dropped", ble.gap_disconnect(conn), ble.gap_disconnect(77))
    elif name == b"kept":
        print("kept", bytes(kept).hex())
    elif name == b"sleep":
        time.sleep_ms(int(argument))
    elif name == b"off":
        ble.active(False)
        print("off")
    elif name == b"crash":
        raise ValueError("on purpose")


def advertise():
    if len(connected) < 4:
        ble.gap_advertise(100_000, ADVERTISING, resp_data=RESPONSE)


def refused(call, *args):
    try:
        call(*args)
    except OSError as e:
        return e.errno
    return None


print(
    "inactive",
    *[refused(*c) for c in ((ble.gap_advertise, 100_000), (ble.gatts_write, 16, ""), (ble.config, "mac"))],
    ble.gatts_read(16),
)
ble.active(True)
ble.config(addr_mode=int(sys.argv[1]), mtu=int(sys.argv[2]), gap_name="vm door")
ble.irq(irq)
print("mac", ble.config("mac")[0], ble.config("mac")[1].hex())
CHARACTERISTICS = (
    (uuid(1), R),
    (uuid(2), R),
    (uuid(3), R | W | WNR),
    (uuid(4), W | WNR),
    (uuid(5), R | bluetooth.FLAG_NOTIFY),
    (uuid(6), bluetooth.FLAG_INDICATE),
    (uuid(7), W | WNR),
    (uuid(8), W, ((bluetooth.UUID(0x2901), R | W),)),
    (uuid(9), R | READ_ENCRYPTED | W | WRITE_ENCRYPTED),
)
(handles,) = ble.gatts_register_services(((SERVICE, CHARACTERISTICS),))
counted, long, short, echo, notify, indicate, control, append, described, secure = handles
ble.gatts_write(long, bytes(range(200)))
ble.gatts_write(described, b"append")
ble.gatts_set_buffer(echo, 244)
ble.gatts_set_buffer(control, 60)
ble.gatts_set_buffer(append, 30, True)
ble.gatts_write(secure, b"secret")
advertise()
print("busy", refused(ble.gatts_register_services, ((SERVICE, ()),)))
print("handles", counted, long, notify, control)
print("ready")
while True:
    time.sleep_ms(1000)
