"""Operations of the vectors: tables of users, their hours, and readers."""

from protocol import clock, osdp, table, wiegand
from protocol.errors import Malformed
from protocol.keypad import PinEntry
from protocol.osdp_secure import Session
from protocol.schedule import WeeklySchedule, check_holidays, check_windows
from protocol.timezone import TimeZone
from tests.protocol.vm.vector_ops import OPS, op, unhex


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
