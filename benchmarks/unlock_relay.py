"""From the API call to the energised relay, against the bare broker's round trip, sample by sample in turn."""

from benchmarks.broker import BareBroker
from benchmarks.capture import capture
from benchmarks.hops import to_relay
from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from benchmarks.site import doors
from benchmarks.unlocks import in_turn, unlock, warm_up
from hil.measure.series import Series

SAMPLES = 240
TRIPS_EACH = 5  # round trips before each unlock: the peer gets a warm processor
TRIPS_ALONE = 200  # back to back, before the unlocks and after them: the fastest that the broker can be
RATIO = 6.0
GOAL = 4.0


async def measure(run: Run) -> Outcome:
    """Round trips and unlocks in turn, at several doors of one site."""
    relay, trips, alone, answer = Series("ms"), Series("ms"), Series("ms"), Series("ms")
    async with BareBroker(run.folder / "bare").serving() as broker, doors(run.folder / "site") as site:
        run.say("warming up")
        await warm_up(site)
        alone.extend([await broker.round_trip() for _ in range(TRIPS_ALONE)])
        hops = to_relay(site)
        run.say(f"{run.count(SAMPLES)} unlocks, each after {TRIPS_EACH} round trips")
        with capture() as wire:
            async for door in in_turn(site, run.count(SAMPLES)):
                trips.extend([await broker.round_trip() for _ in range(TRIPS_EACH)])
                if wire is not None:
                    wire.collect()
                done = await unlock(site, door)
                if wire is not None:
                    hops.add(done.called_us, wire.collect(), done.relay_us)
                relay.add(done.relay_ms)
                answer.add((done.answered_us - done.called_us) / 1000)
                await site.api.finished(done.attempt)
        alone.extend([await broker.round_trip() for _ in range(TRIPS_ALONE)])
    series = {"call to relay": relay, "call to answer": answer}
    series |= {"round trip": trips, "round trip, back to back": alone} | hops.named("hop")
    return Outcome(_lines(relay, trips, alone), series, {"goal": GOAL})


def _lines(relay: Series, trips: Series, alone: Series) -> list[Line]:
    late = relay.percentile(99)
    return [
        Line("API call to relay: p50", relay.median, "ms", trips.median, "round trip p50", RATIO),
        Line("  against round trips back to back", relay.median, "ms", alone.median, "p50"),
        Line("API call to relay: p99", late, "ms", trips.percentile(99), "round trip p99"),
    ]


ENTRY = Entry("unlock_relay", "API call to energised relay", measure)
