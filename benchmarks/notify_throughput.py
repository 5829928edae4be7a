"""Notifications, as many as the air takes: bounded by the connection interval and the PDUs of an event, as on a real link."""

import asyncio

from benchmarks.gatt_round_trip import INTERVALS_MS, NOTIFIES, characteristic, connected
from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.board.signals import now_us
from hil.measure.series import Series
from hil.radio.link import MAX_PDUS
from hil.radio.medium import Medium

EVENTS = 100
DATA = b"x" * 20
MARGIN = 0.1
DEADLINE_S = 60.0


async def measure(run: Run) -> Outcome:
    """At each interval, what comes of a queue that never runs dry; against MAX_PDUS an event."""
    lines: list[Line] = []
    series: dict[str, Series] = {}
    for interval in INTERVALS_MS:
        run.say(f"notifications over {run.count(EVENTS)} events of {interval:g} ms")
        rate = await _rate(interval, run.count(EVENTS))
        most = MAX_PDUS * 1000 / interval
        name = f"notifications at {interval:g} ms"
        lines.append(Line(name, rate, "1/s"))
        lines.append(
            Line(f"{name}: off the limit", abs(rate - most), "1/s", most, f"{MAX_PDUS} an event", MARGIN)
        )
        series[name] = Series("1/s")
        series[name].add(rate)
    return Outcome(lines, series)


async def _rate(interval_ms: float, events: int) -> float:
    medium = Medium(paced=True)
    peripheral, connection = await connected(medium, interval_ms, NOTIFIES)
    target = await characteristic(connection)
    arrived: list[int] = []
    wanted = events * MAX_PDUS
    enough = asyncio.Event()

    def on_notification(_value: bytes) -> None:
        arrived.append(now_us())
        if len(arrived) == wanted:
            enough.set()

    await target.subscribe(on_notification)
    (at_peripheral,) = peripheral.device.connections.values()
    (value,) = [one for one in peripheral.device.gatt_server.attributes if one.type == target.uuid]
    for _ in range(wanted):
        await peripheral.device.notify_subscriber(at_peripheral, value, DATA, force=True)
    await asyncio.wait_for(enough.wait(), DEADLINE_S)
    await medium.aclose()
    return (wanted - MAX_PDUS) / (arrived[-1] - arrived[MAX_PDUS - 1]) * 1e6


ENTRY = Entry("notify_throughput", "Notifications a second", measure)
