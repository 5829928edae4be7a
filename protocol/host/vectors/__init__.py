"""The test vectors of protocol/vectors, made from the code that they test; `python -m protocol.host.vectors` writes them.

A vector is `{"name", "op", "in", "out"}`, or has `"error"`, a reason slug, in place of `"out"`. Bytes are lower
hex. `in.wire` (bytes) or `in.text` (characters) is what came over the wire: a decoder must also take it cut at
every length, and with more behind it, without any failure but a protocol error. `parts` names the bytes of one
wire, for people.
"""

from protocol.host.vectors import (
    access,
    calendar,
    credential,
    gatt,
    handshake,
    journal,
    keys,
    mqtt,
    osdp,
    package,
    reader,
    sealed,
    table,
    topics,
    transfer,
)
from protocol.host.vectors.case import Vector

TOPICS = {
    "ids": topics.ids,
    "keys": keys.keys,
    "credential": credential.credential,
    "handshake": handshake.handshake,
    "fragment": handshake.fragment,
    "gatt": gatt.gatt,
    "envelope": sealed.envelope,
    "command": sealed.command,
    "time": sealed.time,
    "config": sealed.config,
    "journal": journal.journal,
    "transfer": transfer.transfer,
    "package": package.package,
    "messages": journal.messages,
    "topics": topics.topics,
    "timezone": calendar.timezone,
    "schedule": calendar.schedule,
    "access": access.access,
    "table": table.table,
    "pins": keys.pins,
    "mqtt": mqtt.mqtt,
    "reader": reader.reader,
    "osdp": osdp.osdp,
}


def build() -> dict[str, list[Vector]]:
    """All vectors, by topic; the same at every call."""
    return {topic: make() for topic, make in TOPICS.items()}
