"""The gateway's counters, for Prometheus. Names are part of the contract with operators."""

from prometheus_client import Counter, Gauge

FORWARDED = Counter("latchwork_gateway_forwarded_total", "Messages passed on.", ["direction", "leaf"])
DROPPED = Counter("latchwork_gateway_dropped_total", "Messages not passed on.", ["reason"])
REFUSED = Counter("latchwork_gateway_admissions_refused_total", "Clients turned away.", ["reason"])
SENT_AWAY = Counter("latchwork_gateway_sent_away_total", "Connections that were not let in now.", ["reason"])
WAITING = Gauge("latchwork_gateway_waiting", "Connections that wait for their handshake.")
ADMITTED = Counter("latchwork_gateway_admissions_total", "Clients let in.")
VIOLATIONS = Counter(
    "latchwork_gateway_topic_violations_total",
    "Publishes and subscriptions outside a client's own topics.",
    ["kind"],
)
KICKED = Counter("latchwork_gateway_kicked_total", "Sessions cut after a registry change.")
COMMITS = Counter("latchwork_gateway_spool_commits_total", "Spool transactions.")
REPEATED = Counter("latchwork_gateway_spool_repeated_total", "Records that were already stored.")
SPOOL_ERRORS = Counter("latchwork_gateway_spool_errors_total", "Spool operations that failed.")
SPOOL_FAILING = Gauge("latchwork_gateway_spool_failing", "1 while the spool cannot be written.")
RESENT = Counter("latchwork_gateway_uplink_resent_total", "Streams sent again from their watermark.")
LINK_UP = Gauge("latchwork_gateway_link_up", "1 while the session with this broker stands.", ["link"])
BROKER_STARTS = Counter("latchwork_gateway_broker_starts_total", "Starts of the site broker.")
AUDIT_LOST = Counter("latchwork_gateway_audit_lost_total", "Audit events that found no place in the spool.")
