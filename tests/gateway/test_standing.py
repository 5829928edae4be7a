"""The cloud hears where every device stands, however little its link takes at once, and of each only the newest."""

import asyncio
from typing import Any

from gateway.standing import BURST, Standing
from protocol.host import cloud_messages
from protocol.host.messages import parse

DEVICES = [f"dev_{number:016x}" for number in range(500)]


class Link:
    """Takes so many messages."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.sent: list[tuple[str, bytes]] = []

    def send(self, leaf: str, message: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.sent.append((leaf, message))
        return True

    def of(self, leaf: str) -> list[bytes]:
        return [message for what, message in self.sent if what == leaf]


async def settled() -> None:
    """What is due in the loop has been done."""
    for _ in range(2 * len(DEVICES) // BURST + 2):
        await asyncio.sleep(0)


def away(link: Link) -> list[str]:
    messages: list[Any] = [parse(cloud_messages.Presence, message) for message in link.of("presence")]
    return [device for message in messages for device in message.away]


async def test_a_link_that_is_full_again_and_again_takes_all_in_the_end() -> None:
    link = Link(len(DEVICES))
    standing = Standing(link.send)
    for device in DEVICES:
        standing.state(device, device.encode())
        standing.counters(device, b"log " + device.encode())  # finds no room from the middle on
    link.sent.clear()
    standing.tell_all(DEVICES)
    while link.room < 7:
        link.room = 7
        standing.tell()
        await settled()
    assert sorted(link.of("state")) == [device.encode() for device in DEVICES]
    assert set(link.of("log")) <= {b"log " + device.encode() for device in DEVICES}
    assert len(link.of("log")) == len(DEVICES) // 2
    assert away(link) == []


async def test_only_the_newest_is_told_and_of_one_that_left_only_that() -> None:
    link = Link()
    standing = Standing(link.send)
    first, second, third, fourth = DEVICES[:4]
    for device in (first, second):
        standing.state(device, b"old")
        standing.state(device, b"new")
    standing.left(second, tell=True)
    standing.left(third, tell=True)
    standing.state(third, b"back")
    standing.left(fourth, tell=False)
    link.room = 100
    standing.tell()
    await settled()
    assert link.of("state") == [b"new", b"back"]
    assert away(link) == [second]


async def test_a_new_cloud_is_told_of_every_device_once() -> None:
    link = Link(1000)
    standing = Standing(link.send)
    standing.state(DEVICES[0], b"here")
    link.sent.clear()
    standing.tell_all(DEVICES)
    await settled()
    assert link.of("state") == [b"here"]
    assert away(link) == DEVICES[1:]


async def test_a_whole_site_is_told_in_bursts() -> None:
    link = Link()
    standing = Standing(link.send)
    for device in DEVICES:
        standing.state(device, b"here")
    link.room = len(DEVICES)
    standing.tell()
    assert len(link.sent) == BURST, "somebody else may have something to send"
    await settled()
    assert len(link.sent) == len(DEVICES)
