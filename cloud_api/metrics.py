"""Prometheus metrics of the cloud, served at /metrics. One registry per application, so that tests can run
several.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Every metric, by its field name; label values are from fixed sets, never from a client."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "latchwork_http_request_seconds",
            "Time to answer an HTTP request.",
            ("method", "route", "status"),
            buckets=_FAST,
            registry=self.registry,
        )
        self.command_seal = Histogram(
            "latchwork_command_publish_seconds",
            "From the start of an unlock request to its sealed command on the socket.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.attempts = self._counter("latchwork_action_attempts", "Finished action attempts.", "status")
        self.attempt_seconds = Histogram(
            "latchwork_action_attempt_seconds",
            "From request to proof, of attempts that succeeded.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.messages = self._counter("latchwork_mqtt_messages", "Messages from gateways, by leaf.", "leaf")
        self.dropped = self._counter(
            "latchwork_mqtt_dropped", "Messages from gateways that were refused, by reason.", "reason"
        )
        self.events = self._counter("latchwork_events", "Audit events stored, by type.", "type")
        self.duplicates = self._counter("latchwork_event_duplicates", "Records delivered again.", "source")
        self.commit = Histogram(
            "latchwork_ingest_commit_seconds",
            "One durable batch commit.",
            buckets=_FAST,
            registry=self.registry,
        )
        self.streams = Gauge("latchwork_stream_clients", "Open event streams.", registry=self.registry)
        self.stream_closed = self._counter(
            "latchwork_stream_closed", "Streams we closed, by reason.", "reason"
        )
        self.broker_up = Gauge(
            "latchwork_broker_connected", "Whether we are connected to the broker.", registry=self.registry
        )
        self.admissions = self._counter("latchwork_broker_admissions", "Gateways at the broker.", "verdict")
        self.worker_errors = self._counter(
            "latchwork_worker_errors", "Failures a worker recovered from.", "worker"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)
