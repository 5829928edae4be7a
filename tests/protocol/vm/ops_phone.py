"""Operations of the vectors: keys, tokens, the handshake, what phones carry, and the decision."""

# ruff: noqa: SIM105  (MicroPython)

from protocol import access, carry, credential, handshake, ids, keys, transfer
from protocol.errors import ProtocolError
from protocol.fragment import Reassembler, split
from protocol.schedule import WeeklySchedule
from protocol.timezone import TimeZone
from tests.protocol.vm.vector_ops import OPS, interval, op, unhex


@op
def hmac(key, data):
    mac = keys.hmac_sha256(unhex(key), unhex(data))
    # RFC 4231's fifth case prints half of the MAC.
    return mac[:16].hex() if unhex(data) == b"Test With Truncation" else mac.hex()


@op
def hkdf(ikm, salt, info, length):
    return keys.hkdf_sha256(unhex(ikm), unhex(salt), unhex(info), length).hex()


@op
def tree(k_dev):
    k_dev = unhex(k_dev)
    root = keys.credential_root(k_dev)
    found = {
        "credential_root": root,
        "epoch_0": keys.epoch_key(root, 0),
        "epoch_1": keys.epoch_key(root, 1),
        "command": keys.command_key(k_dev),
        "time": keys.time_key(k_dev),
        "config": keys.config_key(k_dev),
        "journal": keys.journal_key(k_dev),
        "table": keys.table_key(k_dev),
        "lookup": keys.lookup_key(k_dev),
        "osdp": keys.osdp_key(k_dev),
    }
    return {name: found[name].hex() for name in found}


@op
def check_id(kind, text):
    return ids.check_id(kind, text)


@op
def id_bytes(text):
    return ids.id_bytes(text).hex()


@op
def id_from_bytes(kind, wire):
    return ids.id_from_bytes(kind, wire)


@op
def token(wire):
    found = credential.decode_token(wire)
    assert found.encode() == bytes(wire)
    return {
        "epoch": found.epoch,
        "credential_id": found.credential_id.hex(),
        "generation": found.generation,
        "not_before": found.not_before,
        "not_after": found.not_after,
        "flags": found.flags,
        "schedule_id": found.schedule_id,
    }


@op
def mint(k_epoch, token):
    return credential.mint(unhex(k_epoch), unhex(token)).hex()


@op
def attenuate(key, caveat):
    caveat = unhex(caveat)
    assert credential.caveat(caveat[0], caveat[2:]) == caveat
    return credential.attenuate(unhex(key), caveat).hex()


@op
def caveats(wire):
    return [item.hex() for item in credential.split_caveats(wire)]


def _grant(token, caveats):
    return credential.Grant(credential.decode_token(unhex(token)), [unhex(item) for item in caveats])


@op
def grant(token, caveats):
    found = _grant(token, caveats)
    return {
        "not_before": found.not_before,
        "not_after": found.not_after,
        "actions": found.actions,
        "doors": [door.hex() for door in found.doors],
    }


@op
def challenge(wire):
    found = handshake.decode_challenge(wire)
    return {
        "door": found.door_id.hex(),
        "boot": found.boot,
        "nonce": found.nonce.hex(),
        "time": found.time,
        "uncertainty": found.uncertainty,
        "rev_seq": found.rev_seq,
    }


@op
def offer(door, boot, nonce, clock, rev_seq):
    side = handshake.DoorSide(unhex(door), boot)
    return side.challenge(unhex(nonce), 0, clock, rev_seq).hex()


def _phone(token, caveats, key, door):
    return handshake.PhoneSide(unhex(token), [unhex(item) for item in caveats], unhex(key), unhex(door))


@op
def prove(wire, token, caveats, key, door, action, nonce):
    return _phone(token, caveats, key, door).authenticate(wire, action, unhex(nonce)).hex()


def _receive(wire, root, door, boot, nonce, clock, rev_seq, issued_ms, now_ms, before=None):
    side = handshake.DoorSide(unhex(door), boot)
    side.challenge(unhex(nonce), issued_ms, clock, rev_seq)
    if before is not None:
        try:
            side.receive_auth(unhex(before), now_ms, unhex(root))
        except ProtocolError:
            pass
    return side, side.receive_auth(wire, now_ms, unhex(root))


@op
def auth(wire, **given):
    _, found = _receive(wire, **given)
    return {
        "token": found.token.encode().hex(),
        "caveats": [item.hex() for item in found.caveats],
        "action": found.action,
        "key": found.key.hex(),
    }


@op
def answer(wire, status, audit_seq, time, **given):
    side, found = _receive(wire, **given)
    return side.result(found, status, audit_seq, given["rev_seq"], time).hex()


@op
def result(wire, challenge, action, nonce, **given):
    phone = _phone(**given)
    phone.authenticate(unhex(challenge), action, unhex(nonce))
    found = phone.receive_result(wire)
    return {
        "status": found.status,
        "audit_seq": found.audit_seq,
        "rev_seq": found.rev_seq,
        "time": found.time,
    }


@op
def fragments(message, mtu):
    return [piece.hex() for piece in split(unhex(message), mtu)]


OPS["split"] = fragments


@op
def join(fragments):
    joiner, whole = Reassembler(), None
    for piece in fragments:
        whole = joiner.push(unhex(piece))
    return whole.hex() if whole is not None else None


@op
def want(status, offset):
    return carry.want(status, offset).hex()


@op
def piece(sha, size, sums, at, wire):
    load = carry.Load(transfer.Offer("revocations", 1, size, unhex(sha), unhex(sums)))
    load.begin(at)
    found = load.push(bytes(wire))
    return found and bytes(found).hex()


@op
def decide(
    method,
    token,
    caveats,
    action,
    door,
    epoch,
    clock,
    max_uncertainty,
    revoked,
    min_generation,
    schedule,
    lockdown,
    remembered,
):
    facts = access.Facts(
        method,
        grant=_grant(token, caveats) if token else None,
        action=action,
        door_id=unhex(door),
        epoch=epoch,
        clock=interval(clock),
        max_uncertainty=max_uncertainty,
        revoked=revoked,
        min_generation=min_generation,
        schedule=WeeklySchedule(1, unhex(schedule), b"", TimeZone()) if schedule is not None else None,
        lockdown=lockdown,
    )
    for name in remembered:
        setattr(facts, name, True)
    return access.decide(facts)
