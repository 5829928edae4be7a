"""MQTT 3.1.1 session: a thin transport over the sans-IO codec of `protocol.mqtt`. QoS 1 both ways, clean
session.

Every wait on the broker has a deadline. Messages in flight are bounded; those that must arrive are sent
again, marked DUP, in the next connection. A session ends with OSError, ProtocolError or PinMismatch; the
caller connects again.
"""

import asyncio
import time

from micropython import const

from device.tls_socket import PinMismatch, TlsSocket
from device.token_bucket import TokenBucket
from protocol import mqtt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Tuple

    from device.tls_socket import PinnedContext
    from protocol.keys import Buffer

_CONNECT_MS = const(8_000)  # TCP
# TLS, of which an ESP32 needs about 1.5 s: a gateway to which all doors come back at once may have this one wait for 15 s,
# and its broker takes 5 for the handshake itself
_LET_IN_MS = const(25_000)
_ANSWER_MS = const(10_000)  # CONNACK, SUBACK, PUBACK, PINGRESP; and how long one write may be stuck
_MONITOR_MS = const(5_000)
_KEEP_ALIVE_S = const(30)
_PING_AFTER_MS = const(20_000)
_MAX_IN_FLIGHT = const(4)
_MAX_PACKET = const(5632 + 256)  # a sealed envelope of the largest size, and its topic
_READ_BUFFER = const(512)
# Messages of the broker: as many at once, then one at a time. Whoever floods a board that reads as fast as it can has all
# of its time, and nobody at the door is served.
_BURST = const(32)
_PACE_MS = const(25)


class Overdue(OSError):
    """The broker did not answer in time."""


class MqttClient:
    """One client id at one broker. `received(topic, payload)` is called in the reading task and must not wait; the payload
    is good until the next packet comes. `uptime_ms` never wraps. `reached`: whether somebody answered the last connect.
    """

    def __init__(
        self, client_id: str, received: "Callable[[str, Buffer], None]", uptime_ms: "Callable[[], int]"
    ) -> None:
        self._client_id = client_id
        self._received = received
        self._uptime_ms = uptime_ms
        self._pace = TokenBucket(_BURST, _PACE_MS)
        self._socket = TlsSocket()
        self._body = bytearray(_MAX_PACKET)  # once and for ever: later the heap may have no such hole
        self._decoder = mqtt.Decoder(_MAX_PACKET, self._body)
        self._buffer = bytearray(_READ_BUFFER)
        self._write_lock = asyncio.Lock()
        self._packet_id = 0
        self._in_flight: "Dict[int, Tuple[Any, bytes, bool]]" = {}  # id: (sent at, packet, send again)
        self._room = asyncio.Event()
        self._last_sent: "Any" = 0  # ticks
        self._write_began: "Any" = None  # ticks while something is being written
        self._ping_sent: "Any" = None  # ticks while an answer is due
        self._overdue = ""
        self._reader: "Any" = None
        self.connected = self.reached = False

    async def connect(
        self, host: str, port: int, context: "PinnedContext", server_name: str, topics: "List[str]"
    ) -> None:
        """Connect, authenticate, subscribe, and send again what the last connection left unacknowledged."""
        self._decoder = mqtt.Decoder(_MAX_PACKET, self._body)
        self._ping_sent = self._write_began = None
        self._overdue = ""
        self.reached = False
        self._write_lock = asyncio.Lock()  # the one before may be held by a task that was cancelled
        try:
            await _within(_CONNECT_MS, self._socket.connect(host, port, context, server_name))
            self.reached = True
            await _within(_LET_IN_MS, self._send(mqtt.encode_connect(self._client_id, _KEEP_ALIVE_S)))
            await _within(_ANSWER_MS, self._until(mqtt.CONNACK))
            await _within(_ANSWER_MS, self._subscribe(topics))
            await _within(_ANSWER_MS, self._send_again())
        except (OSError, ValueError) as e:
            # Mbed TLS tells of a bad certificate by ValueError, and of our refusal by a number.
            if context.refused:
                raise PinMismatch(context.refused)
            raise OSError(str(e))
        self.connected = True

    async def run(self) -> None:
        """Receive until the connection ends. The caller then cancels its publishers and calls `close`."""
        self._reader = asyncio.current_task()
        monitor = asyncio.create_task(self._monitor())
        try:
            while not self._overdue:
                await self._receive()
            raise Overdue(self._overdue)
        except asyncio.CancelledError:
            if self._overdue:
                raise Overdue(self._overdue)
            raise
        finally:
            self.connected = False
            self._reader = None
            monitor.cancel()

    def fail(self, reason: str) -> None:
        """End the session; `run` raises Overdue. Also from `received`."""
        self._overdue = reason
        if self._reader is not None and self._reader is not asyncio.current_task():
            self._reader.cancel()

    async def room(self) -> None:
        """Wait until one more message may be in flight."""
        while len(self._in_flight) >= _MAX_IN_FLIGHT:
            self._room.clear()
            await self._room.wait()

    async def publish(self, topic: str, payload: bytes, again: bool = False) -> None:
        """Send at QoS 1 as soon as there is room in flight. `again`: also in the next connection, if need
        be.
        """
        await self.room()
        packet_id = self._next_id()
        packet = mqtt.encode_publish(topic, payload, 1, packet_id)
        self._in_flight[packet_id] = (time.ticks_ms(), packet, again)
        await self._send(packet)

    def close(self) -> None:
        """Close the connection; what must arrive stays in flight."""
        self.connected = False
        self._socket.close()
        for packet_id in list(self._in_flight):
            if not self._in_flight[packet_id][2]:
                del self._in_flight[packet_id]

    async def _subscribe(self, topics: "List[str]") -> None:
        await self._send(mqtt.encode_subscribe(self._next_id(), topics))
        await self._until(mqtt.SUBACK)

    async def _until(self, kind: int) -> None:
        """Receive until a packet of `kind` came; the answers before the session runs."""
        while kind not in await self._receive():
            pass

    async def _receive(self) -> "List[int]":
        """Read once and act on every packet that is whole; return their kinds."""
        count = await self._socket.readinto(self._buffer)
        kinds: "List[int]" = []
        for packet in self._decoder.feed(memoryview(self._buffer)[:count]):
            await self._act(packet)
            kinds.append(packet.kind)
        return kinds

    async def _act(self, packet: "mqtt.Packet") -> None:
        if packet.kind == mqtt.PUBLISH:
            self._received(packet.topic, packet.payload)
            if packet.qos == 1:
                await self._send(mqtt.encode_puback(packet.packet_id))
            while not self._pace.take(self._uptime_ms()):
                await asyncio.sleep_ms(_PACE_MS)
        elif packet.kind == mqtt.PUBACK:
            self._in_flight.pop(packet.packet_id, None)
            self._room.set()
        elif packet.kind == mqtt.PINGRESP:
            self._ping_sent = None
        elif packet.kind == mqtt.CONNACK:
            if packet.return_code:
                raise OSError("connack " + str(packet.return_code))
        elif packet.kind == mqtt.SUBACK:
            if 0x80 in packet.return_codes:
                raise OSError("suback")

    async def _send(self, packet: bytes) -> None:
        async with self._write_lock:
            self._last_sent = self._write_began = time.ticks_ms()
            await self._socket.write(packet)
            self._write_began = None

    async def _send_again(self) -> None:
        for packet_id in sorted(self._in_flight):
            _, packet, again = self._in_flight[packet_id]
            packet = bytes((packet[0] | mqtt.DUP,)) + packet[1:]
            self._in_flight[packet_id] = (time.ticks_ms(), packet, again)
            await self._send(packet)

    async def _monitor(self) -> None:
        """Ping when idle; end the session when an answer is overdue."""
        try:
            late = ""
            while not late:
                await asyncio.sleep_ms(_MONITOR_MS)
                now = time.ticks_ms()
                late = self._late(now)
                idle = time.ticks_diff(now, self._last_sent) > _PING_AFTER_MS
                if idle and not late and self._ping_sent is None:
                    self._ping_sent = now
                    await _within(_ANSWER_MS, self._send(mqtt.encode_ping()))
        except Exception as e:  # whatever it is: a session that nobody watches must not go on
            late = "ping " + str(e)
        self.fail(late)

    def _late(self, now: "Any") -> str:
        """What the broker owes us for too long, or nothing."""
        if self._write_began is not None and time.ticks_diff(now, self._write_began) > _ANSWER_MS:
            return "write"
        if self._ping_sent is not None and time.ticks_diff(now, self._ping_sent) > _ANSWER_MS:
            return "pingresp"
        for sent, _, _ in self._in_flight.values():
            if time.ticks_diff(now, sent) > _ANSWER_MS:
                return "puback"
        return ""

    def _next_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % 0xFFFF + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id


async def _within(deadline_ms: int, work: "Any") -> "Any":
    """Wait for `work` until the deadline; Overdue is an OSError, asyncio.TimeoutError is not everywhere."""
    try:
        return await asyncio.wait_for_ms(work, deadline_ms)
    except asyncio.TimeoutError:
        raise Overdue("deadline")
