"""What one unlock over Bluetooth costs: HMACs, and commits to flash, of which some are before the relay."""

from device import config_store, journal_store
from device.parts import Parts
from protocol import credential, handshake, journal, keys

UNLOCK = 1
parts = Parts()
counts = {"hmac": 0, "commit": 0}
at_relay = {}


def counted(what, function):
    def wrapper(*args):
        counts[what] += 1
        return function(*args)

    return wrapper


class Watched:
    """The relay's pin; notes what was spent when it is energised."""

    def __init__(self, pin):
        self.pin = pin

    def off(self):
        self.pin.off()

    def value(self, *on):
        if on and on[0] and not at_relay:
            at_relay.update(counts)
        return self.pin.value(*on)


def unlock(token, caveats, key):
    """[status, HMACs in all, commits before the relay, commits in all]; the phone's own HMACs are not counted."""
    for module in (keys, credential, handshake, journal):
        module.hmac_sha256 = counted("hmac", module.hmac_sha256)
    config_store.SlotFile.save = counted("commit", config_store.SlotFile.save)
    journal_store.JournalStore.commit = counted("commit", journal_store.JournalStore.commit)
    parts.door.relay = Watched(parts.door.relay)
    door = handshake.DoorSide(parts.identity.door_id, parts.identity.boot)
    phone = handshake.PhoneSide(token, caveats, key)
    proof = phone.authenticate(door.challenge(bytes(16), 0, None, 0), UNLOCK, bytes(16))
    counts["hmac"] = 0
    auth = door.receive_auth(proof, 0, parts.identity.credential_root)
    status, sequence = parts.authority.bluetooth(auth)
    door.result(auth, status, sequence, 0, 0)
    return [status, counts["hmac"], at_relay["commit"], counts["commit"]]
