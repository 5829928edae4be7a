"""Site to cloud: what devices say is checked, and passed on at once or spooled.

A result and a time request go straight through, and so does where a device stands, or later. Events go to the spool; a commit
acknowledges them.
"""

import collections
import time
from collections.abc import Callable

from gateway import metrics
from gateway.drops import Drops, NotPassedOn
from gateway.registry import Registry
from gateway.spool import Arrival, Note
from gateway.standing import Standing
from protocol.errors import Malformed, ProtocolError
from protocol.host import cloud_messages, site_messages
from protocol.host.messages import parse
from protocol.topics import parse_site_topic, site_up

# A result that missed the cloud by a reconnect is worth keeping for a moment; then the attempt has failed.
MAX_HELD_RESULTS = 256
HOLD_RESULT_S = 30.0

Publish = Callable[[str, bytes], bool]


class Upward:
    """Handles d/<dev>/up/…; `to_cloud(topic, payload)` returns False when it could not be sent."""

    def __init__(
        self,
        shard: int,
        site_id: str,
        registry: Registry,
        offer: Callable[[Arrival | Note], bool],
        to_cloud: Publish,
        drops: Drops,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._offer = offer
        self._to_cloud = to_cloud
        self._drops = drops
        self._clock = clock
        self._topics = {
            leaf: site_up(shard, site_id, leaf)
            for leaf in ("result", "time", "state", "log", "fetch", "presence")
        }
        self._handlers = {
            "result": self._result,
            "events": self._events,
            "time": self._time,
            "state": self._state,
            "log": self._log,
            "fetch": self._fetch,
        }
        self._standing = Standing(self._send)
        self._held: collections.deque[tuple[float, bytes]] = collections.deque(maxlen=MAX_HELD_RESULTS)

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """One message of the site broker."""
        device = ""
        try:
            name, direction, leaf = parse_site_topic(topic)
            if direction != "up":
                raise Malformed("bad_topic")
            if not self._registry.is_active(name):
                raise NotPassedOn("unknown_device")
            device = name
            if retained:
                raise NotPassedOn("retained")
            self._handlers[leaf](device, payload)
        except (ProtocolError, NotPassedOn) as error:
            self._drops.drop(error.reason, device, topic, str(error))

    def cloud_is_back(self) -> None:
        """A new session with the cloud: the results of a moment ago, where every device stands, and who is away."""
        held, self._held = self._held, collections.deque(maxlen=MAX_HELD_RESULTS)
        for until, message in held:
            if self._clock() < until:
                self._send("result", message)
        self._standing.tell_all(self._registry.active())

    def writable(self) -> None:
        """The link to the cloud takes more again."""
        self._standing.tell()

    def left(self, device: str) -> None:
        """A device holds no session any more: a command would reach nobody."""
        self._standing.left(device, tell=self._registry.is_active(device))

    def _result(self, device: str, payload: bytes) -> None:
        parse(site_messages.Envelope, payload)
        message = cloud_messages.Sealed(d=device, e=payload.decode()).encode()
        if not self._send("result", message):
            self._held.append((self._clock() + HOLD_RESULT_S, message))

    def _events(self, device: str, payload: bytes) -> None:
        events = parse(site_messages.Events, payload)
        if not self._offer(Arrival(device, events.numbered())):
            raise NotPassedOn("spool_busy")
        metrics.FORWARDED.labels(direction="up", leaf="events").inc()

    def _time(self, device: str, payload: bytes) -> None:
        request = parse(site_messages.TimeRequest, payload)
        if not self._send("time", cloud_messages.TimeRequest(d=device, n=request.n).encode()):
            raise NotPassedOn("cloud_away")

    def _state(self, device: str, payload: bytes) -> None:
        state = parse(site_messages.State, payload)
        message = cloud_messages.State(d=device, **state.model_dump(exclude_unset=True)).encode()
        self._standing.state(device, message)

    def _log(self, device: str, payload: bytes) -> None:
        counters = parse(site_messages.Counters, payload).counters
        self._standing.counters(device, cloud_messages.Counters(d=device, counters=counters).encode())

    def _fetch(self, device: str, payload: bytes) -> None:
        request = parse(site_messages.Fetch, payload)
        if not self._send("fetch", cloud_messages.Fetch(d=device, **request.model_dump()).encode()):
            raise NotPassedOn("cloud_away")

    def _send(self, leaf: str, message: bytes) -> bool:
        sent = self._to_cloud(self._topics[leaf], message)
        if sent:
            metrics.FORWARDED.labels(direction="up", leaf=leaf).inc()
        return sent
