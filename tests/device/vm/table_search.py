"""The largest table on LittleFS: how long a search takes, that a miss costs what a hit costs, and no heap growth."""

import gc
import sys
import time

import flash as f

from device import table_store
from device.table_store import TableStore
from protocol import table
from protocol.access import STATUS_GRANTED, STATUS_UNKNOWN, Facts, decide
from protocol.clock import Interval
from protocol.credential import Grant
from protocol.handshake import ACTION_UNLOCK
from protocol.journal import METHOD_PIN

DEVICE, KEY, LOOKUP = map(bytes.fromhex, sys.argv[1:4])
INBOX = f.MOUNT + "/inbox"
ROUNDS = 10_000
chip = f.Flash(80)
f.format_and_mount(chip)
with open(sys.argv[4], "rb") as source, open(INBOX, "wb") as file:
    while True:
        piece = source.read(1024)
        if not piece:
            break
        file.write(piece)
store = TableStore(f.MOUNT + "/users", table.KIND_USERS, KEY, DEVICE)
began = time.ticks_us()
store.activate(INBOX)
activation = time.ticks_diff(time.ticks_us(), began)

reads = 0
search = table_store.search


def counted(count, key, read):
    def counting(number):
        global reads
        reads += 1
        return read(number)

    return search(count, key, counting)


table_store.search = counted
costs = set()
for n in range(0, 4000, 7):  # the first 2,000 codes have a row
    before = reads
    row = store.find(table.lookup(LOOKUP, b"pin", b"%06d" % n))
    assert (row is not None) == (n < 2000), n
    costs.add(reads - before)
table_store.search = search
assert len(costs) == 1, costs


def shown(n):
    row = store.find(table.lookup(LOOKUP, b"pin", b"%06d" % n))
    token = table.user_token(row, 1) if row is not None else None
    grant = Grant(token, ()) if token is not None else None
    return decide(Facts(METHOD_PIN, grant, ACTION_UNLOCK, bytes(8), 1, NOW, 60))


NOW = Interval(1_800_000_000, 2)
worst = 0
for n in range(200):
    shown(n * 20)
gc.collect()
held = gc.mem_alloc()
for n in range(ROUNDS):
    began = time.ticks_us()
    status = shown(n % 4000)
    worst = max(worst, time.ticks_diff(time.ticks_us(), began))
    assert status == (STATUS_GRANTED if n % 4000 < 2000 else STATUS_UNKNOWN)
gc.collect()
print("reads", costs.pop(), "worst_us", worst, "activation_us", activation, "growth", gc.mem_alloc() - held)
