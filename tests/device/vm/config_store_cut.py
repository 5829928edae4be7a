"""Slot files under a power cut at every write: the payload that loads is the last one saved, or the one in
hand.
"""

import flash as f

from device.config_store import NumberFile, SlotFile

PATH = f.MOUNT + "/config"
PAYLOADS = [bytes([n]) * (100 + 700 * n) for n in range(4)]

chip = f.Flash()
f.format_and_mount(chip)
first = SlotFile(PATH)
assert first.load() is None
first.save(b"first")
number = NumberFile(f.MOUNT + "/boot")
number.save(7)
f.unplug(chip)


def work(done):
    slots = SlotFile(PATH)
    assert slots.load() == b"first"
    for payload in PAYLOADS:
        slots.save(payload)
        done.append(payload)
    count = NumberFile(f.MOUNT + "/boot")
    count.save(count.value + 1)


def check(done):
    slots = SlotFile(PATH)
    loaded = slots.load()
    saved = done[-1] if done else b"first"
    in_hand = PAYLOADS[len(done)] if len(done) < len(PAYLOADS) else saved
    assert loaded in (saved, in_hand), (len(done), loaded and len(loaded))
    # And the next save still works.
    slots.save(b"next")
    assert SlotFile(PATH).load() == b"next"
    assert NumberFile(f.MOUNT + "/boot").value in (7, 8)


print("cuts", f.cut_at_every_write(chip, work, check))
