"""The cloud's side of a transfer: offers a file and answers requests for pieces of it."""

import hashlib
from typing import Any

from protocol import transfer
from protocol.errors import LocalError


def build_offer(dev: str, kind: str, version: int, data: bytes) -> dict[str, Any]:
    """Payload of an offer, to be sealed with LABEL_OFFER. Raises LocalError for what no device takes."""
    if not 0 < len(data) <= transfer.MAX_SIZE or not 0 < version <= 0xFFFFFFFF:
        raise LocalError("offer")
    return {
        "dev": dev,
        "kind": kind,
        "ver": version,
        "size": len(data),
        "sha": hashlib.sha256(data).hexdigest(),
    }


def build_carried_offer(dev: str, kind: str, version: int, data: bytes) -> dict[str, Any]:
    """Payload of an offer that phones may carry: it also tells each chunk from a wrong one. Raises LocalError."""
    if len(data) > transfer.MAX_CARRIED:
        raise LocalError("offer")
    chunks = [data[at : at + transfer.MAX_CHUNK] for at in range(0, len(data), transfer.MAX_CHUNK)]
    sums = [hashlib.sha256(chunk).digest()[: transfer.SUM_SIZE].hex() for chunk in chunks]
    return {**build_offer(dev, kind, version, data), "sums": "".join(sums)}


def transfer_id(data: bytes) -> str:
    """What requests call this file."""
    return hashlib.sha256(data).hexdigest()[: 2 * transfer.ID_SIZE]


def build_chunk(data: bytes, offset: int, length: int) -> bytes:
    """The chunk that was asked for; raises LocalError if the file does not have it."""
    piece = data[offset : offset + length]
    if not 0 < len(piece) == length <= transfer.MAX_CHUNK:
        raise LocalError("chunk")
    return bytes.fromhex(transfer_id(data)) + offset.to_bytes(4, "big") + piece
