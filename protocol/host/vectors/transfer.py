"""Vectors of transfers: offers, requests, chunks, and what phones carry."""

from typing import Any

from protocol import carry
from protocol import envelope as e
from protocol import transfer as t
from protocol.host.transfers import build_carried_offer, build_chunk, build_offer, transfer_id
from protocol.host.vectors.case import DEVICE_ID, K_DEV, Parts, Vector, bad, good, joined
from protocol.keys import config_key

_KEY = config_key(K_DEV)
_FILE = bytes(range(256)) * 9  # two chunks, the second short
_CARRIED = b"one small list of revocations"


def transfer() -> list[Vector]:
    payload = build_offer(DEVICE_ID, "users", 7, _FILE)
    given = {"key": _KEY, "device": DEVICE_ID}

    def sealed(**changes: Any) -> dict[str, Any]:
        return {**given, "text": e.seal(_KEY, e.LABEL_OFFER, {**payload, **changes})}

    def refused(name: str, error: str, **changes: Any) -> Vector:
        return bad(name, "transfer_offer", sealed(**changes), error)

    id = transfer_id(_FILE)
    taken = {"kind": "users", "version": 7, "size": len(_FILE), "sha256": payload["sha"], "id": id}
    first = build_chunk(b"\x01\x02\x03\x04" * 2, 4, 4)
    return [
        good("offer", "transfer_offer", sealed(), taken),
        good(
            "offer_of_the_largest", "transfer_offer", sealed(size=t.MAX_SIZE), {**taken, "size": t.MAX_SIZE}
        ),
        bad(
            "offer_sealed_as_a_configuration",
            "transfer_offer",
            {**given, "text": e.seal(_KEY, e.LABEL_CONFIG, payload)},
            "bad_mac",
        ),
        bad(
            "offer_too_long",
            "transfer_offer",
            {**given, "text": sealed()["text"] + " " * t.MAX_OFFER},
            "offer_size",
        ),
        refused("offer_for_another_device", "offer_device", dev="dev_0000000000000000"),
        refused("offer_without_a_kind", "offer_kind", kind=""),
        refused("offer_of_a_long_kind", "offer_kind", kind="x" * 17),
        refused("offer_of_a_kind_of_a_number", "offer_kind", kind=1),
        refused("offer_with_a_short_digest", "offer_sha", sha="00" * 31),
        refused("offer_with_a_digest_in_capitals", "offer_sha", sha=payload["sha"].upper()),
        refused("offer_of_version_0", "offer_number", ver=0),
        refused("offer_of_version_true", "offer_number", ver=True),
        refused("offer_of_33_bits", "offer_number", ver=1 << 32),
        refused("offer_of_nothing", "offer_number", size=0),
        refused("offer_too_large", "offer_number", size=t.MAX_SIZE + 1),
        good("request", "transfer_request", {**sealed(), "offset": 0}, _request(id, 0, t.MAX_CHUNK)),
        good("request_of_the_end", "transfer_request", {**sealed(), "offset": 2048}, _request(id, 2048, 256)),
        good(
            "chunk",
            "chunk",
            {"wire": first},
            {"id": first[:8], "offset": 4, "data": first[12:]},
            (
                (first[:8], "first 8 bytes of the file's SHA-256"),
                (first[8:12], "offset 4"),
                (first[12:], "data"),
            ),
        ),
        bad("chunk_of_nothing", "chunk", {"wire": first[:12]}, "chunk_size"),
        bad("chunk_too_large", "chunk", {"wire": first + bytes(t.MAX_CHUNK)}, "chunk_size"),
        *_carried(),
    ]


def _carried() -> list[Vector]:
    payload = build_carried_offer(DEVICE_ID, "revocations", 9, _CARRIED)
    given = {"key": _KEY, "device": DEVICE_ID}
    text = e.seal(_KEY, e.LABEL_OFFER, payload)
    short = e.seal(_KEY, e.LABEL_OFFER, {**payload, "sums": payload["sums"][:-2]})
    taken = {"kind": "revocations", "version": 9, "size": len(_CARRIED), "sha256": payload["sha"]}
    taken = {**taken, "id": payload["sha"][:16], "sums": payload["sums"]}
    of = {"sha": payload["sha"], "size": len(_CARRIED), "sums": payload["sums"], "at": 0}
    wanted: Parts = (
        ("16", "version 1, message 6 (WANT)"),
        ("00", "the chunk at"),
        ("00000800", "offset 2048"),
    )
    piece: Parts = (
        ("15", "version 1, message 5 (PIECE)"),
        ("00000000", "offset 0"),
        (_CARRIED, "data: here the whole file"),
    )
    wire = joined(piece)
    chunk = bytes.fromhex(payload["sha"][:16]) + bytes(4) + _CARRIED
    return [
        good("carried_offer", "transfer_offer", {**given, "text": text}, taken),
        bad("carried_offer_with_a_short_sum", "transfer_offer", {**given, "text": short}, "offer_sha"),
        good("want", "want", {"status": carry.WANT_CHUNK, "offset": t.MAX_CHUNK}, joined(wanted), wanted),
        good("piece", "piece", {**of, "wire": wire}, chunk, piece),
        bad("piece_at_another_offset", "piece", {**of, "wire": wire[:4] + b"\1" + wire[5:]}, "piece"),
        bad("piece_that_is_damaged", "piece", {**of, "wire": wire[:-1] + b"\0"}, "piece_sum"),
    ]


def _request(id: str, offset: int, length: int) -> dict[str, Any]:
    return {"id": id, "off": offset, "len": length}
