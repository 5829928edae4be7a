"""Runs the test vectors on CPython and on MicroPython: whole, cut at every length, with more behind, byte by byte."""

# ruff: noqa: PTH123, SIM105  (MicroPython)

import json

from device.config_store import remove_file
from device.counters import Counters
from device.policy import ConfigKeeper
from protocol import (
    access,
    carry,
    clock,
    command,
    credential,
    envelope,
    handshake,
    ids,
    journal,
    keys,
    manifest,
    messages,
    mqtt,
    osdp,
    rsa,
    table,
    topics,
    transfer,
    wiegand,
)
from protocol.errors import Malformed, ProtocolError
from protocol.fragment import Reassembler, split
from protocol.keypad import PinEntry
from protocol.osdp_secure import Session
from protocol.schedule import WeeklySchedule, check_holidays, check_windows
from protocol.timezone import TimeZone
from protocol.x509_spki import spki_of, spki_pin

OPS = {}
# Here a part of the wire, or more behind it, may be a value of its own; everywhere else it must be refused.
OPEN_ENDED = ("caveats", "mqtt_decode", "chunk", "windows", "holidays", "zone")


def op(function):
    OPS[function.__name__] = function
    return function


def unhex(text):
    return bytes.fromhex(text)


def interval(pair):
    return clock.Interval(pair[0], pair[1]) if pair else None


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


def opened(key, label, text):
    payload = envelope.open_sealed(unhex(key), label.encode(), text)
    assert envelope.open_sealed(unhex(key), label.encode(), memoryview(text.encode())) == payload
    return payload


OPS["open"] = opened


@op
def seal(key, label, payload):
    sealed = envelope.seal(unhex(key), label.encode(), payload)
    return envelope.open_sealed(unhex(key), label.encode(), sealed)


def parsed_object(text):
    return envelope.parse_object(text)


OPS["object"] = parsed_object


def _admitted(found):
    return {"id": found.id, "seq": found.seq, "exp": found.exp, "op": found.op, "args": found.args}


def _command(key, device, boot, clock, text):
    payload = envelope.open_sealed(unhex(key), envelope.LABEL_COMMAND, text)
    return _admitted(command.CommandGate(device, boot).admit(payload, interval(clock)))


OPS["command"] = _command


@op
def gate(device, boot, clock, commands):
    one, outcomes = command.CommandGate(device, boot), []
    for payload in commands:
        try:
            outcomes.append(one.admit(payload, interval(clock)).seq)
        except ProtocolError as e:
            outcomes.append(e.reason)
    return outcomes


@op
def window(high, bitmap, seq):
    after = command.replay_admit(high, bitmap, seq)
    return list(after) if after else None


@op
def command_result(key, text):
    return command.parse_result(envelope.open_sealed(unhex(key), envelope.LABEL_RESULT, text))


@op
def time_request(nonce):
    return clock.build_time_request(unhex(nonce))


def _clock(drift_ppm, t_ms, u_ms, ticks_ms, now_ms):
    one = clock.IntervalClock(drift_ppm)
    one.set(t_ms, u_ms, ticks_ms)
    now = one.now(now_ms)
    return [now.t, now.u]


OPS["clock"] = _clock


@op
def inside(t, u, not_before, not_after):
    return clock.inside(clock.Interval(t, u), not_before, not_after)


@op
def config(key, device, text):
    for slot in ("config.0", "config.1", "config.epoch.0", "config.epoch.1"):
        remove_file(slot)
    keeper = ConfigKeeper("config", unhex(key), device, Counters(), 1, lambda epoch: None)
    keeper.accept(text.encode())
    found = keeper.current
    return {
        "version": found.version,
        "revocation": found.revocation,
        "epoch": keeper.epoch,
        "max_u_s": found.max_u_s,
        "door": found.door,
        "unlock_schedule": found.unlock_schedule,
        "open_ms": int(found.open_s * 1000),
        "windows": len(found.windows) // 8,
        "holidays": len(found.holidays) // 5,
        "offset": found.zone.offset_at(1_800_000_000),
    }


def _fields(record):
    return {
        "type": record.type,
        "seq": record.seq,
        "boot": record.boot,
        "time": record.time,
        "uncertainty": record.uncertainty,
        "method": record.method,
        "status": record.status,
        "subject": record.subject.hex(),
        "value": record.value,
    }


def _chain_state(state):
    return journal.ChainState(state["seq"], unhex(state["digest"]), unhex(state["key"]))


def _plain_state(state):
    return {"seq": state.seq, "digest": state.digest.hex(), "key": state.key.hex()}


@op
def record(wire):
    return _fields(journal.decode_record(wire))


@op
def append(state, event):
    event = dict(event)
    if "subject" in event:
        event["subject"] = unhex(event["subject"])
    raw, after = journal.append(_chain_state(state), **event)
    return {"wire": raw.hex(), "state": _plain_state(after)}


@op
def chain(state, records):
    state = _chain_state(state)
    for raw in records:
        _, state = journal.verify(state, unhex(raw))
    return _plain_state(state)


@op
def anchor(state, wire):
    return _plain_state(journal.anchor(_chain_state(state), wire))


def _offer(key, device, text):
    return transfer.open_offer(unhex(key), device, text.encode())


def _rsa(modulus, digest, wire):
    rsa.verify(unhex(modulus), unhex(digest), wire)
    return True


OPS["rsa"] = _rsa


def _manifest(modulus, wire):
    found = manifest.open_manifest(unhex(modulus), bytes(wire))
    return {
        "product": found.product,
        "version": found.version,
        "floor": found.floor,
        "trial_s": found.trial_s,
        "size": found.size,
        "sha256": found.sha256.hex(),
    }


OPS["manifest"] = _manifest


@op
def transfer_offer(key, device, text):
    found = _offer(key, device, text)
    told = {
        "kind": found.kind,
        "version": found.version,
        "size": found.size,
        "sha256": found.sha256.hex(),
        "id": found.id.hex(),
    }
    if found.sums:
        told["sums"] = found.sums.hex()
    return told


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
def transfer_request(key, device, text, offset):
    return json.loads(transfer.build_request(_offer(key, device, text), offset))


@op
def chunk(wire):
    id, offset, data = transfer.split_chunk(wire)
    return {"id": id.hex(), "offset": offset, "data": bytes(data).hex()}


@op
def events(records):
    return messages.build_events([unhex(raw) for raw in records]).decode()


@op
def ack(text):
    return messages.parse_ack(text.encode())["seq"]


@op
def site_topic(text):
    return list(topics.parse_site_topic(text))


@op
def cloud_topic(text):
    return list(topics.parse_cloud_topic(text))


@op
def shard(site, shards):
    return topics.shard_of(site, shards)


@op
def zone(text, t):
    found = TimeZone(text)
    return [found.offset_at(moment) for moment in t]


@op
def windows(wire):
    check_windows(wire)
    return len(wire) // 8


@op
def holidays(wire):
    check_holidays(wire)
    return len(wire) // 5


@op
def schedule(number, windows, holidays, tz, t, u):
    asked = WeeklySchedule(number, unhex(windows), unhex(holidays), TimeZone(tz))
    return asked.allows(clock.Interval(t, u))


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


def _table(key, device, wire):
    wire, size = bytes(wire), table.HEADER_SIZE
    found = table.Table(wire[:size], unhex(device))
    rows = []
    while found.count > len(rows):
        rows.append(wire[size : size + found.row_size])
        found.take(rows[-1])
        size += found.row_size
    found.finish(unhex(key), wire[size:])
    return {"kind": found.kind, "sequence": found.sequence, "rows": [row.hex() for row in rows]}


OPS["table"] = _table


def _lookup(key, label, secret):
    return table.lookup(unhex(key), label.encode(), unhex(secret)).hex()


OPS["lookup"] = _lookup


@op
def user_token(row, epoch):
    found = table.user_token(unhex(row), epoch)
    return {
        "user": found.credential_id.hex(),
        "flags": found.flags,
        "schedule_id": found.schedule_id,
        "not_before": found.not_before,
        "not_after": found.not_after,
    }


def _aes(key, iv):
    try:
        from cryptolib import aes
    except ImportError:
        from protocol.host.aes import Aes

        return Aes(key, iv)
    return aes(key, 2, iv) if iv else aes(key, 1)


def _frame(wire):
    """Byte by byte; one frame and nothing behind it."""
    decoder, found = osdp.Decoder(), None
    for byte in wire:
        if found:
            raise Malformed("osdp_check")
        found = decoder.push(byte)
    if not found:
        raise Malformed("osdp_check")
    return found


@op
def osdp_frame(wire):
    frame, at = _frame(wire)
    return {"address": frame[1], "control": frame[4], "block": frame[5:at].hex(), "body": frame[at:].hex()}


@op
def osdp_keys(scbk, rnd_a, rnd_b, block, client):
    session = Session(_aes, unhex(scbk), unhex(rnd_a))
    server = session.answer(unhex(block), bytes(9) + unhex(rnd_b) + unhex(client))
    return {
        "s_enc": session.s_enc.hex(),
        "s_mac1": session.s_mac1.hex(),
        "client": client,
        "server": server.hex(),
        "rmac_i": session.icv.hex(),
    }


@op
def osdp_session(scbk, rnd_a, ccrypt, rmac_i, commands, replies):
    session = Session(_aes, unhex(scbk), unhex(rnd_a))
    frame, at = _frame(unhex(ccrypt))
    proof = session.answer(frame[5:at], frame[at:])
    frame, at = _frame(unhex(rmac_i))
    session.check(frame[5:at], frame[at:])
    sent, heard, sequence = [], [], 2
    for body, reply in zip(commands, replies):  # noqa: B905  (not in MicroPython)
        sequence = sequence % 3 + 1
        sent.append(osdp.encode(0, sequence, b"", unhex(body), session).hex())
        heard.append(session.open(*_frame(unhex(reply))).hex())
    return {"proof": proof.hex(), "sent": sent, "heard": heard}


@op
def pin(wire):
    return {"spki": spki_of(wire).hex(), "pin": spki_pin(wire)}


ENCODERS = {
    "connect": mqtt.encode_connect,
    "publish": mqtt.encode_publish,
    "subscribe": mqtt.encode_subscribe,
    "puback": mqtt.encode_puback,
    "ping": mqtt.encode_ping,
    "disconnect": mqtt.encode_disconnect,
}


@op
def mqtt_encode(packet, **given):
    if "payload" in given:
        given["payload"] = unhex(given["payload"])
    return ENCODERS[packet](**given).hex()


def _packet(packet):
    return {
        "kind": packet.kind,
        "topic": packet.topic,
        "payload": bytes(packet.payload).hex(),
        "qos": packet.qos,
        "packet_id": packet.packet_id,
        "return_code": packet.return_code,
        "return_codes": list(packet.return_codes),
        "retain": packet.retain,
        "session_present": packet.session_present,
    }


def mqtt_in_pieces(wire, limit, size, room=None):
    decoder, packets = mqtt.Decoder(limit, room), []
    for at in range(0, len(wire), size):
        packets += [_packet(one) for one in decoder.feed(wire[at : at + size])]
    return packets


@op
def mqtt_decode(wire, max):
    whole = mqtt_in_pieces(wire, max, len(wire) or 1)
    assert mqtt_in_pieces(wire, max, 1) == whole
    room = bytearray(max)
    assert mqtt_in_pieces(wire, max, len(wire) or 1, room) == mqtt_in_pieces(wire, max, 3, room) == whole
    return whole


@op
def card(bits, wire, formats=wiegand.STANDARD):
    return wiegand.decode(wiegand.formats(formats), bits, wire).hex()


@op
def formats(formats):
    wiegand.formats(formats)


@op
def key_burst(bits, wire):
    return wiegand.key(bits, wire)


@op
def pin_entry(length, keys):
    entry = PinEntry(length)
    pins = [entry.key(name, at) for name, at in keys]
    return [pin for pin in pins if pin is not None]


def outcome(name, given):
    """(value, "") or (None, reason). Anything but a protocol error goes through, and fails the run."""
    try:
        return OPS[name](**given), ""
    except ProtocolError as e:
        assert e.reason
        return None, e.reason


def _heard(given):
    """The vector's input, with the bytes of the wire as bytes."""
    given = dict(given)
    if "wire" in given:
        given["wire"] = unhex(given["wire"])
    return given


def _others(given):
    """The same input with what was heard cut at every length, and with more behind it."""
    name = "wire" if "wire" in given else "text"
    heard = given[name]
    more = (b"\0", b"\x01\x02", heard) if name == "wire" else ("x", "\0", "{}")
    # Every length; of what is too large anyway, every 97th.
    for cut in range(0, len(heard), 1 if len(heard) <= 2048 else 97):
        yield dict(given, **{name: heard[:cut]})
    for tail in more:
        if len(heard):
            yield dict(given, **{name: heard + tail})


def run(vector):
    """How often the decoder ran for this vector; raises AssertionError where it does not do as it should."""
    name, given = vector["op"], _heard(vector["in"])
    value, reason = outcome(name, given)
    expected = (vector.get("out"), vector.get("error", ""))
    assert (value, reason) == expected, (vector["name"], value, reason)
    runs = 1
    if "wire" in given or "text" in given:
        for other in _others(given):
            value, reason = outcome(name, other)
            assert reason or vector.get("error") or name in OPEN_ENDED, (vector["name"], "taken", other)
            runs += 1
    if "wire" in given:
        # A view, as the radio and the socket give it; and the bytes given twice the same answer.
        assert outcome(name, dict(given, wire=memoryview(given["wire"]))) == expected
        runs += 1
    for item, _ in vector.get("parts", []):
        assert item
    return runs


def run_file(path):
    """(vectors, runs) of one file."""
    vectors = runs = 0
    with open(path) as f:
        for line in f:
            if line.startswith("  {"):  # one vector per line, so that a board need not hold them all
                vectors += 1
                runs += run(json.loads(line.rstrip(",\n")))
    return vectors, runs
