"""A full ring on LittleFS: the most flash operations of one commit and of one read, and commits on a heap in pieces."""

import gc
import json

import flash as f

from device import journal_store
from device.journal_store import MAX_PENDING, JournalStore
from protocol import journal
from protocol.messages import MAX_RECORDS

DIRECTORY = f.MOUNT + "/journal"


class Counting(f.Flash):
    """Counts reads too, in bytes; its blocks are there from the beginning, for the heap will not have room for them."""

    read = 0
    unplugged = False
    erased = b"\xff" * f.BLOCK

    def __init__(self, blocks):
        self._blocks = [bytearray(self.erased) for _ in range(blocks)]
        self.arm(-1)

    def ioctl(self, op, argument):
        if op != 6:
            return super().ioctl(op, argument)
        self._spend(2)
        self._blocks[argument][:] = self.erased
        return 0

    def readblocks(self, number, buffer, offset=0):
        self.read += len(buffer)
        return super().readblocks(number, buffer, offset)


def write(records):
    for _ in range(records):
        store.add(journal.EVENT_BOOT)
    store.commit()
    store.acknowledge(store.committed)


chip = Counting(128)
f.format_and_mount(chip)
journal_store.create(DIRECTORY, bytes(32))
store = JournalStore(DIRECTORY, 1)
ring = journal_store.SEGMENT_RECORDS * journal_store.MAX_SEGMENTS
while store.committed < ring + 1:
    write(MAX_PENDING)
kept = store.committed + 1 - store.read(0, 1)[0]

commit = read = 0
for n in range(journal_store.SEGMENT_RECORDS):
    chip.writes = 0
    write(1 if n % 16 else MAX_PENDING)
    commit = max(commit, chip.writes)
    chip.read = 0
    _, records = store.read(store.committed - ring // 2 + n, 10_000 if n == 0 else MAX_RECORDS)
    read = max(read, chip.read) if n else read

# All that is free is in pieces of less than 600 bytes.
for _ in range(MAX_PENDING):
    store.add(journal.EVENT_BOOT)
gc.collect()
hold, apart = [None] * 8000, 0
try:
    for apart in range(8000):
        hold[apart] = bytearray(500)
except MemoryError:
    pass
for n in range(0, apart, 2):
    hold[n] = None
gc.collect()
store.commit()
del hold
assert JournalStore(DIRECTORY, 2).committed == store.committed
print(json.dumps([kept, commit, read]))
