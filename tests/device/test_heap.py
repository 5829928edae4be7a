"""Ten thousand unlocks leave the heap of a board as it was: handshake, decision, relay and journal, without the radio."""

import json

from protocol.handshake import ACTION_UNLOCK
from tests.device.rig import Rig

UNLOCKS = 10_000
MAX_GROWN = 256  # bytes; a block of 32 for each unlock would be 320,000

# The parts of the firmware as the agent builds them, and both sides of the handshake. A wrong proof now and then, too.
CODE = """
import gc, json, os
from device.parts import Parts
from protocol.errors import BadMac
from protocol.handshake import DoorSide, PhoneSide
parts = Parts()
identity, authority = parts.identity, parts.authority
side = DoorSide(identity.door_id, identity.boot)
phone = PhoneSide(bytes.fromhex({token!r}), [], bytes.fromhex({key!r}), identity.door_id)
granted = refused = 0

def unlock(n):
    global granted, refused
    clock, revocation = authority.challenge_facts()
    now = authority.uptime_ms()
    proof = phone.authenticate(side.challenge(os.urandom(16), now, clock, revocation), {action}, os.urandom(16))
    if not n % 100:
        proof = proof[:-1] + bytes((proof[-1] ^ 1,))
    try:
        auth = side.receive_auth(proof, now, identity.credential_root)
    except BadMac:
        refused += 1
        return
    status, sequence = authority.bluetooth(auth)
    result = phone.receive_result(side.result(auth, status, sequence, revocation, 0))
    granted += result.status == 0
    parts.recorder.store.acknowledge(sequence)

def used():
    gc.collect()
    return gc.mem_alloc()

for n in range(600):  # over a change of the segment, and all that is loaded with the first
    unlock(n)
before = used()
for n in range({unlocks}):
    unlock(n)
print(json.dumps([used() - before, granted, refused, parts.recorder.store.committed]))
"""


async def test_ten_thousand_unlocks_leave_the_heap_as_it_was(lonely: Rig) -> None:
    key = lonely.site.key_for_phone()
    lonely.board.console.write(b"\x03")
    code = CODE.format(action=ACTION_UNLOCK, token=key["token"], key=key["key"], unlocks=UNLOCKS)
    grown, granted, refused, committed = json.loads(await lonely.execute(code))
    assert grown <= MAX_GROWN
    assert refused == (UNLOCKS + 600) // 100
    assert granted == UNLOCKS + 600 - refused
    assert committed >= granted
