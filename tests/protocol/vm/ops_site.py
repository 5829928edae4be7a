"""Operations of the vectors: what goes between a board and its site. Envelopes, journal, files, MQTT."""

import json

from device.config_store import remove_file
from device.counters import Counters
from device.policy import ConfigKeeper
from protocol import clock, command, envelope, journal, manifest, messages, mqtt, rsa, topics, transfer
from protocol.errors import ProtocolError
from protocol.x509_spki import spki_of, spki_pin
from tests.protocol.vm.vector_ops import OPS, interval, op, unhex


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
def drift(drift_ppm, times, now_ms):
    one, learnt = clock.IntervalClock(drift_ppm), []
    for t_ms, u_ms, ticks_ms in times:
        one.set(t_ms, u_ms, ticks_ms)
        learnt.append([one.low, one.high])
    now = one.now(now_ms)
    return {"drift": learnt, "time": [now.t, now.u]}


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
