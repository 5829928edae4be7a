"""What is said on channel BLE of the board link. Little endian; the VM's twin is hil/vm/modules/bluetooth.py.

Posts: WAKE, the firmware has loaded the module and will soon need the radio; ANSWER, below.

Calls (VM asks, bench answers):

    ACTIVE       on u8
    CONFIG_GET   name -> value
    CONFIG_SET   name "=" value
    ADVERTISE    flags u8 | interval_us u32 | adv_len u8 | adv | resp_len u8 | resp
    STOP         (advertising)
    REGISTER     services u8, each: uuid | characteristics u8, each: uuid | flags u16 | descriptors u8,
                 each: uuid | flags u16 -> handles, u16 each
    READ         handle u16 -> value
    WRITE        handle u16 | update u8 | value
    NOTIFY       conn u16 | handle u16 | own u8 | value, if own is not 0
    INDICATE     the same
    SET_BUFFER   handle u16 | len u16 | append u8
    DISCONNECT   conn u16 -> u8, 1: it was connected

A uuid is its length u8 and its bytes. ANSWER  request u16 | code u8.

Interrupts carry MicroPython's event number as the operation:

    CENTRAL_CONNECT, CENTRAL_DISCONNECT      conn u16 | address type u8 | address 6, big endian
    GATTS_WRITE, GATTS_READ_REQUEST          request u16 | conn u16 | handle u16; wants an ANSWER
    MTU_EXCHANGED                            conn u16 | mtu u16
    GATTS_INDICATE_DONE                      conn u16 | handle u16 | status u8
    CONNECTION_UPDATE                        conn u16 | interval u16 | latency u16 | timeout u16 | status u16
"""

import struct
from typing import NamedTuple

(ACTIVE, CONFIG_GET, CONFIG_SET, ADVERTISE, STOP, REGISTER, READ, WRITE, NOTIFY, INDICATE, SET_BUFFER) = (
    range(1, 12)
)
DISCONNECT, ANSWER = 12, 13
WAKE = 0

IRQ_CENTRAL_CONNECT = 1
IRQ_CENTRAL_DISCONNECT = 2
IRQ_GATTS_WRITE = 3
IRQ_GATTS_READ_REQUEST = 4
IRQ_GATTS_INDICATE_DONE = 20
IRQ_MTU_EXCHANGED = 21
IRQ_CONNECTION_UPDATE = 27

ADV_CONNECTABLE = 1
ADV_HAS_DATA = 2
ADV_HAS_RESPONSE = 4


class DescriptorDefinition(NamedTuple):
    uuid: bytes
    flags: int


class CharacteristicDefinition(NamedTuple):
    uuid: bytes
    flags: int
    descriptors: list[DescriptorDefinition]


class ServiceDefinition(NamedTuple):
    uuid: bytes
    characteristics: list[CharacteristicDefinition]


class Advertisement(NamedTuple):
    """One gap_advertise: data None means "as before"."""

    connectable: bool
    interval_us: int
    data: bytes | None
    response: bytes | None


class _Cursor:
    """Takes fields off a payload; the payload is from our own module, so a short one is a bug there."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def take(self, size: int) -> bytes:
        chunk = self._payload[self._at : self._at + size]
        if len(chunk) != size:
            raise ValueError("short payload from the bluetooth module")
        self._at += size
        return chunk

    def u8(self) -> int:
        return self.take(1)[0]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")


def decode_services(payload: bytes) -> list[ServiceDefinition]:
    cursor = _Cursor(payload)

    def descriptor() -> DescriptorDefinition:
        return DescriptorDefinition(cursor.take(cursor.u8()), cursor.number(2))

    def characteristic() -> CharacteristicDefinition:
        uuid, flags = cursor.take(cursor.u8()), cursor.number(2)
        return CharacteristicDefinition(uuid, flags, [descriptor() for _ in range(cursor.u8())])

    def service() -> ServiceDefinition:
        uuid = cursor.take(cursor.u8())
        return ServiceDefinition(uuid, [characteristic() for _ in range(cursor.u8())])

    return [service() for _ in range(cursor.u8())]


def decode_advertisement(payload: bytes) -> Advertisement:
    cursor = _Cursor(payload)
    flags, interval_us = cursor.u8(), cursor.number(4)
    data, response = cursor.take(cursor.u8()), cursor.take(cursor.u8())
    return Advertisement(
        bool(flags & ADV_CONNECTABLE),
        interval_us,
        data if flags & ADV_HAS_DATA else None,
        response if flags & ADV_HAS_RESPONSE else None,
    )


def encode_handles(handles: list[int]) -> bytes:
    return struct.pack(f"<{len(handles)}H", *handles)
