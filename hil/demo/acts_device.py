"""Acts about what a door's own board decides: readers and codes, and which firmware it runs."""

import asyncio
import base64
import json
import time
from typing import Any

from hil import package
from hil.board.description import builtin
from hil.demo.stage import EVENT_DEADLINE_S, Stage, expect
from hil.osdp_reader import Reader, Terminal
from hil.report import Step
from hil.report.model import Outcome
from hil.stack.installation import CONNECT_DEADLINE_S, LISTENING
from hil.stack.station import execute
from hil.vm import image
from protocol.keys import osdp_key

READER_DOOR = "front"
READER_LINE = {"uart": 1, "tx": 17, "rx": 16, "de": 4, "baud": 9600, "address": 1}
CARD = {"bits": 26, "facility": 12, "number": 3456}
CARD_WIRE = bytes.fromhex("0606c040")  # the same card as its 26 bits
CODE, WRONG_CODE = "2580", "2581"
UPDATED_DOOR = "yard"
GOOD, BROKEN = 2, 3  # versions
TRIAL_S = 12
SETTLED_S = 60.0


def vendor(stage: Stage) -> None:
    """Make the vendor's key, and the image of a firmware that trusts it."""
    stage.vendor = package.new_key()
    trusted = stage.site.folder / "release_key.py"
    trusted.write_text(package.key_module(stage.vendor))
    broken = stage.site.folder / "broken.py"
    broken.write_text("raise ValueError('this firmware cannot start')\n")
    stage.firmware = image.firmware_image(replaced={"device/release_key.py": trusted})
    replaced = {"device/release_key.py": trusted, "device/main.py": broken}
    stage.broken_firmware = image.firmware_image(replaced=replaced)


async def add_board(stage: Stage, name: str) -> None:
    """Power one of the doors; one has a reader at an RS-485 line, which its pin map names."""
    if name != READER_DOOR:
        await stage.site.add_board(name, firmware=stage.firmware)
        return
    description = builtin("osdp_door")
    door = await stage.site.add_board(name, description, firmware=stage.firmware)
    await door.board.console.wait_for(
        LISTENING, CONNECT_DEADLINE_S
    )  # who interrupts its boot stops it for good
    pins = json.dumps({**description.pin_map, "osdp": READER_LINE})
    code = f"with open('/pins.json', 'w') as f:\n    f.write({pins!r})"
    await asyncio.to_thread(execute, door.board.console.path, code)


async def reader(stage: Stage, step: Step) -> None:
    """A card and a code at an OSDP reader; the operator gave both to Anna through the API."""
    api, door = stage.site.api, stage.door(READER_DOOR)
    user = await api.post("/v1/users", {"name": "Clara"})
    terms = {"user_id": user["id"], "door_ids": [door.door_id]}
    await api.post("/v1/credentials", {**terms, "name": "Clara's card", "card": CARD})
    code = await api.post("/v1/credentials", {**terms, "name": "Clara's code", "pin": CODE})
    expect(CODE not in json.dumps(code), "the API shows a code again")
    table = await _told(stage, READER_DOOR, "transfer_taken", 2)
    key = osdp_key(base64.b64decode(stage.bundles[READER_DOOR]["k_dev"]))
    device = Reader(Terminal(door.board.uarts[1].open_pty()), key)
    device.start()
    try:
        async with asyncio.timeout(EVENT_DEADLINE_S):
            while not device.secure:  # noqa: ASYNC110  (libosdp runs in a thread)
                await asyncio.sleep(0.02)
        answers = {}
        for what, show in (
            ("card", lambda: device.present(CARD["bits"], CARD_WIRE)),
            ("code", lambda: device.type(f"{CODE}#")),
            ("wrong code", lambda: device.type(f"{WRONG_CODE}#")),
        ):
            answers[what] = await _shown(stage, what, show)
    finally:
        device.stop()
    statuses = {what: event["status"] for what, event in answers.items()}
    wanted = {"card": "granted", "code": "granted", "wrong code": "unknown_credential"}
    expect(statuses == wanted, f"the door answered {statuses}")
    step.evidence = {
        "reader": "libosdp at the board's RS-485 line, Secure Channel with the key from provisioning",
        "table of users": f"fetched in pieces; record {table['seq']}: {table['type']}, version 2",
        "answers": statuses,
        "audit": [f"record {e['seq']}: {e['type']}, {e['method']}, {e['status']}" for e in answers.values()],
    }
    step.summary = "a card and a code of the table open; a wrong code does not"


async def _shown(stage: Stage, what: str, show: Any) -> dict[str, Any]:
    """Show something to the reader; the record of what the door made of it."""
    door = stage.door(READER_DOOR)
    seen = {event["id"] for event in stage.events}
    began_s = time.monotonic()
    show()
    kinds = "access_denied" if what == "wrong code" else "access_granted"
    event = await stage.event(kinds, lambda e: e["id"] not in seen and e["device_id"] == door.device_id)
    outcome: Outcome = "delivered" if event["status"] == "granted" else "refused"
    stage.scribe.said("Clara", READER_DOOR, what, "pin", began_s, outcome=outcome)
    await stage.locked(READER_DOOR)
    return event


async def _told(
    stage: Stage, name: str, kind: str, version: int, deadline_s: float = EVENT_DEADLINE_S
) -> dict[str, Any]:
    """The record in which a door says that of a version."""
    device_id = stage.door(name).device_id
    return await stage.event(
        kind, lambda e: e["device_id"] == device_id and e["data"].get("value") == version, deadline_s
    )


async def update(stage: Stage, step: Step) -> None:
    """A good firmware, as it is shipped, is tried and kept; one that cannot start is given up by the board itself."""
    api, door = stage.site.api, stage.door(UPDATED_DOOR)
    assert stage.vendor is not None
    assert stage.broken_firmware is not None
    shipped = await asyncio.to_thread(package.build, stage.vendor)
    seen: list[Any] = []
    for version, firmware, ending in (
        (GOOD, shipped.image, "update_confirmed"),
        (BROKEN, stage.broken_firmware.read_bytes(), "update_rolled_back"),
    ):
        began = time.monotonic()
        data = package.sign(firmware, stage.vendor, version, trial_s=TRIAL_S)
        made = await api.upload("/v1/packages", data)
        await api.post(f"/v1/devices/{door.device_id}/update", {"package_id": made["id"]})
        for kind in ("update_activated", ending):
            event = await _told(stage, UPDATED_DOOR, kind, version, SETTLED_S)
            seen.append(f"record {event['seq']}: {kind}, version {version}")
        stage.numbers[f"Package of version {version} to {ending.replace('_', ' ')}"] = (
            time.monotonic() - began
        ) * 1000
    device = await stage.site.connected(door)
    expect(device["firmware"].endswith(f"+{GOOD}"), f"the board runs {device['firmware']}")
    step.evidence = {"audit": seen, "runs now": device["firmware"], "boots": device["boot"]}
    step.summary = (
        f"version {GOOD} was tried and kept; {BROKEN} could not start, and the board went back to {GOOD}"
    )
