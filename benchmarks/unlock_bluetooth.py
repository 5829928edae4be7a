"""A phone at the door: scan, connect, prove the key, relay. Nothing online takes part."""

import asyncio

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from benchmarks.site import doors, energised
from benchmarks.unlocks import in_turn
from hil.board.signals import now_us
from hil.measure.series import Series
from hil.phone import DoorKey, Phone
from hil.stack import Installation

SAMPLES = 100
LIMIT_MS = 1000.0  # from the phone's connect to the relay; users call an unlock that takes seconds slow
PHASES = ("scan", "connect", "discover", "answer")


async def measure(run: Run) -> Outcome:
    """One phone, at the doors of a site in turn."""
    names = ("connect to relay", "proof to relay", "scan to result", *PHASES)
    series = {name: Series("ms") for name in names}
    async with doors(run.folder) as site:
        keys = await phone_keys(site)
        phone = Phone.on(site.medium, "phone")
        run.say(f"{run.count(SAMPLES)} unlocks over Bluetooth")
        async for door in in_turn(site, run.count(SAMPLES)):
            moved = asyncio.ensure_future(energised(door))
            began = now_us()
            result = await phone.unlock(keys[door.door_id])
            ended = now_us()
            if not result.granted:
                raise RuntimeError(f"{door.name} answered {result.status}")
            laps = [result.timings[f"{phase}_ms"] for phase in PHASES]
            to_relay = (await moved - began) / 1000
            series["connect to relay"].add(to_relay - laps[0])
            series["proof to relay"].add(to_relay - sum(laps[:3]))
            series["scan to result"].add((ended - began) / 1000)
            for phase, lap in zip(PHASES, laps, strict=True):
                series[phase].add(lap)
        await phone.aclose()
    return Outcome(_lines(series), series)


def _lines(series: dict[str, Series]) -> list[Line]:
    connect, proof, whole = (
        series[name] for name in ("connect to relay", "proof to relay", "scan to result")
    )
    return [
        Line("Bluetooth connect to relay: p50", connect.median, "ms", LIMIT_MS, "limit", 1.0),
        Line("Bluetooth connect to relay: p99", connect.percentile(99), "ms", LIMIT_MS, "limit", 1.0),
        Line("proof (AUTH) to relay: p50", proof.median, "ms"),
        Line("proof (AUTH) to relay: p99", proof.percentile(99), "ms"),
        Line("scan to result: p50", whole.median, "ms"),
        Line("scan to result: p99", whole.percentile(99), "ms"),
    ]


async def phone_keys(site: Installation) -> dict[str, DoorKey]:
    """A new user's key to every door, by door."""
    user = await site.api.post("/v1/users", {"name": "Ada Lovelace"})
    body = {"user_id": user["id"], "door_ids": [door.door_id for door in site.doors.values()]}
    key = await site.api.post("/v1/keys", body)
    bundle = await site.api.post(f"/v1/keys/{key['id']}/mobile")
    return {entry["door_id"]: DoorKey.parse(entry) for entry in bundle["doors"]}


ENTRY = Entry("unlock_bluetooth", "Bluetooth unlock", measure)
