"""Unsealed JSON between a device and its gateway: builders for what a device says, checks for what it hears."""

import binascii
import json

from protocol.envelope import parse_object
from protocol.errors import LocalError, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

    from protocol.keys import Buffer

MAX_RECORDS = 32  # records in one message: bounds what a hop must hold before it commits
MAX_ACK = 256  # bytes


def build_events(records: "List[bytes]") -> bytes:
    """Journal records, ascending, for `up/events`."""
    if not 0 < len(records) <= MAX_RECORDS:
        raise LocalError("records in a message")
    encoded = [binascii.b2a_base64(record).strip().decode() for record in records]
    return json.dumps({"r": encoded}).encode()


def parse_ack(raw: "Buffer") -> "Dict[str, Any]":
    """`{"seq": n}`: every record up to n is durable at the next hop."""
    if len(raw) > MAX_ACK:
        raise Malformed("ack_size")
    message = parse_object(raw)
    seq = message.get("seq")
    if not isinstance(seq, int) or isinstance(seq, bool) or not 0 <= seq <= 0xFFFFFFFF:
        raise Malformed("ack_seq")
    return message
