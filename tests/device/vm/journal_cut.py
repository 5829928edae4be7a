"""The journal under a power cut at every write: what was committed is there and verifies; nothing follows a
hole.
"""

import sys

import flash as f

from device import journal_store
from device.journal_store import JournalStore
from protocol import journal

KEY = bytes(range(32))
DIRECTORY = f.MOUNT + "/journal"
# Small, so that a few records cross segments and wrap the ring.
journal_store.SEGMENT_RECORDS = 4
WRAPS = sys.argv[1] == "wraps"
journal_store.MAX_SEGMENTS = 3 if WRAPS else 30

chip = f.Flash(48)
f.format_and_mount(chip)
journal_store.create(DIRECTORY, KEY)
store = JournalStore(DIRECTORY, 1)
for n in range(6):
    store.add(journal.EVENT_BOOT, value=n)
    store.commit()
store.acknowledge(5)
f.unplug(chip)


def everything(store):
    """All records of the ring, as (first sequence, raw records)."""
    first, records = store.read(0, 1000)
    out = list(records)
    while True:
        at, more = store.read(first + len(out) - 1, 1000)
        if not more:
            return first, out
        assert at == first + len(out)
        out.extend(more)


def work(done):
    """`done` grows by the sequence that a commit made durable."""
    store = JournalStore(DIRECTORY, 2)
    assert store.sequence == 6
    for size in (1, 3, 9, 2, 1, 6):  # 9 records cross two segments in one commit
        for _ in range(size):
            store.add(journal.EVENT_BOOT, value=100)
        store.commit()
        done.append(store.sequence)


def check(done):
    store = JournalStore(DIRECTORY, 3)
    durable = done[-1] if done else 6
    assert store.committed >= durable, (store.committed, durable)
    assert store.committed == store.sequence
    # A record after the cut goes on with the chain; then the ring holds one unbroken, verifiable run.
    store.add(journal.EVENT_BOOT, value=7)
    store.commit()
    first, records = everything(store)
    assert first + len(records) - 1 == store.sequence
    if not WRAPS:
        assert first == 1
        chain = journal.initial_state(KEY)
        for raw in records:
            _, chain = journal.verify(chain, raw)
    assert store.acked <= 5
    # And it is the same after one more boot.
    again = JournalStore(DIRECTORY, 4)
    assert again.sequence == store.sequence
    assert everything(again) == (first, records)


print("cuts", f.cut_at_every_write(chip, work, check))
