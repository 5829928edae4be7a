"""MQTT 3.1.1 for a client, without I/O: packets out as bytes, bytes in to packets (OASIS mqtt-v3.1.1, §2 and §3)."""

from protocol.errors import LocalError, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Sequence, Tuple

    from protocol.keys import Buffer

CONNACK = 2
PUBLISH = 3
PUBACK = 4
SUBACK = 9
PINGRESP = 13
DUP = 0x08
_CONNECT = 0x10
_SUBSCRIBE = 0x82
_PINGREQ = b"\xc0\x00"
_DISCONNECT = b"\xe0\x00"
_MAX_LENGTH = 268_435_455


class Packet:
    """One packet from the broker; which fields mean something depends on `kind`."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.topic = ""
        self.payload: "Buffer" = b""
        self.qos = 0
        self.packet_id = 0
        self.return_code = 0
        self.return_codes: "Tuple[int, ...]" = ()
        self.retain = False
        self.session_present = False


def _packet(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    length = len(body)
    if length > _MAX_LENGTH:
        raise LocalError("packet size")
    head = bytearray((first,))
    while True:
        low, length = length & 0x7F, length >> 7
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def _string(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 0xFFFF:
        raise LocalError("string size")
    return len(raw).to_bytes(2, "big") + raw


def encode_connect(client_id: str, keep_alive: int, clean_session: bool = True) -> bytes:
    """CONNECT; `keep_alive` seconds. Who we are is in our certificate: no user name, no password."""
    flags = 2 if clean_session else 0
    return _packet(
        _CONNECT, _string("MQTT"), bytes((4, flags)), keep_alive.to_bytes(2, "big"), _string(client_id)
    )


def encode_publish(
    topic: str, payload: bytes, qos: int = 0, packet_id: int = 0, retain: bool = False, dup: bool = False
) -> bytes:
    """PUBLISH at QoS 0 or 1."""
    if qos not in (0, 1) or bool(qos) != bool(packet_id):
        raise LocalError("qos and packet id")
    first = PUBLISH << 4 | qos << 1 | (1 if retain else 0) | (DUP if dup else 0)
    return _packet(first, _string(topic), packet_id.to_bytes(2, "big") if qos else b"", payload)


def encode_subscribe(packet_id: int, topics: "Sequence[str]", qos: int = 1) -> bytes:
    """SUBSCRIBE to all `topics` at one QoS."""
    filters = b"".join([_string(topic) + bytes((qos,)) for topic in topics])
    return _packet(_SUBSCRIBE, packet_id.to_bytes(2, "big"), filters)


def encode_puback(packet_id: int) -> bytes:
    """PUBACK."""
    return _packet(PUBACK << 4, packet_id.to_bytes(2, "big"))


def encode_ping() -> bytes:
    """PINGREQ."""
    return _PINGREQ


def encode_disconnect() -> bytes:
    """DISCONNECT."""
    return _DISCONNECT


class Decoder:
    """Takes bytes as they come and gives the packets that are whole. A Malformed ends the connection.

    With `room`, of `max_packet` bytes, every packet is put together there: a board's heap may have no other place for a large
    one. Its payload is then good until the next packet is asked for.
    """

    def __init__(self, max_packet: int, room: "Optional[bytearray]" = None) -> None:
        self._max = max_packet
        self._room = memoryview(room) if room is not None else None
        self._head = bytearray()  # first byte and length, while they are incomplete
        self._first = 0
        self._body: "Optional[memoryview]" = None
        self._have = 0

    def feed(self, data: "Buffer") -> "Iterator[Packet]":
        """Take some bytes; raise Malformed for what no correct broker sends."""
        pos = 0
        while pos < len(data):
            if self._body is None:
                self._take_head(data[pos])
                pos += 1
            if self._body is not None:
                count = min(len(data) - pos, len(self._body) - self._have)
                self._body[self._have : self._have + count] = data[pos : pos + count]
                self._have += count
                pos += count
                if self._have == len(self._body):
                    body, self._body = self._body, None
                    yield _decode(self._first, body)

    def _take_head(self, byte: int) -> None:
        head = self._head
        head.append(byte)
        if len(head) == 1:
            return
        length = 0
        for i in range(1, len(head)):
            length |= (head[i] & 0x7F) << 7 * (i - 1)
        if length > self._max:
            raise Malformed("mqtt_size")
        if byte & 0x80:
            if len(head) == 5:
                raise Malformed("mqtt_length")
            return
        self._first, self._head = head[0], bytearray()
        self._body = memoryview(bytearray(length)) if self._room is None else self._room[:length]
        self._have = 0


def _decode(first: int, body: memoryview) -> Packet:
    packet = Packet(first >> 4)
    if packet.kind == PUBLISH:
        _decode_publish(packet, first & 0x0F, body)
        return packet
    if first & 0x0F:
        raise Malformed("mqtt_flags")
    if packet.kind == CONNACK and len(body) == 2 and body[0] <= 1:
        packet.session_present, packet.return_code = bool(body[0]), body[1]
    elif packet.kind == PUBACK and len(body) == 2:
        packet.packet_id = int.from_bytes(body, "big")
    elif packet.kind == SUBACK and len(body) >= 3:
        packet.packet_id, packet.return_codes = int.from_bytes(body[:2], "big"), tuple(body[2:])
    elif packet.kind != PINGRESP or body:
        raise Malformed("mqtt_packet")
    return packet


def _decode_publish(packet: Packet, flags: int, body: memoryview) -> None:
    packet.qos, packet.retain = flags >> 1 & 3, bool(flags & 1)
    if packet.qos > 1 or len(body) < 2:
        raise Malformed("mqtt_publish")
    end = 2 + int.from_bytes(body[:2], "big")
    start = end + (2 if packet.qos else 0)
    if start > len(body):
        raise Malformed("mqtt_publish")
    try:
        packet.topic = str(body[2:end], "utf-8")
    except UnicodeError:
        raise Malformed("mqtt_topic")
    packet.packet_id = int.from_bytes(body[end:start], "big")
    if packet.qos and not packet.packet_id:
        raise Malformed("mqtt_packet_id")
    packet.payload = body[start:]
