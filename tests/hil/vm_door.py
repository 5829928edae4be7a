"""Runs on MicroPython: a bare door that speaks the handshake, honestly or not.

Arguments: door id (hex), credential root (hex), status, behaviour.
"""

import os
import sys
import time

import bluetooth

from protocol.errors import ProtocolError
from protocol.fragment import Reassembler, split
from protocol.handshake import DoorSide

door_id = bytes.fromhex(sys.argv[1])
root = bytes.fromhex(sys.argv[2])
status = int(sys.argv[3])
behaviour = sys.argv[4]


def uuid(n):
    return bluetooth.UUID("6c617463-6877-6f72-6b00-00000000000" + str(n))


ble = bluetooth.BLE()
# "borrowed": passes on the challenge of another door, to have the phone answer that one
side = DoorSide(bytes(8) if behaviour == "borrowed" else door_id, 1)
fragments = Reassembler()
mtu = 23
writes = []


def irq(event, data):
    global mtu
    if event == 1:
        mtu = 23
        if behaviour == "garbled":
            ble.gatts_write(challenge, b"\x07" * 40)
        else:
            ble.gatts_write(challenge, side.challenge(os.urandom(16), time.ticks_ms(), None, 3))
    elif event == 2:
        advertise()
    elif event == 3:
        writes.append((data[0], ble.gatts_read(data[1])))
    elif event == 21:
        mtu = data[1]


def advertise():
    ble.gap_advertise(
        100_000,
        b"\x02\x01\x06\x11\x07" + bytes(uuid(1)),
        resp_data=b"\x07\x09LW-bad\x0b\xff\xff\xff" + door_id,
    )


def answer(conn, message):
    print("heard", len(message))
    if behaviour == "mute":
        return
    if behaviour == "flood":
        for i in range(100):
            ble.gatts_notify(conn, result, bytes((i,)) * 20)
        return
    if behaviour == "hangup":
        ble.gap_disconnect(conn)
        return
    try:
        auth = side.receive_auth(message, time.ticks_ms(), root)
    except ProtocolError as e:
        print("refused", e.reason)
        if behaviour == "twin":  # knows no key, and says yes all the same
            send(conn, b"\x00" + os.urandom(29))
        else:
            ble.gap_disconnect(conn)
        return
    print("auth", auth.action, len(auth.caveats))
    reply = bytearray(side.result(auth, status, 7, 3, 0))
    if behaviour == "flip":
        reply[0] ^= 1
    send(conn, reply)


def send(conn, message):
    try:
        for part in split(message, mtu):
            ble.gatts_notify(conn, result, part)
    except OSError as e:
        print("lost", e.errno)


ble.active(True)
ble.config(mtu=247)
ble.irq(irq)
characteristics = (
    (uuid(2), bluetooth.FLAG_READ),
    (uuid(3), bluetooth.FLAG_WRITE | bluetooth.FLAG_WRITE_NO_RESPONSE),
    (uuid(4), bluetooth.FLAG_NOTIFY),
)
((challenge, proof, result),) = ble.gatts_register_services(((uuid(1), characteristics),))
ble.gatts_set_buffer(proof, 247)
advertise()
print("ready")
while True:
    while writes:
        conn, fragment = writes.pop(0)
        message = fragments.push(fragment)
        if message is not None:
            answer(conn, message)
    time.sleep_ms(5)
