"""The MQTT codec against paho's own packets, hand-worked bytes of the OASIS specification, and bytes from nowhere."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import mqtt
from protocol.errors import LocalError, Malformed, ProtocolError

TOPICS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)


def _read(connection: socket.socket) -> bytes:
    """One whole packet of a client."""
    raw = connection.recv(1)
    while True:
        raw += connection.recv(1)
        if not raw[-1] & 0x80:
            break
    length = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(raw[1:]))
    while length:
        part = connection.recv(length)
        assert part
        raw, length = raw + part, length - len(part)
    return raw


@contextmanager
def _paho() -> Iterator[tuple[paho.Client, socket.socket, bytes]]:
    """A real paho client, our end of its connection, and the CONNECT that it sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="dev_" + "2" * 16)
        client.connect_async("127.0.0.1", listener.getsockname()[1], keepalive=30)
        client.loop_start()
        try:
            connection, _ = listener.accept()
            with connection:
                yield client, connection, _read(connection)
        finally:
            client.disconnect()
            client.loop_stop()


def test_our_packets_are_what_paho_sends():
    connected = threading.Event()
    with _paho() as (client, connection, connect):
        client.on_connect = lambda *_: connected.set()
        assert connect == mqtt.encode_connect("dev_" + "2" * 16, 30)
        connection.sendall(b"\x20\x02\x00\x00")
        assert connected.wait(10)
        _, packet_id = client.subscribe([("d/x/down/#", 1), ("d/y/down/ack", 1)])
        assert _read(connection) == mqtt.encode_subscribe(packet_id, ["d/x/down/#", "d/y/down/ack"])
        client.publish("d/x/up/state", b"{}", qos=0, retain=True)
        assert _read(connection) == mqtt.encode_publish("d/x/up/state", b"{}", retain=True)
        for size in (0, 1, 100, 127, 128, 20_000):
            message = client.publish("d/ö/up/events", bytes(size), qos=1)
            raw = _read(connection)
            assert raw == mqtt.encode_publish("d/ö/up/events", bytes(size), 1, message.mid)
            packet = next(mqtt.Decoder(1 << 16).feed(raw))
            assert (packet.topic, packet.payload, packet.qos) == ("d/ö/up/events", bytes(size), 1)
            connection.sendall(mqtt.encode_puback(message.mid))
            message.wait_for_publish(10)
        client.disconnect()
        assert _read(connection) == mqtt.encode_disconnect()


def test_paho_takes_our_publish_and_we_take_its_acknowledgement():
    taken: list[tuple[str, bytes, int]] = []
    connected = threading.Event()
    with _paho() as (client, connection, _connect):
        client.on_message = lambda _c, _u, m: taken.append((m.topic, m.payload, m.qos))
        client.on_connect = lambda *_: connected.set()
        connection.sendall(b"\x20\x02\x00\x00")
        assert connected.wait(10)
        connection.sendall(mqtt.encode_publish("d/x/down/command", b"payload", 1, 513))
        assert _read(connection) == mqtt.encode_puback(513)
        assert taken == [("d/x/down/command", b"payload", 1)]
        assert next(mqtt.Decoder(64).feed(mqtt.encode_puback(513))).packet_id == 513


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16_383, "ff7f"), (16_384, "808001"), (2_097_152, "80808001")],
)
def test_the_remaining_length_is_that_of_table_2_4(size, head):
    raw = mqtt._packet(0x30, bytes(size))
    assert raw == b"\x30" + bytes.fromhex(head) + bytes(size)


@given(TOPICS, st.binary(max_size=300), st.integers(0, 1), st.booleans(), st.booleans(), st.data())
def test_publishes_survive_any_cut(topic, payload, qos, retain, dup, data):
    raw = mqtt.encode_publish(topic, payload, qos, 7 if qos else 0, retain, dup) + mqtt.encode_puback(9)
    cut = data.draw(st.integers(0, len(raw)))
    decoder = mqtt.Decoder(4096)
    first, second = [*decoder.feed(raw[:cut]), *decoder.feed(memoryview(raw)[cut:])]
    assert (first.topic, first.payload, first.qos, first.retain) == (topic, payload, qos, retain)
    assert (second.kind, second.packet_id) == (mqtt.PUBACK, 9)


# Nearly packets: a header of ours and a body of anything.
CHUNKS = st.binary(max_size=64) | st.tuples(
    st.sampled_from((0x20, 0x30, 0x32, 0x40, 0x90, 0xD0)), st.binary(max_size=40)
).map(lambda packet: mqtt._packet(*packet))


@given(st.lists(CHUNKS, max_size=5))
def test_bytes_of_anything_give_the_same_packets_however_they_are_cut(chunks):
    raw = b"".join(chunks)
    packets, reason = _feed([raw[n : n + 1] for n in range(len(raw))])
    for cut in (chunks, [raw]):
        found, found_reason = _feed(cut)
        assert found_reason == reason
        # An error takes with it the packets that came in the same bytes: the connection ends.
        assert found == (packets[: len(found)] if reason else packets)


def _feed(chunks):
    """Every packet before the first error, and its reason."""
    decoder, packets = mqtt.Decoder(256), []
    try:
        for chunk in chunks:
            packets += [sorted(vars(packet).items()) for packet in decoder.feed(chunk)]
    except ProtocolError as error:
        return packets, error.reason
    return packets, ""


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("00", None),
        ("0000", "mqtt_packet"),
        ("f000", "mqtt_packet"),
        ("1000", "mqtt_packet"),
        ("d001ff", "mqtt_packet"),
        ("d100", "mqtt_flags"),
        ("20020200", "mqtt_packet"),
        ("200100", "mqtt_packet"),
        ("40020001", None),
        ("400100", "mqtt_packet"),
        ("90020001", "mqtt_packet"),
        ("3400", "mqtt_publish"),
        ("3000", "mqtt_publish"),
        ("30020005", "mqtt_publish"),
        ("3205000161" + "0000", "mqtt_packet_id"),
        ("30030001ff", "mqtt_topic"),
        ("30ffffffff01", "mqtt_size"),
        ("3080808080", "mqtt_length"),
        ("30ff7f", "mqtt_size"),
    ],
)
def test_what_no_correct_broker_sends_ends_the_connection(raw, reason):
    decoder = mqtt.Decoder(256)
    if reason is None:
        assert all(packet.kind == mqtt.PUBACK for packet in decoder.feed(bytes.fromhex(raw)))
        return
    with pytest.raises(Malformed) as caught:
        list(decoder.feed(bytes.fromhex(raw)))
    assert caught.value.reason == reason


def test_a_packet_over_the_limit_is_refused_before_its_body_comes():
    decoder = mqtt.Decoder(100)
    assert list(decoder.feed(b"\x30\x64")) == []
    with pytest.raises(Malformed):
        list(mqtt.Decoder(100).feed(b"\x30\x65"))


@pytest.mark.parametrize(("qos", "packet_id"), [(0, 1), (1, 0), (2, 1)])
def test_a_packet_id_belongs_to_qos_1(qos, packet_id):
    with pytest.raises(LocalError):
        mqtt.encode_publish("d/x", b"", qos, packet_id)


def test_a_string_is_shorter_than_64_kib():
    with pytest.raises(LocalError):
        mqtt.encode_publish("x" * 65_536, b"")
