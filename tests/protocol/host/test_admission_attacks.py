"""A device that is let in and then reaches for what is not its own, with raw MQTT topics."""

import asyncio
from typing import Any

import aiomqtt
import pytest

from protocol.host.admission import Admission

from .conftest import DEV1, DEV2, GATEWAY, Site

OWN_DOWN, OTHER_DOWN = f"d/{DEV1}/down", f"d/{DEV2}/down"
FOREIGN_FILTERS = [
    "#",
    "+",
    "+/#",
    "+/+",
    "+/+/+/+",
    "+/sub/#",
    "d/#",
    "d/+/down/#",
    "d/+/down/command",
    "d/+/up/#",
    f"{OTHER_DOWN}/#",
    f"{OTHER_DOWN}/command",
    f"d/{DEV2}/#",
    f"d/{DEV1}/#",
    f"d/{DEV1}/up/#",
    f"d/{DEV1}/+/command",
    "d/>",
    "d/*/down/command",
    f"d/{DEV1}.down.>",
    "$MQTT",
    "$MQTT/#",
    "$MQTT/+",
    "$MQTT/+/+",
    "$MQTT/+/#",
    "$MQTT/>",
    "$MQTT/*",
    "$MQTT/*/*",
    "$MQTT/sub/#",
    "$MQTT/sub/+",
    "$MQTT/msgs/#",
    f"$MQTT/msgs/{OTHER_DOWN}/command",
    "$MQTT/rmsgs/#",
    "$MQTT/sess/#",
    "$MQTT/JSA/#",
    "$MQTT/out/#",
    "$MQTT/pubrel/#",
    "$MQTT/qos2/#",
    "$MQTT.sub.>",
    "$MQTT//#",
    "$JS/#",
    "$JS/API/#",
    "$JS/ACK/#",
    "$JS/EVENT/#",
    "$SYS/#",
    "$SYS/REQ/USER/AUTH",
    "_INBOX/#",
]
FOREIGN_TOPICS = [
    f"{OTHER_DOWN}/command",
    f"{OWN_DOWN}/command",
    f"d/{DEV2}/up/events",
    f"d/{DEV1}/up",
    "d/*/up/events",
    f"$MQTT/msgs/{OTHER_DOWN}/command",
    f"$MQTT/msgs/d/{DEV2}/up/events",
    f"$MQTT/rmsgs/{OTHER_DOWN}/command",
    f"$MQTT/sess/{DEV2}",
    "$MQTT/JSA/x/SD/1",
    "$JS/API/STREAM/NAMES",
    "$JS/API/STREAM/PURGE/$MQTT_msgs",
    "$JS/API/STREAM/DELETE/$MQTT_msgs",
    "$JS/API/STREAM/DELETE/$MQTT_sess",
    "$SYS/REQ/SERVER/PING/CONNZ",
    "$SYS/REQ/USER/AUTH",
    "x",
]


async def everything(client: aiomqtt.Client, marker: bytes) -> list[tuple[str, bytes]]:
    """All that has come until the marker."""
    found = []
    async with asyncio.timeout(10):
        async for message in client.messages:
            if message.payload == marker:
                return found
            found.append((str(message.topic), bytes(message.payload)))  # type: ignore[arg-type]
    raise AssertionError("the marker never came")


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_every_foreign_filter_is_refused_and_nothing_leaks(
    site: Site, admission: Admission, qos: int
) -> None:
    async with site.client(DEV1) as thief, site.client(DEV2) as victim, site.client(GATEWAY) as gateway:
        await victim.subscribe(f"{OTHER_DOWN}/#", qos=1)
        await gateway.subscribe("d/+/up/#", qos=1)
        for topic_filter in FOREIGN_FILTERS:
            granted = await thief.subscribe(topic_filter, qos=qos)
            assert [int(getattr(code, "value", code)) for code in granted] == [128], topic_filter
        await thief.subscribe(f"{OWN_DOWN}/#", qos=qos)
        for level in (0, 1):
            await gateway.publish(f"{OTHER_DOWN}/command", b"secret", qos=level)
            await victim.publish(f"d/{DEV2}/up/result", b"secret", qos=level)
        assert await everything(victim, b"secret") == []
        await gateway.publish(f"{OWN_DOWN}/command", b"marker", qos=1)
        assert await everything(thief, b"marker") == []


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_every_foreign_publish_is_dropped(site: Site, admission: Admission, qos: int) -> None:
    async with site.client(DEV2) as victim, site.client(GATEWAY) as gateway:
        await victim.subscribe(f"{OTHER_DOWN}/#", qos=1)
        await gateway.subscribe("d/+/up/#", qos=1)
        for topic in FOREIGN_TOPICS:
            with_session = site.client(DEV1)
            try:
                async with with_session as forger:
                    await forger.publish(topic, b"forged", qos=qos)
            except aiomqtt.MqttError:
                continue  # cut off for it: just as good
        async with site.client(DEV1) as device:
            await device.publish(f"d/{DEV1}/up/result", b"marker", qos=1)
            await gateway.publish(f"{OTHER_DOWN}/command", b"marker", qos=1)
            assert await everything(gateway, b"marker") == []
            assert await everything(victim, b"marker") == []
        await admission.kick(DEV2)  # and the sessions' machinery still works for the others
        assert await site.connects(DEV2)


@pytest.mark.parametrize("topic", [f"{OTHER_DOWN}/command", f"d/{DEV2}/up/events", "$MQTT/msgs/x"])
async def test_a_last_will_reaches_no_further_than_its_client(
    site: Site, admission: Admission, topic: str
) -> None:
    async with site.client(DEV2) as victim, site.client(GATEWAY) as gateway:
        await victim.subscribe(f"{OTHER_DOWN}/#", qos=1)
        await gateway.subscribe("d/+/up/#", qos=1)
        will = aiomqtt.Will(topic, b"forged", qos=1)
        try:
            async with site.client(DEV1, will=will):
                await admission.kick(DEV1)
        except aiomqtt.MqttError:
            pass
        await victim.publish(f"d/{DEV2}/up/result", b"marker", qos=1)
        await gateway.publish(f"{OTHER_DOWN}/command", b"marker", qos=1)
        assert await everything(gateway, b"marker") == []
        assert await everything(victim, b"marker") == []


async def test_a_retained_message_cannot_be_planted_for_another(site: Site, admission: Admission) -> None:
    async with site.client(DEV1) as forger:
        await forger.publish(f"{OTHER_DOWN}/command", b"forged", qos=1, retain=True)
        await forger.publish(f"d/{DEV2}/up/events", b"forged", qos=1, retain=True)
    async with site.client(DEV2) as victim, site.client(GATEWAY) as gateway:
        await victim.subscribe(f"{OTHER_DOWN}/#", qos=1)
        await gateway.subscribe("d/+/up/#", qos=1)
        await victim.publish(f"d/{DEV2}/up/result", b"marker", qos=1)
        await gateway.publish(f"{OTHER_DOWN}/command", b"marker", qos=1)
        assert await everything(victim, b"marker") == []
        assert await everything(gateway, b"marker") == []


async def test_subscriptions_of_one_client_are_bounded(site: Site, admission: Admission) -> None:
    codes: list[int] = []
    with pytest.raises(aiomqtt.MqttError):
        async with site.client(DEV1) as greedy:
            for number in range(200):
                granted: Any = await greedy.subscribe(f"{OWN_DOWN}/{number}", qos=1)
                codes += [int(getattr(code, "value", code)) for code in granted]
            if 128 in codes:
                raise aiomqtt.MqttError("refused")
    assert codes.count(1) <= 64


async def test_a_command_does_not_wait_for_a_device_that_is_away(site: Site, admission: Admission) -> None:
    async with site.client(GATEWAY) as gateway:
        async with site.client(DEV1) as device:
            await device.subscribe(f"{OWN_DOWN}/#", qos=1)
        await gateway.publish(f"{OWN_DOWN}/command", b"old", qos=1)
        async with site.client(DEV1) as device:
            await device.subscribe(f"{OWN_DOWN}/#", qos=1)
            await gateway.publish(f"{OWN_DOWN}/command", b"marker", qos=1)
            assert await everything(device, b"marker") == []
