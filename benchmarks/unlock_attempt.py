"""From the API call to the attempt's proven success, as an integrator sees it: by long poll, and on the event stream."""

import asyncio
from typing import Any

from benchmarks.broker import BareBroker
from benchmarks.capture import capture
from benchmarks.hops import Hops, to_proof
from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from benchmarks.site import doors
from benchmarks.unlocks import in_turn, unlock, warm_up
from hil.board.signals import now_us
from hil.measure.series import Series
from hil.stack import Installation

SAMPLES = 120  # of each way
RATIO = 20.0  # two crossings of both brokers, two journal commits, an fsync and two HTTP requests


async def measure(run: Run) -> Outcome:
    """The two ways one after the other, so that neither slows the other; a round trip before each unlock."""
    trips, polled, streamed = Series("ms"), Series("ms"), Series("ms")
    async with BareBroker(run.folder / "bare").serving() as broker, doors(run.folder / "site") as site:
        run.say("warming up")
        await warm_up(site)
        run.say(f"{run.count(SAMPLES)} unlocks, by long poll")
        hops = await _poll(site, broker, run.count(SAMPLES), trips, polled)
        run.say(f"{run.count(SAMPLES)} unlocks, on the event stream")
        await _stream(site, broker, run.count(SAMPLES), trips, streamed)
    series = {"long poll": polled, "stream": streamed, "round trip": trips}
    lines = [
        Line(f"API call to success, {way}: p{percent}", series[way].percentile(percent), "ms", *against)
        for way in ("long poll", "stream")
        for percent, against in ((50, (trips.median, "round trip p50", RATIO)), (99, ()))
    ]
    return Outcome(lines, series | hops.named("hop back"))


async def _poll(site: Installation, broker: BareBroker, count: int, trips: Series, polled: Series) -> Hops:
    hops = to_proof(site)
    with capture() as wire:
        async for door in in_turn(site, count):
            trips.add(await broker.round_trip())
            if wire is not None:
                wire.collect()
            called = await unlock(site, door)
            _must_have_succeeded((await site.api.finished(called.attempt))["status"])
            ended_us = now_us()
            if wire is not None:
                hops.add(called.relay_us, wire.collect(), ended_us)
            polled.add((ended_us - called.called_us) / 1000)
    return hops


async def _stream(
    site: Installation, broker: BareBroker, count: int, trips: Series, streamed: Series
) -> None:
    async with site.api.stream() as stream:
        async for door in in_turn(site, count):
            trips.add(await broker.round_trip())
            began = now_us()
            heard = asyncio.create_task(stream.wait(_ends_unlock))
            attempt = await site.api.post(f"/v1/doors/{door.door_id}/unlock")
            event = await heard
            streamed.add((now_us() - began) / 1000)
            _must_have_succeeded(event["status"])
            if event["data"]["attempt_id"] != attempt["id"]:
                raise RuntimeError("the stream told of another attempt")


def _ends_unlock(event: dict[str, Any]) -> bool:
    return str(event["type"]).startswith("unlock_")


def _must_have_succeeded(status: str) -> None:
    if status != "succeeded":
        raise RuntimeError(f"an unlock ended as {status}")


ENTRY = Entry("unlock_attempt", "API call to proven attempt", measure)
