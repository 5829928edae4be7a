"""A table that replaces another with the power cut at every write: the old one or the new one is in force, whole."""

import sys

import flash as f

from device.table_store import TableStore
from protocol.errors import ProtocolError
from protocol.table import KIND_USERS

DEVICE, KEY, PROBE = map(bytes.fromhex, sys.argv[1:4])
TABLES = []
for path in sys.argv[4:7]:  # sequences 1, 2 and 3
    with open(path, "rb") as file:
        TABLES.append(file.read())
PATH, INBOX = f.MOUNT + "/users", f.MOUNT + "/inbox"


def store():
    return TableStore(PATH, KIND_USERS, KEY, DEVICE)


def received(number):
    with open(INBOX, "wb") as file:
        file.write(TABLES[number - 1])


def refused(one, number):
    received(number)
    try:
        one.activate(INBOX)
    except ProtocolError as e:
        return e.reason


def work(done):
    one = store()
    received(2)
    one.activate(INBOX)
    done.append(2)
    received(3)
    one.activate(INBOX)
    done.append(3)


def check(done):
    one = store()
    least = done[-1] if done else 1
    assert least <= one.sequence <= least + 1, (done, one.sequence)
    assert not one.damaged
    assert one.find(PROBE)[-1] == one.sequence  # the row of the probe ends in the number of its table
    assert refused(one, 1) == "table_older"
    for number in range(1, one.sequence + 1):
        assert refused(one, number) == "table_older"
    highest = one.sequence
    # A damaged file is no table, and lets no older one in; the same one again heals it.
    with open(PATH, "r+b") as file:
        file.seek(30)
        file.write(b"\xa5")
    one = store()
    assert one.damaged
    assert one.find(PROBE) is None
    for number in range(1, highest):
        assert refused(one, number) == "table_older", number
    received(highest)
    try:
        one.activate(INBOX)
    except ProtocolError as e:
        # Cut between the sequence and its table: only the one that was in hand, or a newer, may come now.
        assert e.reason == "table_older"
        assert len(done) < 2
        highest += 1
        received(highest)
        one.activate(INBOX)
    assert store().sequence == highest
    assert store().find(PROBE)[-1] == highest


chip = f.Flash(60)
f.format_and_mount(chip)
received(1)
store().activate(INBOX)
f.unplug(chip)
print("cuts", f.cut_at_every_write(chip, work, check))
