"""Attacks from outside on a running installation: who has not been let in gets nowhere, and is written down."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from hil.stack.stolen_gateway import StolenGateway
from protocol.command import build_command
from protocol.envelope import LABEL_COMMAND, seal
from protocol.topics import down, up
from tests.system.stranger import Paper, Stranger
from tests.system.whole import Whole, until, whole

UNKNOWN_DEVICE, UNKNOWN_GATEWAY = "dev_" + "e" * 16, "gw_" + "e" * 16
LOOPBACK = "127.0.0.1"


async def registered(one: Whole) -> dict[str, Any]:
    """The bundle of a device that the site knows and that nobody has put on a board."""
    api = one.site.api
    door = await api.post("/v1/doors", {"site_id": one.site.site_id, "name": "Spare"})
    return await api.post("/v1/devices", {"door_id": door["id"]})


def site_port(one: Whole) -> int:
    return int(one.site.gateway.ready["mqtt"]["port"])


def cloud_port(one: Whole) -> int:
    return int(one.site.cloud.ready["mqtt_port"])


async def test_a_client_without_the_right_certificate_is_refused_at_the_site_and_audited(
    tmp_path: Path,
) -> None:
    async with whole(tmp_path) as one:
        stranger = Stranger(tmp_path / "stranger", one.site.folder / "cloud")
        bundle, port = await registered(one), site_port(one)
        own, device = stranger.of_device(bundle), bundle["device_id"]
        # With its own certificate under its own name the same client does come in.
        control = await stranger.publish(port, own, device, up(device, "log"), b'{"counters": {}}')
        assert control.connected, control.said

        victim = one.door.device_id
        tries = [
            (Paper(), victim, "no_certificate", LOOPBACK),
            (stranger.self_made(victim), victim, "unknown_ca", LOOPBACK),
            (stranger.issued(UNKNOWN_DEVICE), UNKNOWN_DEVICE, "unknown_device", UNKNOWN_DEVICE),
            (stranger.issued(victim), victim, "wrong_pin", victim),
            (own, victim, "client_id_mismatch", device),
            (own, "mosquitto", "client_id_mismatch", device),
        ]
        outcomes = await asyncio.gather(
            *(stranger.subscribe(port, paper, name, "#") for paper, name, _, _ in tries),
            *(stranger.publish(port, paper, name, f"d/{name}/up/log", b"{}") for paper, name, _, _ in tries),
        )
        for outcome in outcomes:
            assert not outcome.connected, outcome.said
            assert not outcome.topics
        for _, _, reason, who in tries:
            event = await one.event("gateway_admission_refused", reason=reason, who=who)
            assert (event["device_id"] == who) == (who in (device, victim))
        assert (await one.unlock_by_api(one.door))["status"] == "succeeded"


async def test_a_client_without_the_right_certificate_is_refused_at_the_cloud_and_audited(
    tmp_path: Path,
) -> None:
    async with whole(tmp_path) as one:
        stranger = Stranger(tmp_path / "stranger", one.site.folder / "cloud")
        bundle, port = await registered(one), cloud_port(one)
        gateway = one.site.gateway.ready["gateway_id"]
        folder = one.site.folder / "gateway"
        device = bundle["device_id"]
        tries = [
            (Paper(), gateway),
            (stranger.self_made(gateway), gateway),
            (stranger.issued(UNKNOWN_GATEWAY), UNKNOWN_GATEWAY),
            (stranger.issued(gateway), gateway),
            (stranger.issued("cloud"), "cloud"),
            (stranger.of_device(bundle), device),
            (Paper(folder / "client.pem", folder / "client.key"), "cloud"),
        ]
        outcomes = await asyncio.gather(
            *(stranger.subscribe(port, paper, name, "#") for paper, name in tries)
        )
        for outcome in outcomes:
            assert not outcome.connected, outcome.said
            assert not outcome.topics
        refused = await one.event("gateway_refused", gateway_id=gateway)
        assert refused["data"]["reason"] in ("wrong_pin", "client_id_mismatch")
        refused = await one.event("device_refused", reason="unknown_client")
        assert refused["device_id"] == device
        assert (await one.unlock_by_api(one.door))["status"] == "succeeded"


async def test_a_registered_device_hears_its_own_messages_and_no_others(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        stranger = Stranger(tmp_path / "stranger", one.site.folder / "cloud")
        bundle = await registered(one)
        own, device, victim = stranger.of_device(bundle), bundle["device_id"], one.door.device_id
        reached_for = [
            *("#", "+/#", "d/#", "d/+/down/#", "d/+/up/#", "$SYS/#", "$SYS/REQ/#", "$MQTT/#", "$MQTT/sub/#"),
            *("$MQTT/deliver/pubrel/#", "$JS/API/#", "$JS/ACK/#", "_INBOX/#"),
            *(f"d/{victim}/down/#", f"d/{victim}/up/#", f"d/{victim}/up/events", f"d/{victim}/down/command"),
        ]
        for_itself = f"d/{device}/down/#"
        listening = asyncio.create_task(
            stranger.subscribe(site_port(one), own, device, *reached_for, for_itself)
        )
        while not listening.done():  # traffic of every kind, as long as it listens
            assert (await one.unlock_by_api(one.door))["status"] == "succeeded"
            await one.locked(one.door)
            await one.site.api.patch(f"/v1/doors/{bundle['door_id']}", {"held_s": 31})
        heard = listening.result()
        assert heard.connected, heard.said
        assert set(heard.topics) == {down(device, "config")}, heard.said

        sealed = seal(bytes(32), LABEL_COMMAND, {"x": 1}).encode()
        for topic in (down(victim, "command"), up(victim, "state"), "$MQTT/sub/x", "$SYS/REQ/SERVER/PING"):
            await stranger.publish(site_port(one), own, device, topic, sealed)
        await one.event("gateway_topic_violation", who=device, kind="publish")
        await one.event("gateway_topic_violation", who=device, kind="subscription")


async def test_a_stolen_gateway_can_neither_repeat_nor_forge_an_unlock(tmp_path: Path) -> None:
    async with whole(tmp_path) as one:
        site, door = one.site, one.door
        await site.gateway.stop()
        async with StolenGateway(site.folder / "gateway", tmp_path / "rogue").running() as rogue:
            opened = await until(lambda: succeeded(one))
            pulses = len(one.pulses)
            assert await rogue.play_back() >= 1
            for key in (
                bytes(32),
                os.urandom(32),
                (site.folder / "gateway" / "client.key").read_bytes()[:32],
            ):
                await rogue.send(door.device_id, "command", forged(one, key, opened))
            # What comes after them on the same way is obeyed, so they have been judged.
            again = await one.unlock_by_api(door)
            assert again["status"] == "succeeded"
            assert len(one.pulses) == pulses + 1
        await site.gateway.start()
        events = await one.delivered(door, again["result"]["jseq"])
        assert "command_refused" in {event["type"] for event in events}
        counted = await until(lambda: counters(one))
        assert counted["down_command_bad_mac"] == 3
        assert counted["down_command_replayed"] >= 1
        assert len(one.pulses) == pulses + 1


async def succeeded(one: Whole) -> dict[str, Any] | None:
    """An unlock by the API, if it gets through."""
    attempt = await one.unlock_by_api(one.door)
    await one.locked(one.door)
    return attempt if attempt["status"] == "succeeded" else None


def forged(one: Whole, key: bytes, like: dict[str, Any]) -> bytes:
    """An unlock that is right in all but its seal."""
    expires = int(time.time()) + 10
    boot = one.door.board.boots.value - 1
    payload = build_command(like["id"], one.door.device_id, boot, 9_999, expires, "unlock", {})
    return seal(key, LABEL_COMMAND, payload).encode()


async def counters(one: Whole) -> dict[str, int] | None:
    """The door's counters as the cloud logs them, once they tell of the forgeries."""
    for line in (one.site.folder / "cloud.log").read_text().splitlines():
        if "down_command_bad_mac" in line:
            return dict(json.loads(line)["counters"])
    return None
