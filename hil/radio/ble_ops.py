"""What is said on channel BLE of the board link. Little endian; the VM's twin is hil/vm/modules/bluetooth.py.

Posts: WAKE, the firmware has loaded the module and will soon need the radio; ANSWER, below.

Calls (VM asks, bench answers):

    ACTIVE       u8, 0: off, 1: on, 2: on, and the program has a handler
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
    STARTED      -> empty while ACTIVE still asks for the program's secrets
    SCAN         duration_ms i32 | interval_us i32 | window_us i32 | active u8; nothing: stop
    CONNECT      address type u8 | duration_ms i32 | min_us i32 | max_us i32 | address 6; nothing: cancel
    DISCOVER_SERVICES          conn u16 | uuid, if one is wanted
    DISCOVER_CHARACTERISTICS   conn u16 | start u16 | end u16 | uuid, if one is wanted
    DISCOVER_DESCRIPTORS       conn u16 | start u16 | end u16
    CLIENT_READ  conn u16 | handle u16
    CLIENT_WRITE conn u16 | handle u16 | mode u8 | value
    EXCHANGE_MTU, PAIR         conn u16
    PASSKEY      conn u16 | action u8 | passkey i32
    L2CAP_LISTEN psm u16 | mtu u16
    L2CAP_CONNECT              conn u16 | psm u16 | mtu u16
    L2CAP_DISCONNECT           conn u16 | cid u16
    L2CAP_SEND   conn u16 | cid u16 | data -> u8, 0: stalled
    L2CAP_RECV   conn u16 | cid u16 | size u16 | peek u8 -> data, or u16 how much there is

In REGISTER a uuid is its length u8 and its bytes, elsewhere it is the rest. Addresses are big endian.

    ANSWER       request u16 | nothing (None), or 0 u8 | number i32, or 1 u8 | bytes

Interrupts carry MicroPython's event number as the operation, and say by themselves what they hold:

    request u16, 0: no ANSWER wanted | length u8 of the format | format | fields

SEVERAL of them are one interrupt, each: event u8 | length u16 | payload. The letters of the format are those of struct,
v for a memoryview (length u16, bytes), u for a UUID (the same), n for None.
"""

import struct
from typing import NamedTuple

(ACTIVE, CONFIG_GET, CONFIG_SET, ADVERTISE, STOP, REGISTER, READ, WRITE, NOTIFY, INDICATE, SET_BUFFER) = (
    range(1, 12)
)
WAKE = 0
ON_WITH_HANDLER = 2
DISCONNECT, ANSWER, STARTED = 12, 13, 14
SCAN, CONNECT, DISCOVER_SERVICES, DISCOVER_CHARACTERISTICS, DISCOVER_DESCRIPTORS = range(20, 25)
CLIENT_READ, CLIENT_WRITE, EXCHANGE_MTU, PAIR, PASSKEY = range(25, 30)
L2CAP_LISTEN, L2CAP_CONNECT, L2CAP_DISCONNECT, L2CAP_SEND, L2CAP_RECV = range(30, 35)

IRQ_SEVERAL = 0
IRQ_CENTRAL_CONNECT, IRQ_CENTRAL_DISCONNECT, IRQ_GATTS_WRITE, IRQ_GATTS_READ_REQUEST = range(1, 5)
IRQ_SCAN_RESULT, IRQ_SCAN_DONE, IRQ_PERIPHERAL_CONNECT, IRQ_PERIPHERAL_DISCONNECT = range(5, 9)
IRQ_GATTC_SERVICE_RESULT, IRQ_GATTC_SERVICE_DONE = 9, 10
IRQ_GATTC_CHARACTERISTIC_RESULT, IRQ_GATTC_CHARACTERISTIC_DONE = 11, 12
IRQ_GATTC_DESCRIPTOR_RESULT, IRQ_GATTC_DESCRIPTOR_DONE = 13, 14
IRQ_GATTC_READ_RESULT, IRQ_GATTC_READ_DONE, IRQ_GATTC_WRITE_DONE = 15, 16, 17
IRQ_GATTC_NOTIFY, IRQ_GATTC_INDICATE, IRQ_GATTS_INDICATE_DONE, IRQ_MTU_EXCHANGED = range(18, 22)
IRQ_L2CAP_ACCEPT, IRQ_L2CAP_CONNECT, IRQ_L2CAP_DISCONNECT, IRQ_L2CAP_RECV, IRQ_L2CAP_SEND_READY = range(
    22, 27
)
IRQ_CONNECTION_UPDATE, IRQ_ENCRYPTION_UPDATE, IRQ_GET_SECRET, IRQ_SET_SECRET, IRQ_PASSKEY_ACTION = range(
    27, 32
)

ADV_CONNECTABLE = 1
ADV_HAS_DATA = 2
ADV_HAS_RESPONSE = 4

Field = int | bytes | None
Answer = int | bytes | None


def encode_event(request: int, pattern: str, *fields: Field) -> bytes:
    """The payload of an interrupt; bytes of ``v`` and ``u``, a number for a letter of struct, None for ``n``."""
    parts = [struct.pack("<HB", request, len(pattern)), pattern.encode()]
    for letter, field in zip(pattern, fields, strict=True):
        if isinstance(field, bytes):
            parts.append(len(field).to_bytes(2, "little") + field)
        elif field is not None:
            parts.append(struct.pack("<" + letter, field))
    return b"".join(parts)


def encode_several(events: list[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<BH", event, len(payload)) + payload for event, payload in events)


def decode_answer(payload: bytes) -> tuple[int, Answer]:
    """(request, what the program's handler returned)."""
    request = int.from_bytes(payload[:2], "little")
    if len(payload) == 2:
        return request, None
    value = payload[3:]
    return request, value if payload[2] else int.from_bytes(value, "little", signed=True)


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
