"""Forty days of an idle board in virtual time, with the ticks of an ESP32 (2^30 ms, 12.4 days)."""

import asyncio

from device import clock as clock_module
from device.config_store import NumberFile

PERIOD = 1 << 30
DAY_MS = 86_400_000


class Ticks:
    """Stands for the `time` module of the clock, and for its `asyncio`: who sleeps moves the time."""

    def __init__(self):
        self.now = PERIOD - 5000  # a few seconds before a wrap

    def ticks_ms(self):
        return self.now % PERIOD

    def ticks_diff(self, a, b):
        return (a - b + PERIOD // 2) % PERIOD - PERIOD // 2

    async def sleep_ms(self, ms):
        self.now += ms
        await asyncio.sleep(0)


ticks = Ticks()
began = ticks.now
clock_module.time = clock_module.asyncio = ticks
clock = clock_module.Clock(NumberFile("floor"))
clock.set(1_800_000_000_000, 10)
failures = []


async def main():
    task = asyncio.create_task(clock.run(lambda: failures.append(1)))
    while ticks.now - began < 40 * DAY_MS:  # noqa: ASYNC110  (virtual time)
        await asyncio.sleep(0)
    task.cancel()


asyncio.run(main())
elapsed = ticks.now - began
assert abs(clock.uptime_ms() - elapsed) < 1000, (clock.uptime_ms(), elapsed)
now = clock.now()
assert now.t - now.u <= 1_800_000_000 + elapsed // 1000 <= now.t + now.u, (now.t, now.u)
assert 0 <= now.t - now.u - clock.floor < 3600 + 600, clock.floor
assert not failures
print("forty days")
