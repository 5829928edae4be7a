"""A board whose crystal runs 60 ppm fast learns it, is reset, and is alone for a week; in virtual time, on real flash files."""

from device import clock as clock_module
from device.config_store import NumberFile

PERIOD = 1 << 30
HOUR_MS = 3_600_000
START_MS = 1_800_000_000_000


class Ticks:
    """Stands for the `time` module of the clock."""

    def __init__(self):
        self.true_ms = 0

    def ticks_ms(self):
        return (self.true_ms + self.true_ms * 60 // 1_000_000) % PERIOD

    def ticks_diff(self, a, b):
        return (a - b + PERIOD // 2) % PERIOD - PERIOD // 2


ticks = clock_module.time = Ticks()


def boot():
    return clock_module.Clock(NumberFile("floor"))


def hour(clock, answered):
    ticks.true_ms += HOUR_MS
    clock.uptime_ms()
    if answered:
        clock.set(START_MS + ticks.true_ms + 40, 50)
    else:
        clock.keep_floor()


clock = boot()
assert clock.drift() == (0, 100)
for _ in range(24):
    hour(clock, answered=True)
learnt = clock.drift()
assert 58 <= learnt[0] <= 62, learnt
assert learnt[1] <= 14, learnt
saves = NumberFile("floor")._slots.version
assert saves <= 25, saves  # one an hour, as for the floor alone

clock = boot()
assert clock.drift() == learnt, clock.drift()
assert 0 <= START_MS // 1000 + ticks.true_ms // 1000 - clock.floor <= 2 * 3600
hour(clock, answered=True)
for _ in range(7 * 24):
    hour(clock, answered=False)
now, true_s = clock.now(), (START_MS + ticks.true_ms) / 1000
assert now.u <= 10, now.u
assert now.t - now.u <= true_s <= now.t + now.u, (now.t, now.u, true_s)
print("learnt", learnt, now.u)
