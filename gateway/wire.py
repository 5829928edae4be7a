"""Batches of the spool as the cloud's messages."""

import base64
import json

from gateway.uplink import Rows


def events_message(device: str, rows: Rows) -> bytes:
    """s/…/up/events: a device's journal records."""
    records = [base64.b64encode(body).decode() for _, body in rows]
    return json.dumps({"d": device, "r": records}).encode()


def audit_message(gateway: str, rows: Rows) -> bytes:
    """s/…/up/audit: the gateway's own events, numbered by the spool."""
    return json.dumps(
        {"g": gateway, "events": [{"seq": seq, **json.loads(body)} for seq, body in rows]}
    ).encode()
