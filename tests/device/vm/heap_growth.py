"""Unlocks over and over: handshake, decision, relay and journal, without the radio. Both sides of the handshake are here."""

import gc
import os

from device.parts import Parts
from protocol.errors import BadMac
from protocol.handshake import DoorSide, PhoneSide

WARM = 6000  # until the journal's ring is full
LOOKS = 8
UNLOCK = 1
parts = Parts()
door = DoorSide(parts.identity.door_id, parts.identity.boot)
counts = [0, 0]  # granted, refused


def unlock(phone, n):
    authority = parts.authority
    clock, revocation = authority.challenge_facts()
    now = authority.uptime_ms()
    proof = phone.authenticate(door.challenge(os.urandom(16), now, clock, revocation), UNLOCK, os.urandom(16))
    if not n % 100:  # a wrong one now and then
        proof = proof[:-1] + bytes((proof[-1] ^ 1,))
    try:
        auth = door.receive_auth(proof, now, parts.identity.credential_root)
    except BadMac:
        counts[1] += 1
        return
    status, sequence = authority.bluetooth(auth)
    result = phone.receive_result(door.result(auth, status, sequence, revocation, 0))
    counts[0] += result.status == 0
    parts.recorder.store.acknowledge(sequence)


def lowest(phone, unlocks):
    """Bytes in use after so many unlocks: the least of the last ones, for the collector keeps a block now and then."""
    low = []
    for n in range(unlocks):
        unlock(phone, n)
        if unlocks - n <= LOOKS:
            gc.collect()
            low = [min(low + [gc.mem_alloc()])]
    return low[0]


def grown(token, key, unlocks):
    """Bytes of heap after `unlocks` more than before them; how many were granted and refused, and committed, in all."""
    phone = PhoneSide(token, [], key, parts.identity.door_id)
    before = lowest(phone, WARM)
    return [lowest(phone, unlocks) - before, counts[0], counts[1], parts.recorder.store.committed]
