"""Spending one-time credentials with the power cut at every write: nothing opens twice."""

import flash as f

from device.spent import Spent, create

PATH = f.MOUNT + "/spent"
IDS = [bytes([n]) * 8 for n in range(1, 5)]
LATER = 2_000_000_000

chip = f.Flash()
f.format_and_mount(chip)
create(PATH)
f.unplug(chip)


def work(opened):
    for id in IDS:
        one = Spent(PATH)
        assert one.open(id, 0)
        one.spend(id, LATER)
        opened.append(id)  # here the relay is energised


def check(opened):
    one = Spent(PATH)
    for id in opened:
        assert not one.open(id, 0), "a second opening"
    # At most the one in hand is lost.
    assert sum(one.open(id, 0) for id in IDS) >= len(IDS) - len(opened) - 1
    fresh = b"fresh id"
    assert one.open(fresh, 0)
    one.spend(fresh, LATER)
    assert not Spent(PATH).open(fresh, 0)


print("cuts", f.cut_at_every_write(chip, work, check))
