"""Who gets in, who does not, and how at once a session ends."""

import asyncio
import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import aiomqtt
import nats
import pytest
from nats.errors import Error as NatsError

from protocol.host import admission as admission_module
from protocol.host.admission import Admission, Refusal
from protocol.host.nats_claims import BadFilter, Permissions, subjects
from tests.programs import program

from .conftest import DEV1, DEV2, GATEWAY, Site, serving
from .fleet import Fleet

WAITS_S = 0.3


async def refusal(site: Site) -> tuple[str, str, str]:
    return await asyncio.wait_for(site.refused.get(), 5)


async def test_a_registered_device_speaks_with_the_gateway_both_ways(
    site: Site, admission: Admission
) -> None:
    async with site.client(DEV1) as device, site.client(GATEWAY) as gateway:
        await device.subscribe(f"d/{DEV1}/down/#", qos=1)
        await gateway.subscribe("d/+/up/#", qos=1)
        for qos in (0, 1):
            await gateway.publish(f"d/{DEV1}/down/command", b"open", qos=qos)
            await device.publish(f"d/{DEV1}/up/result", b"opened", qos=qos)
            down = await asyncio.wait_for(anext(device.messages), 5)
            up = await asyncio.wait_for(anext(gateway.messages), 5)
            assert (str(down.topic), down.payload) == (f"d/{DEV1}/down/command", b"open")
            assert (str(up.topic), up.payload) == (f"d/{DEV1}/up/result", b"opened")


async def test_a_site_may_have_thousands_of_devices(site: Site, admission: Admission) -> None:
    # nats-server gives each subscription a consumer of its own, and a stream 1,000 of them unless it is told otherwise.
    site.decide = lambda certificate, pin, client_id: Permissions((), ("d/+/up/#",))
    granted = []
    for client in range(22):
        name = site.fleet.issue(f"gw_{client:016x}")
        async with site.client(name, clean_session=False) as keeps:
            topics = [(f"d/{client}-{number}/up/state", 1) for number in range(50)]
            granted += [code.value for code in await keeps.subscribe(topics)]  # type: ignore[union-attr]
    assert granted == [1] * 1100


async def test_a_broker_that_died_is_guarded_again_as_soon_as_it_is_back(
    site: Site, admission: Admission
) -> None:
    assert site.broker.pid is not None
    os.kill(site.broker.pid, signal.SIGKILL)
    await site.broker.wait_exit()
    await asyncio.sleep(WAITS_S)  # the admission has found the door shut by now
    await site.broker.start()
    admission.retry_now()
    # nats-server keeps whoever comes before this waiting for 3 s, and refuses them then.
    await asyncio.wait_for(admission.ready.wait(), 1)


async def test_nobody_is_let_in_before_the_owner_listens(site: Site) -> None:
    listening = asyncio.Event()
    async with serving(site.admission(owner=GATEWAY, listening=listening)):
        assert not await site.connects(DEV1)
        assert (await refusal(site))[0] == "not_listening"
        async with site.client(GATEWAY) as gateway:
            device = asyncio.create_task(tell(site, b"where I stand"))
            await asyncio.sleep(WAITS_S)
            assert not device.done()
            await gateway.subscribe("d/+/up/#", qos=1)
            listening.set()
            heard = await asyncio.wait_for(anext(gateway.messages), 5)
            await device
        assert heard.payload == b"where I stand"


async def tell(site: Site, payload: bytes) -> None:
    """A device's first words, once it is let in."""
    async with site.client(DEV1) as device:
        await device.publish(f"d/{DEV1}/up/state", payload, qos=1)


async def test_right_ca_but_wrong_pin_is_refused(site: Site, admission: Admission) -> None:
    impostor = site.fleet.issue(DEV1)
    assert not await site.connects(impostor)
    assert await refusal(site) == ("wrong_pin", DEV1, impostor.pin)


async def test_a_device_that_nobody_registered_is_refused(site: Site, admission: Admission) -> None:
    stranger = site.fleet.issue("dev_" + "9" * 16)
    assert not await site.connects(stranger)
    assert (await refusal(site))[0] == "unknown_device"


async def answer_to_connect(port: int, context: ssl.SSLContext) -> bytes:
    """What the broker says to a CONNECT of DEV1: nothing, where TLS has already turned the client away."""
    try:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(
            b"\x10" + bytes([12 + len(DEV1)]) + b"\0\4MQTT\4\2\0\x3c\0" + bytes([len(DEV1)]) + DEV1.encode()
        )
        answer = await asyncio.wait_for(reader.read(4), 10)
        writer.close()
        return answer
    except (ssl.SSLError, ConnectionError):
        return b""


async def test_only_a_valid_certificate_of_the_fleet_gets_through_tls(
    site: Site, admission: Admission, tmp_path: Path
) -> None:
    other = Fleet(tmp_path / "other")
    foreign, expired = other.issue(DEV1), site.fleet.issue(DEV1, seconds=-60)
    server_as_client = site.fleet.issue(DEV1, server=True)
    foreign_context = other.context(foreign)
    foreign_context.load_verify_locations(site.fleet.ca)
    contexts = {
        site.pins[DEV1]: site.fleet.context(site.identities[DEV1]),
        foreign.pin: foreign_context,
        expired.pin: site.fleet.context(expired),
        server_as_client.pin: site.fleet.context(server_as_client),
        "none": site.fleet.context(None),
    }
    accepted = []
    for pin, context in contexts.items():
        site.pins[DEV1] = pin
        if await answer_to_connect(site.broker.mqtt_port, context) == b"\x20\2\0\0":
            accepted.append(pin)
    assert accepted == [site.identities[DEV1].pin]
    assert site.refused.empty(), "the decision was asked about a client that TLS must refuse"


async def test_mosquitto_sub_without_a_certificate_cannot_connect(site: Site, admission: Admission) -> None:
    found = program("mosquitto_sub")

    async def run(*certificate: str) -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            *(found, "-h", "localhost", "-p", str(site.broker.mqtt_port), "--cafile", str(site.fleet.ca)),
            *("-i", DEV1, "-t", f"d/{DEV1}/down/#", "-q", "1", "-E", "-d", *certificate),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode, output

    status, output = await run()
    assert status != 0
    assert b"CONNACK (0)" not in output
    right = site.identities[DEV1]
    status, output = await run("--cert", str(right.certificate), "--key", str(right.key))
    assert (status, b"SUBACK" in output) == (0, True), output
    impostor = site.fleet.issue(DEV1)
    status, output = await run("--cert", str(impostor.certificate), "--key", str(impostor.key))
    assert status != 0
    assert b"SUBACK" not in output


async def test_a_client_id_other_than_the_common_name_is_refused(site: Site, admission: Admission) -> None:
    for client_id in (DEV2, GATEWAY, "", DEV1.upper(), DEV1 + "x", "dev_+", "dev_*", ">", "#"):
        async with asyncio.timeout(10):
            assert not await site.connects(site.identities[DEV1], client_id or " "), client_id


async def test_a_session_cannot_be_stolen_under_its_client_id(site: Site, admission: Admission) -> None:
    async with site.client(DEV1) as device, site.client(GATEWAY) as gateway:
        await device.subscribe(f"d/{DEV1}/down/#", qos=1)
        assert not await site.connects(site.identities[DEV2], DEV1)
        assert not await site.connects(site.fleet.issue(DEV1))
        await gateway.publish(f"d/{DEV1}/down/command", b"still yours", qos=1)
        assert (await asyncio.wait_for(anext(device.messages), 5)).payload == b"still yours"


async def test_a_kick_cuts_the_session_and_a_revoked_device_stays_out(
    site: Site, admission: Admission
) -> None:
    async with site.client(GATEWAY):
        with pytest.raises(aiomqtt.MqttError):
            async with site.client(DEV1) as device:
                del site.pins[DEV1]
                assert await admission.kick(DEV1) == 1
                await asyncio.wait_for(anext(device.messages), 5)
        assert not await site.connects(DEV1)
        assert (await refusal(site))[0] == "unknown_device"
        assert await admission.kick(DEV1) == 0


async def test_a_session_does_not_outlive_its_certificate(site: Site, admission: Admission) -> None:
    brief = site.fleet.issue(DEV1, seconds=2)
    site.pins[DEV1] = brief.pin
    with pytest.raises(aiomqtt.MqttError):
        async with site.client(brief) as device:
            await asyncio.wait_for(anext(device.messages), 15)


async def test_without_an_admission_nobody_gets_in(site: Site) -> None:
    assert not await site.connects(DEV1)


@pytest.mark.parametrize("fault", ["raises", "hangs", "nonsense", "bad_filter"])
async def test_a_broken_decision_is_a_refusal_and_the_next_one_works(
    site: Site, admission: Admission, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission_module, "DECIDE_DEADLINE_S", 0.2)

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    def fail(*_: object) -> None:
        raise RuntimeError("the registry is on fire")

    site.decide = {
        "raises": fail,
        "hangs": hang,
        "nonsense": lambda *_: "come in",
        "bad_filter": lambda *_: Permissions(("#",), ("d/x/down/#",)),
    }[fault]
    assert not await site.connects(DEV1)
    expected = {"raises": "decision_failed", "hangs": "decision_late", "nonsense": "decision_failed"}
    assert (await refusal(site))[0] == expected.get(fault, fault)
    site.decide = site.by_pin
    assert await site.connects(DEV1)


async def test_an_asynchronous_decision_is_awaited(site: Site, admission: Admission) -> None:
    async def ask_a_database(*request: Any) -> Permissions | Refusal:
        await asyncio.sleep(0)
        return site.by_pin(*request)

    site.decide = ask_a_database
    assert await site.connects(DEV1)
    assert not await site.connects(site.fleet.issue(DEV1))


async def test_the_admission_comes_back_after_the_broker(site: Site) -> None:
    admission = site.admission()
    async with serving(admission):
        assert await site.connects(DEV1)
        await site.broker.stop()
        await site.broker.start()
        async with asyncio.timeout(30):
            while not await site.connects(DEV1):
                pass


@pytest.mark.parametrize("login", [{}, {"user": "admission", "password": "admission"}, {"user": "system"}])
async def test_the_internal_listener_takes_nobody_else(
    site: Site, admission: Admission, login: dict[str, str]
) -> None:
    with pytest.raises((NatsError, OSError)):
        await nats.connect(site.broker.nats_url, allow_reconnect=False, connect_timeout=5, **login)  # type: ignore[arg-type]


async def test_rubbish_in_the_callout_is_survived(site: Site, admission: Admission) -> None:
    login = {"user": site.broker.auth_user, "password": site.broker.auth_password}
    peer = await nats.connect(site.broker.nats_url, **login)  # type: ignore[arg-type]
    for rubbish in (b"", b"x", b"a.b.c", b"a.bnVsbA.c", b"a." + b"A" * 1000 + b".c", json.dumps({}).encode()):
        await peer.publish(admission_module.AUTH_SUBJECT, rubbish)
    await peer.close()
    assert await site.connects(DEV1)


def test_filters_become_subjects() -> None:
    filters = ("d/+/up/#", "s/3/site_1/down/ack")
    assert subjects(filters, with_parent=True) == ["d.*.up", "d.*.up.>", "s.3.site_1.down.ack"]
    assert subjects(filters, with_parent=False) == ["d.*.up.>", "s.3.site_1.down.ack"]


@pytest.mark.parametrize(
    "topic_filter",
    ["#", "", "a//b", "/a", "a/", "a/*/b", "a/>", "a.b", "a b", "a/#/b", "a/b+", "$MQTT/#", "$SYS/x"],
)
def test_a_filter_without_an_exact_subject_is_never_granted(topic_filter: str) -> None:
    with pytest.raises(BadFilter):
        subjects((topic_filter,), with_parent=True)
