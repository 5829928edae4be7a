"""An unlock is taken apart by the packets that its hops sent."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.capture import Packet, capture
from benchmarks.hops import Hops, to_proof, to_relay
from hil.board.signals import now_us

HTTPS, CLOUD, SITE, OTHER = 8443, 8883, 18883, 40000
SMALL, COMMAND = 30, 350
WAY = [
    Packet(1000, OTHER, HTTPS, 292),
    Packet(3000, OTHER, CLOUD, COMMAND),
    Packet(3100, CLOUD, OTHER, COMMAND),
    Packet(3500, OTHER, SITE, COMMAND),
    Packet(3900, SITE, OTHER, COMMAND),
]


BACK = [
    Packet(5000, OTHER, SITE, COMMAND),
    Packet(5300, SITE, OTHER, COMMAND),
    Packet(5700, OTHER, CLOUD, COMMAND),
    Packet(5800, CLOUD, OTHER, COMMAND),
    Packet(9800, HTTPS, OTHER, COMMAND),
]
INSTALLATION: Any = SimpleNamespace(
    cloud=SimpleNamespace(ready={"http_port": HTTPS, "mqtt_port": CLOUD}),
    gateway=SimpleNamespace(ready={"mqtt": {"port": SITE}}),
)


@pytest.fixture
def hops() -> Hops:
    return to_relay(INSTALLATION)


def test_each_hop_lasts_until_its_packet(hops: Hops) -> None:
    acknowledgements = [Packet(2000, OTHER, CLOUD, SMALL), Packet(3050, CLOUD, OTHER, SMALL)]
    before = [Packet(100, OTHER, CLOUD, COMMAND)]
    hops.add(500, sorted([*before, *WAY, *acknowledgements], key=lambda p: p.t_us), 4900)
    assert {name: series.samples for name, series in hops.series.items()} == {
        "client": [0.5],
        "cloud": [2.0],
        "cloud broker": [0.1],
        "gateway": [0.4],
        "site broker": [0.4],
        "device": [1.0],
    }


def test_the_way_back_begins_at_the_relay() -> None:
    back = to_proof(INSTALLATION)
    answer_to_the_call = Packet(4800, HTTPS, OTHER, COMMAND)
    back.add(4500, [*WAY, answer_to_the_call, *BACK], 10_300)
    assert {name: series.samples for name, series in back.named("back").items()} == {
        "back: device": [0.5],
        "back: site broker": [0.3],
        "back: gateway": [0.4],
        "back: cloud broker": [0.1],
        "back: cloud": [4.0],
        "back: client": [0.5],
    }


@pytest.mark.parametrize("missing", range(len(WAY)))
def test_an_unlock_with_a_lost_packet_is_left_out(hops: Hops, missing: int) -> None:
    hops.add(500, WAY[:missing] + WAY[missing + 1 :], 4900)
    assert not any(series.samples for series in hops.series.values())


async def test_the_capture_sees_what_is_sent_and_when() -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with capture() as wire:
        if wire is None:  # an ordinary user: then it must really be forbidden
            with pytest.raises(PermissionError):
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            return
        wire.collect()
        began = now_us()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes(123))
        await writer.drain()
        await reader.read()
        ended = now_us()
        writer.close()
        sent = [packet for packet in wire.collect() if packet.target == port]
        assert [packet.size for packet in sent] == [123]
        assert began <= sent[0].t_us <= ended
    server.close()
