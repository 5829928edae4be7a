"""Cloud to site: sealed messages are passed on as they are, at once or never: no command waits here."""

from collections.abc import Callable

from gateway import metrics
from gateway.drops import Drops, NotPassedOn
from gateway.registry import Registry
from protocol.errors import Malformed, ProtocolError
from protocol.host import cloud_messages
from protocol.host.messages import parse
from protocol.topics import down, parse_cloud_topic

SEALED = ("command", "time", "config", "update")


class Downward:
    """Handles s/<shard>/<site>/down/…; `to_site(topic, payload)` returns False when it could not be sent."""

    def __init__(
        self,
        shard: int,
        site_id: str,
        registry: Registry,
        to_site: Callable[[str, bytes], bool],
        on_acknowledged: Callable[[str, int], None],
        on_registry: Callable[[cloud_messages.Registry], None],
        drops: Drops,
    ) -> None:
        self._place = (shard, site_id)
        self._registry = registry
        self._to_site = to_site
        self._on_acknowledged = on_acknowledged
        self._on_registry = on_registry
        self._drops = drops

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message of the cloud's broker."""
        try:
            shard, site_id, direction, leaf = parse_cloud_topic(topic)
            if (shard, site_id) != self._place or direction != "down":
                raise Malformed("bad_topic")
            if leaf in SEALED:
                self._forward(leaf, payload, retained)
            elif leaf == "chunk":
                self._pass_chunk(payload, retained)
            elif leaf == "ack":
                ack = parse(cloud_messages.Ack, payload)
                self._on_acknowledged(ack.d, ack.seq)
            elif leaf == "registry":
                self._on_registry(parse(cloud_messages.Registry, payload))
            else:
                raise Malformed("bad_topic")
        except (ProtocolError, NotPassedOn) as error:
            self._drops.drop(error.reason, "", topic, str(error))

    def _forward(self, leaf: str, payload: bytes, retained: bool) -> None:
        if retained:
            raise NotPassedOn("retained")
        message = parse(cloud_messages.Sealed, payload)
        self._pass(message.d, leaf, message.e.encode())

    def _pass_chunk(self, payload: bytes, retained: bool) -> None:
        if retained:
            raise NotPassedOn("retained")
        message = parse(cloud_messages.Chunk, payload)
        self._pass(message.d, "chunk", message.c)

    def _pass(self, device: str, leaf: str, payload: bytes) -> None:
        if not self._registry.is_active(device):
            raise NotPassedOn("unknown_device")
        if not self._to_site(down(device, leaf), payload):
            raise NotPassedOn("site_broker_away")
        metrics.FORWARDED.labels(direction="down", leaf=leaf).inc()
