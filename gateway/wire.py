"""Batches of the spool as the cloud's messages."""

import json

from gateway.uplink import Rows
from protocol.host.cloud_messages import Audit, AuditEvent, Events


def events_message(device: str, rows: Rows) -> bytes:
    """s/…/up/events: a device's journal records."""
    return Events(d=device, r=tuple(body for _, body in rows)).encode()


def audit_message(gateway: str, rows: Rows) -> bytes:
    """s/…/up/audit: the gateway's own events, numbered by the spool."""
    events = tuple(AuditEvent(seq=seq, **json.loads(body)) for seq, body in rows)
    return Audit(g=gateway, events=events).encode()
