"""The acts of the demonstration, in order. Each shows one property on the running installation, or raises."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any

from cloud_api.authority import Authority
from cloud_api.settings import Folder as CloudFolder
from hil.demo import acts_device
from hil.demo.scribe import GATEWAY, OPERATOR
from hil.demo.stage import EVENT_DEADLINE_S, OPEN_S, Stage, expect
from hil.phone import share
from hil.report import Step
from hil.stack.installation import CONNECT_DEADLINE_S, LISTENING
from hil.stack.station import provision
from hil.stack.stolen_gateway import StolenGateway
from protocol.credential import CAVEAT_ACTIONS, CAVEAT_NOT_AFTER, caveat
from protocol.handshake import ACTION_UNLOCK

DOORS = {"front": "Front door", "lab": "Laboratory", "yard": "Yard gate"}
IMPOSTOR = "impostor"
GUEST_S = 3600

Act = Callable[[Stage, Step], Awaitable[None]]


async def start(stage: Stage, step: Step) -> None:
    site = stage.site
    await asyncio.to_thread(acts_device.vendor, stage)
    await asyncio.gather(site.start_cloud(), *(acts_device.add_board(stage, name) for name in DOORS))
    await site.start_gateway()
    stage.log.follow()
    for name in DOORS:
        stage.scribe.watch(stage.door(name).board)
    step.evidence = {
        "cloud": site.api.url,
        "site broker": f"localhost:{site.gateway.ready['mqtt']['port']}, MQTT over mutual TLS",
        "boards": {name: stage.door(name).board.console.path for name in DOORS},
    }
    step.summary = f"cloud, gateway and {len(DOORS)} boards run"


async def put_on(stage: Stage, step: Step) -> None:
    """Provision every board over its console."""

    async def one(name: str, title: str) -> dict[str, Any]:
        stage.scribe.said(OPERATOR, name, "provision over the raw REPL", "console")
        stage.bundles[name] = await stage.site.provision(stage.door(name), title, open_s=OPEN_S)
        return await stage.site.connected(stage.door(name))

    devices = await asyncio.gather(*(one(name, title) for name, title in DOORS.items()))
    step.evidence = {
        device["name"]: {"device": device["id"], "firmware": device["firmware"], "boot": device["boot"]}
        for device in devices
    }
    pins = min(len(bundle["broker"]["pins"]) for bundle in stage.bundles.values())
    step.summary = (
        f"{len(devices)} devices online, each with a certificate, a root key and {pins} pins of the broker"
    )


async def share_key(stage: Stage, step: Step) -> None:
    api = stage.site.api
    before = [
        (await api.get(f"/v1/devices/{stage.door(name).device_id}"))["config_version"] for name in DOORS
    ]
    user = await api.post("/v1/users", {"name": "Anna"})
    doors = [stage.door(name).door_id for name in DOORS]
    key = await api.post("/v1/keys", {"user_id": user["id"], "door_ids": doors, "name": "Anna, all doors"})
    bundle = await api.post(f"/v1/keys/{key['id']}/mobile")
    names = stage.doors_by_id
    stage.phone_keys = {names[entry["door_id"]]: entry for entry in bundle["doors"]}
    stage.key_id = key["id"]
    expect(stage.phone_keys.keys() == DOORS.keys(), f"the bundle holds {sorted(stage.phone_keys)}")
    after = [(await api.get(f"/v1/devices/{stage.door(name).device_id}"))["config_version"] for name in DOORS]
    expect(after == before, "giving a key away changed what doors are configured with")
    step.evidence = {
        "key": key["id"],
        "token of the front door": stage.phone_keys["front"]["token"],
        "configuration of the doors": f"versions {before} before, {after} after: they know a key by its MAC",
    }
    step.summary = f"Anna's phone holds a 26-byte token and a key for each of {len(doors)} doors"


async def offline(stage: Stage, step: Step) -> None:
    site = stage.site
    await asyncio.gather(site.gateway.kill(), site.cloud.kill())
    stage.scribe.said(GATEWAY, GATEWAY, "killed", "fault")
    stage.scribe.said("cloud", "cloud", "killed", "fault")
    expect(not site.gateway.running and not site.cloud.running, "a server outlived its SIGKILL")
    expect(not await stage.cloud_answers(), "somebody still answers at the API's address")
    board = stage.door("front").board
    anna = await stage.unlock(stage.anna, stage.phone_keys["front"], "front")
    expect(anna.result.granted and anna.relay_ms is not None, f"the door answered {anna.result.status}")
    await board.door.strike.wait(1, EVENT_DEADLINE_S)
    await board.door.pass_through(0.4)
    # What she gives away she narrows herself, with no network: for an hour, and to unlock only.
    until = caveat(CAVEAT_NOT_AFTER, (int(time.time()) + GUEST_S).to_bytes(4, "big"))
    only = caveat(CAVEAT_ACTIONS, bytes((1 << ACTION_UNLOCK,)))
    ben = await stage.unlock(stage.ben, share(stage.phone_keys["lab"], until, only), "lab")
    expect(ben.result.granted and ben.relay_ms is not None, f"Ben's key was answered {ben.result.status}")
    await stage.locked("lab")
    assert anna.relay_ms is not None
    stage.numbers["Bluetooth connect to relay"] = anna.relay_ms
    step.evidence = {
        "gateway and cloud": "killed (SIGKILL); nobody answers at the API's address",
        "Anna at the front door": {
            "status": anna.result.status,
            "record": anna.result.audit_seq,
            "connect to relay ms": anna.relay_ms,
            "phone's laps ms": {name: round(ms, 2) for name, ms in anna.result.timings.items()},
        },
        "Ben at the laboratory, with a key that Anna narrowed on her phone": {
            "status": ben.result.status,
            "record": ben.result.audit_seq,
            "caveats": [until.hex(), only.hex()],
        },
    }
    step.summary = f"relay {anna.relay_ms:.1f} ms after the phone connected; a shared key opens too"


async def reconnect(stage: Stage, step: Step) -> None:
    site = stage.site
    began = time.monotonic()
    await asyncio.gather(site.cloud.start(), site.gateway.start())
    records = {name: await stage.journal(name) for name in DOORS}
    took_ms = (time.monotonic() - began) * 1000
    seen = {name: f"records 1 to {len(events)}, each once" for name, events in records.items()}
    grants = [
        event for name in ("front", "lab") for event in records[name] if event["type"] == "access_granted"
    ]
    expect(len(grants) == 2, f"{len(grants)} grants arrived, not 2")
    expect(all(event["key_id"] == stage.key_id for event in grants), "a grant does not name Anna's key")
    stage.numbers["Restart to journal delivered"] = took_ms
    step.evidence = {**seen, "grants made while cut off": [f"record {e['seq']}, {e['time']}" for e in grants]}
    step.summary = f"{sum(map(len, records.values()))} records, none lost, none twice"


async def remote(stage: Stage, step: Step) -> None:
    board = stage.door("lab").board
    await stage.site.connected(stage.door("lab"))
    began = time.monotonic()
    attempt = await stage.site.api.post(f"/v1/doors/{stage.door('lab').door_id}/unlock")
    t_us = await board.pins.wait_pin("relay", 1, EVENT_DEADLINE_S)
    done = await stage.site.api.finished(attempt)
    done_ms = (time.monotonic() - began) * 1000
    expect(done["status"] == "succeeded", f"the attempt ended {done['status']}: {done['error']}")
    relay_ms = round((t_us / 1e6 - began) * 1000, 3)
    await stage.event(
        "access_granted", lambda e: e["seq"] == done["result"]["jseq"] and e["method"] == "remote"
    )
    await stage.locked("lab")
    stage.numbers["API call to relay"] = relay_ms
    stage.numbers["API call to attempt succeeded"] = done_ms
    step.evidence = {
        "attempt": done["id"],
        "status": done["status"],
        "API call to relay ms": relay_ms,
        "API call to succeeded ms": round(done_ms, 3),
        "sealed result": done["result"],
    }
    step.summary = (
        f"relay {relay_ms:.1f} ms after the API call; the device's sealed answer after {done_ms:.1f} ms"
    )


async def hours(stage: Stage, step: Step) -> None:
    """Two keys that differ in their hours; the door itself refuses one."""
    api, door = stage.site.api, stage.door("lab")
    user = await api.post("/v1/users", {"name": "Ben"})
    weekday = time.gmtime().tm_wday
    days = {"In three days": [(weekday + 3) % 7 + 1], "Every day": list(range(1, 8))}
    answers: dict[str, Any] = {}
    before = stage.pulses("lab")
    for name, which in days.items():
        window = {"days": which, "start_minute": 0, "end_minute": 1440}
        schedule = await api.post("/v1/schedules", {"name": name, "windows": [window]})
        await stage.site.connected(door)  # it has the windows
        body = {"user_id": user["id"], "door_ids": [door.door_id], "schedule_id": schedule["id"]}
        key = await api.post("/v1/keys", {**body, "name": name})
        (entry,) = (await api.post(f"/v1/keys/{key['id']}/mobile"))["doors"]
        answers[name] = (await stage.unlock(stage.ben, entry, "lab")).result.status
    expect(list(answers.values()) == ["outside_schedule", "granted"], f"the door answered {answers}")
    expect(stage.pulses("lab") == before + 1, "the relay moved for both keys, or for none")
    await stage.locked("lab")
    denied = await stage.event("access_denied", lambda e: e["status"] == "outside_schedule")
    step.evidence = {
        "hours of the key, and the door's answer": answers,
        "audit": f"record {denied['seq']}: {denied['type']}, {denied['status']}",
    }
    step.summary = "refused outside its hours, and opened by the same person inside them"


async def revoke(stage: Stage, step: Step) -> None:
    before = stage.pulses("front")
    began = time.monotonic()
    await stage.site.api.post(f"/v1/keys/{stage.key_id}/revoke")
    device = await stage.site.connected(stage.door("front"))
    spread_ms = (time.monotonic() - began) * 1000
    tried = await stage.unlock(stage.anna, stage.phone_keys["front"], "front")
    expect(tried.result.status == "revoked", f"the door answered {tried.result.status}")
    expect(stage.pulses("front") == before, "the relay moved")
    denied = await stage.event("access_denied", lambda e: e["key_id"] == stage.key_id)
    stage.numbers["Revoke to door knows"] = spread_ms
    step.evidence = {
        "revocation list at the door": f"sequence {device['reported_revocation_seq']}, after {spread_ms:.1f} ms",
        "door's answer": tried.result.status,
        "relay": "did not move",
        "audit": f"record {denied['seq']}: {denied['type']}, {denied['status']}",
    }
    step.summary = f"refused: revoked; the door knew {spread_ms:.0f} ms after the call"


async def forced(stage: Stage, step: Step) -> None:
    board = stage.door("yard").board
    began = time.monotonic()
    board.door.force()
    alarm = await stage.event("door_forced", lambda e: e["door_id"] == stage.door("yard").door_id)
    alarm_ms = (stage.heard_s[alarm["id"]] - began) * 1000
    board.door.close()
    stage.numbers["Forced door to WebSocket"] = alarm_ms
    step.evidence = {
        "event": alarm["id"],
        "type": alarm["type"],
        "door": DOORS["yard"],
        "after ms": round(alarm_ms, 3),
    }
    step.summary = f"alarm on the WebSocket {alarm_ms:.0f} ms after the leaf moved"


async def wrong_pin(stage: Stage, step: Step) -> None:
    """A board with the name of a real one and a certificate of the right CA, for another key."""
    site = stage.site
    identity = Authority(CloudFolder(site.folder / "cloud")).new_client(stage.bundles["lab"]["device_id"])
    forged = {
        **stage.bundles["lab"],
        "certificate": base64.b64encode(identity.certificate).decode(),
        "private_key": base64.b64encode(identity.private_key).decode(),
    }
    door = await site.add_board(IMPOSTOR)
    try:
        await door.board.console.wait_for(LISTENING, CONNECT_DEADLINE_S)
        await provision(door.board.console.path, forged)
        await door.board.reset()
        refused = await stage.event("gateway_admission_refused", lambda e: e["data"]["pin"] == identity.pin)
    finally:
        await door.board.power_cut()
    expect(refused["data"]["reason"] == "wrong_pin", f"refused for {refused['data']['reason']}")
    lab = await site.api.get(f"/v1/devices/{stage.door('lab').device_id}")
    expect(lab["connected"], "the real board lost its session")
    step.evidence = {
        "certificate": f"issued by the fleet's CA to {stage.bundles['lab']['device_id']}",
        "its key's pin": identity.pin,
        "audit": refused["data"],
        "the real board": "still connected",
    }
    step.summary = "refused at the broker: wrong_pin; the real board stays connected"


async def replay(stage: Stage, step: Step) -> None:
    site, lab = stage.site, stage.door("lab")
    await site.gateway.stop()
    stage.scribe.said(GATEWAY, GATEWAY, "stopped; a thief runs its keys", "fault")
    thief = StolenGateway(site.folder / "gateway", site.folder / "thief")
    async with thief.running():
        done = await stage.opened_remotely("lab")
        expect(done["status"] == "succeeded", f"through the thief the attempt ended {done['status']}")
        await stage.locked("lab")
        before = stage.pulses("lab")
        count = await thief.play_back()
        stage.scribe.said(GATEWAY, "lab", "down/command, the recorded bytes again", "mqtt", outcome="refused")
        await stage.still("lab", OPEN_S / 2)
    await site.gateway.start()
    refused = await stage.event("command_refused", lambda e: e["device_id"] == lab.device_id)
    expect(stage.pulses("lab") == before, "the relay moved")
    step.evidence = {
        "recorded": f"{count} sealed command, {len(thief.recorded[0][1])} bytes, of attempt {done['id']}",
        "first time": "the door opened",
        "second time": "the relay did not move",
        "audit": f"record {refused['seq']}: {refused['type']}, sent once the real gateway was back",
    }
    step.summary = "opened once; the same bytes again moved nothing and are in the audit log"


async def account(stage: Stage, step: Step) -> None:
    """Every pulse of every relay has its record, and no record is missing."""
    tally: dict[str, Any] = {}
    for name in DOORS:
        events = await stage.journal(name)
        grants = sum(event["type"] == "access_granted" for event in events)
        expect(grants == stage.pulses(name), f"{name}: {stage.pulses(name)} pulses, {grants} grants")
        tally[name] = {"records": len(events), "grants": grants, "pulses of the relay": stage.pulses(name)}
    broken = [event for event in stage.events if event["type"] in ("chain_gap", "chain_broken")]
    expect(not broken, f"the log holds {len(broken)} breaks of a journal's chain")
    step.evidence = {**tally, "breaks of a hash chain": len(broken)}
    records = sum(door["records"] for door in tally.values())
    step.summary = f"{len(stage.scribe.pulses)} pulses, each with its grant; {records} records, chains whole"


ACTS: dict[str, tuple[str, Act]] = {
    "start": ("Start the cloud, the site gateway and three boards", start),
    "provision": ("Provision three doors over their consoles", put_on),
    "share": ("Share a key to a phone", share_key),
    "offline_unlock": ("Unlock over Bluetooth, gateway and cloud cut off", offline),
    "reconnect": ("Reconnect, and deliver the journal", reconnect),
    "cloud_unlock": ("Unlock from the cloud", remote),
    "reader": ("Open by card and code at an OSDP reader", acts_device.reader),
    "hours": ("Refuse a key outside its hours", hours),
    "revoked": ("Refuse a revoked key", revoke),
    "forced": ("Raise the alarm for a forced door", forced),
    "wrong_pin": ("Refuse a board with the right CA and the wrong key", wrong_pin),
    "replay": ("Ignore a command that a stolen gateway repeats", replay),
    "update": ("Update a firmware, and roll a broken one back", acts_device.update),
    "account": ("Account for every movement of every bolt", account),
}
