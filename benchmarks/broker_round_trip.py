"""A message through the bare broker and back: what MQTT over mutual TLS costs on this machine."""

from benchmarks.broker import BareBroker
from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.measure.series import Series

SAMPLES = 2000
WARM_UP = 50


async def measure(run: Run) -> Outcome:
    """Back to back, one message at a time."""
    trips = Series("ms")
    async with BareBroker(run.folder).serving() as broker:
        for _ in range(WARM_UP):
            await broker.round_trip()
        run.say(f"{run.count(SAMPLES)} round trips")
        for _ in range(run.count(SAMPLES)):
            trips.add(await broker.round_trip())
    lines = [
        Line("publish, echo, back: p50", trips.median, "ms"),
        Line("publish, echo, back: p99", trips.percentile(99), "ms"),
    ]
    return Outcome(lines, {"round trip": trips})


ENTRY = Entry("broker_round_trip", "QoS 1 round trip through nats-server, mutual TLS", measure)
