# ruff: noqa: PTH123 (no pathlib on MicroPython)
"""Runs on MicroPython: a peripheral and a central in asyncio, in the style of aioble. Arguments: role, file of its secrets."""

import asyncio
import sys

import bluetooth

CONNECTED, GONE, WRITTEN = 1, 2, 3
FOUND, PEER, PEER_GONE, CHARACTERISTIC, CHARACTERISTICS = 5, 7, 8, 11, 12
READ, READ_DONE, WRITE_DONE, NOTIFIED, MTU = 15, 16, 17, 18, 21
ENCRYPTED, GET_SECRET, SET_SECRET = 28, 29, 30
SERVICE = bluetooth.UUID("6c617463-6877-6f72-6b00-0000000000b0")
ECHO = bluetooth.UUID("6c617463-6877-6f72-6b00-0000000000b1")
SECRET = bluetooth.UUID(0x2A56)
FLAG_READ_ENCRYPTED = 0x0200
NAME = b"\x06\x09async"

ble = bluetooth.BLE()
secrets = {}
flags = {}
events = {}


def copied(field):
    if isinstance(field, bluetooth.UUID):
        return bluetooth.UUID(field)
    return bytes(field) if isinstance(field, memoryview) else field


def irq(event, data):
    data = [copied(field) for field in data]
    if event == GET_SECRET:
        found = [v for (kind, key), v in secrets.items() if kind == data[0] and data[2] in (None, key)]
        return found[data[1]] if data[1] < len(found) else None
    if event == SET_SECRET:
        secrets[data[0], data[1]] = data[2]
        with open(sys.argv[2], "w") as f:
            f.write(repr(secrets))
        return True
    events.setdefault(event, []).append(data)
    flag(event).set()


def flag(event):
    return flags.setdefault(event, asyncio.ThreadSafeFlag())


async def next_of(event):
    while not events.get(event):
        await asyncio.wait_for(flag(event).wait(), 30)
    return events[event].pop(0)


async def peripheral():
    ((echo, secret),) = ble.gatts_register_services(
        (
            (
                SERVICE,
                (
                    (ECHO, bluetooth.FLAG_WRITE | bluetooth.FLAG_NOTIFY),
                    (SECRET, bluetooth.FLAG_READ | FLAG_READ_ENCRYPTED),
                ),
            ),
        )
    )
    ble.gatts_set_buffer(echo, 100)
    ble.gatts_write(secret, "for bonded peers")
    ble.gap_advertise(30_000, b"\x02\x01\x06", resp_data=NAME)
    conn = (await next_of(CONNECTED))[0]
    await next_of(WRITTEN)
    ble.gatts_notify(conn, echo, ble.gatts_read(echo))
    print("bonded", (await next_of(ENCRYPTED))[1:4])
    await next_of(GONE)


async def find():
    ble.gap_scan(0, 30_000, 30_000, True)
    while True:
        kind, address, _, _, data = await next_of(FOUND)
        if data == NAME:
            ble.gap_scan(None)
            return kind, address


async def central():
    ble.gap_connect(*await find(), 20_000)
    conn = (await next_of(PEER))[0]
    ble.gattc_exchange_mtu(conn)
    print("mtu", (await next_of(MTU))[1])
    ble.gattc_discover_characteristics(conn, 1, 0xFFFF)
    await next_of(CHARACTERISTICS)
    handles = {found[4]: found[2] for found in events[CHARACTERISTIC]}
    ble.gattc_write(conn, handles[ECHO], "e" * 60, 1)
    await next_of(WRITE_DONE)
    print("echo", len((await next_of(NOTIFIED))[2]))
    ble.gattc_read(conn, handles[SECRET])
    print("refused", hex((await next_of(READ_DONE))[2]))
    ble.gap_pair(conn)
    print("bonded", (await next_of(ENCRYPTED))[1:4])
    ble.gattc_read(conn, handles[SECRET])
    print("secret", (await next_of(READ))[2])
    print("ended", ble.gap_disconnect(conn))
    await next_of(PEER_GONE)


try:
    with open(sys.argv[2]) as f:
        secrets.update(eval(f.read()))
except OSError:
    pass
assert isinstance(ble, bluetooth.BLE)
assert hasattr(bluetooth.BLE, "gap_pair")
assert not hasattr(bluetooth.BLE, "gap_nothing")
ble.irq(irq)
ble.config(bond=True, le_secure=True)
ble.active(True)
kept = len(secrets)
asyncio.run(central() if sys.argv[1] == "central" else peripheral())
print("kept", len(secrets) - kept)
ble.active(False)
