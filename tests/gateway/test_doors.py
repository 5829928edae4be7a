"""Who gets in at the site's broker, that refusals are audited, and that a registry change acts at once."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import aiomqtt
import pytest

from gateway.broker_log import BrokerLog
from tests.programs import program
from tests.protocol.host.fleet import Fleet

from .conftest import DEV1, DEV2, GATEWAY, CloudPeer, World, envelope

STRANGER = "127.0.0.7"  # whose address it is, and not the gate's


async def registered(world: World, cloud: CloudPeer) -> None:
    await cloud.up("hello")
    await cloud.register(1, **world.pins)


async def test_right_ca_but_wrong_pin_is_refused_and_audited(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device():
            pass  # the registry has arrived
        impostor = world.fleet.issue(DEV1)
        with pytest.raises(aiomqtt.MqttError):
            async with world.device_client(impostor):
                pass
        event = await cloud.audit("admission_refused", reason="wrong_pin")
        assert event["data"] == {"reason": "wrong_pin", "who": DEV1, "pin": impostor.pin}
        assert event["t"] > 1_700_000_000


async def test_an_unknown_device_and_another_gateway_are_refused_and_audited(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        for name, reason in (("dev_" + "9" * 16, "unknown_device"), (GATEWAY, "wrong_pin")):
            with pytest.raises(aiomqtt.MqttError):
                async with world.device_client(world.fleet.issue(name)):
                    pass
            assert (await cloud.audit("admission_refused", reason=reason))["data"]["who"] == name


async def test_a_missing_or_foreign_certificate_is_audited(world: World, tmp_path: Path) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        foreign = Fleet(tmp_path / "foreign")
        foreign_context = foreign.context(foreign.issue(DEV1))
        foreign_context.load_verify_locations(world.fleet.ca)
        contexts = {
            "no_certificate": world.fleet.context(None),
            "unknown_ca": foreign_context,
            "expired_certificate": world.fleet.context(world.fleet.issue(DEV1, seconds=-60)),
            "bad_certificate": world.fleet.context(world.fleet.issue(DEV1, server=True)),
        }
        for reason, context in contexts.items():
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                reader, writer = await asyncio.open_connection(
                    "localhost", world.folder.load().port, ssl=context, local_addr=(STRANGER, 0)
                )
                assert await reader.read() == b""
                writer.close()
            event = await cloud.audit("admission_refused", reason=reason)
            assert event["data"]["who"] == STRANGER


async def test_reaching_for_another_s_topics_is_audited(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            await device.publish(f"d/{DEV2}/up/events", b"forged")
            assert (await cloud.audit("topic_violation"))["data"] == {"who": DEV1, "kind": "publish"}
            await device.client.subscribe("d/+/down/#", qos=1)
            assert (await cloud.audit("topic_violation"))["data"] == {"who": DEV1, "kind": "subscription"}


LINE = "[7] 2026/11/24 03:01:32.955871 [ERR] "


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f'{LINE}1.2.3.4:5 - mid:1 - "{DEV1}" - Publish Violation - Subject "x"', [(DEV1, "publish")]),
        (
            f"{LINE}1.2.3.4:5 - mid:1 - TLS handshake error: tls: client didn't provide a certificate",
            [("no_certificate", "1.2.3.4", "")],
        ),
        (f"{LINE}1.2.3.4:5 - mid:1 - TLS handshake error: EOF", []),
        (f'{LINE}1.2.3.4:5 - mid:1 - \\"{DEV1}\\" - Publish Violation - Subject "x"', []),
        (f'[8] x y [ERR] 1.2.3.4:5 - mid:1 - "{DEV1}" - Publish Violation - Subject "x"', []),
        (
            "[8] x y [ERR] 1.2.3.4:5 - mid:1 - TLS handshake error: tls: client didn't provide a certificate",
            [],
        ),
        ("", []),
    ],
)
def test_the_broker_s_log_is_believed_only_where_strangers_cannot_write(
    line: str, found: list[tuple[str, ...]]
) -> None:
    seen: list[tuple[str, ...]] = []
    BrokerLog(lambda: 7, lambda *what: seen.append(what), lambda *what: seen.append(what)).take(line)
    assert seen == found


async def test_a_flood_of_refusals_becomes_one_event_with_a_count(world: World) -> None:
    async with world.cloud.connected() as cloud:
        async with world.gateway():
            impostor = world.fleet.issue(DEV1)
            for _ in range(5):
                with pytest.raises(aiomqtt.MqttError):
                    async with world.device_client(impostor):
                        pass
            first = await cloud.audit("admission_refused")
            assert "count" not in first["data"]
        async with world.gateway():  # what was folded is written at the stop, and delivered by the next run
            folded = await cloud.audit("admission_refused", count=4)
            assert folded["seq"] > first["seq"]


async def test_a_revoked_device_is_cut_at_once_and_stays_out(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device(DEV2) as other:
            async with world.device() as device:
                await cloud.register(2, **{DEV1: None, DEV2: world.pins[DEV2]})
                with pytest.raises(aiomqtt.MqttError):
                    async with asyncio.timeout(10):
                        await device.lost()
            assert (await cloud.audit("session_cut"))["data"] == {"who": DEV1}
            with pytest.raises(aiomqtt.MqttError):
                async with world.device_client(DEV1):
                    pass
            assert (await cloud.audit("admission_refused"))["data"]["reason"] == "revoked_device"
            await cloud.down("command", {"d": DEV2, "e": envelope().decode()})
            await other.next(f"d/{DEV2}/down/command")


async def test_a_rotated_pin_cuts_the_old_key_and_lets_the_new_one_in(world: World) -> None:
    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device() as device:
            world.devices[DEV1] = world.fleet.issue(DEV1)
            await cloud.register(2, **world.pins)
            with pytest.raises(aiomqtt.MqttError):
                async with asyncio.timeout(10):
                    await device.lost()
        async with world.device():
            pass


async def test_the_registry_is_kept_over_a_restart_and_never_goes_back(world: World) -> None:
    async with world.cloud.connected() as cloud:
        async with world.gateway():
            await cloud.up("hello")
            await cloud.register(7, **{DEV1: None, DEV2: world.pins[DEV2]})
            async with world.device(DEV2):
                await cloud.register(6, **world.pins)  # an older list, replayed
                await cloud.register(7, **{DEV1: None, DEV2: world.pins[DEV2]})
        await world.cloud.broker.stop()
    async with world.gateway(), world.device(DEV2):
        with pytest.raises(aiomqtt.MqttError):
            async with world.device_client(DEV1):
                pass


async def test_hello_names_the_registry_that_the_gateway_has(world: World) -> None:
    async with world.cloud.connected() as cloud:
        async with world.gateway():
            assert await cloud.up("hello") == {"g": GATEWAY, "registry": 0}
            await cloud.register(4, **world.pins)
            async with world.device():
                pass
        async with world.gateway():
            assert await cloud.up("hello") == {"g": GATEWAY, "registry": 4}


async def test_mosquitto_sub_needs_the_right_certificate(world: World) -> None:
    found = program("mosquitto_sub")

    async def run(*certificate: str) -> tuple[int | None, bytes]:
        port = str(world.folder.load().port)
        process = await asyncio.create_subprocess_exec(
            *(found, "-h", "localhost", "-p", port, "--cafile", str(world.fleet.ca), "-i", DEV1, "-E", "-d"),
            *("-t", f"d/{DEV1}/down/#", "-q", "1", *certificate),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode, output

    async with world.cloud.connected() as cloud, world.gateway():
        await registered(world, cloud)
        async with world.device():
            pass
        right, wrong = world.devices[DEV1], world.fleet.issue(DEV1)
        status, output = await run()
        assert status != 0
        assert b"SUBACK" not in output
        status, output = await run("--cert", str(wrong.certificate), "--key", str(wrong.key))
        assert status != 0
        assert b"SUBACK" not in output
        status, output = await run("--cert", str(right.certificate), "--key", str(right.key))
        assert status == 0, output
