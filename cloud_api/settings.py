"""What a cloud instance is configured with: its folder, its names, and every limit of the service.

A folder made by `latchwork-cloud init` holds:

    cloud.json             names, ports of the last start, the database's address
    kek.bin                key-encryption key (0600); back it up apart from the database
    ca.pem, ca.key         the fleet's certificate authority
    https/, broker/        current and backup server keys with their certificates (two pins each)
    client/                our own client certificate at the broker (CN=cloud)
    cloud.db               the store, unless cloud.json names another
"""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from protocol.transfer import MAX_SIZE

DEFAULT_HTTP_PORT = 8443
DEFAULT_MQTT_PORT = 8883

# A request body larger than this is refused before it is parsed: no operation needs more.
MAX_BODY = 64 * 1024
# But for firmware packages, whose size is that of a board's flash.
MAX_BODY_OF = {"/v1/packages": MAX_SIZE}
# A result may travel this long after the command's end before the attempt is called expired.
RESULT_GRACE_S = 1.0
# A device that has said nothing for this long is taken as gone: it asks for the time every hour.
SILENT_AFTER_S = 9000
# How long a revoked token may still work in *another* process; in this one it ends at once.
TOKEN_CACHE_S = 30.0
TOKEN_CACHE_SIZE = 10_000
# Answers to POSTs are kept for clients that ask again.
IDEMPOTENCY_LIFE_S = 24 * 3600
# Command sequence numbers are reserved on disk in blocks, so that an unlock needs no extra write.
SEQ_BLOCK = 64
# Deadline of a publish towards the broker, and of any administrative answer from it.
PUBLISH_DEADLINE_S = 5.0
BACK_OFF_S = (0.1, 10.0)
# Messages waiting for the store. Beyond it they are dropped: senders keep them until they are acknowledged.
INGEST_QUEUE = 2_000
INGEST_BATCH = 64
# Words of devices that wait for the store, one of each kind: some 1 KiB each. Beyond it the site with most of them loses.
STANDING_QUEUE = 20_000
# Requests for pieces of files, from all sites. Beyond it they are dropped: devices ask again.
FETCH_QUEUE = 500
# Events a stream client may be behind before it is cut off; it comes back with its cursor.
STREAM_QUEUE = 1_000
STREAM_CLIENTS = 1_000
STREAM_AUTH_S = 5.0
STREAM_HEARTBEAT_S = 20.0
STREAM_SEND_DEADLINE_S = 10.0
# Longest long-poll on an action attempt.
MAX_WAIT_S = 30.0


class Settings(BaseModel):
    """cloud.json. Unknown fields are refused: a misspelt setting must not be silently ignored."""

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    host: str = Field(
        default="localhost", description="Name under which gateways and integrators reach this cloud."
    )
    bind: str = Field(default="127.0.0.1", description="Address to listen on.")
    http_port: int = Field(
        default=0, description="HTTPS port of the last start; what port 0 means next time."
    )
    mqtt_port: int = Field(
        default=0, description="MQTT port of the last start; gateways keep it in their enrolment."
    )
    unlock_life_s: int = Field(
        default=10, ge=2, le=60, description="An unlock that has not reached the bolt by then never moves it."
    )
    gap_grace_s: float = Field(
        default=3.0, ge=0, description="A younger hole in a journal is a late message, not yet a loss."
    )
    database: str = Field(default="", description="SQLAlchemy address; empty: cloud.db in the folder.")


class Folder:
    """Paths inside a cloud's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.settings = self.root / "cloud.json"
        self.kek = self.root / "kek.bin"
        self.ca = self.root / "ca.pem"
        self.ca_key = self.root / "ca.key"
        self.https = self.root / "https"
        self.broker = self.root / "broker"
        self.broker_run = self.root / "broker" / "run"
        self.client = self.root / "client"
        self.database = self.root / "cloud.db"

    def database_url(self, settings: Settings) -> str:
        """Where the store is."""
        return settings.database or f"sqlite:///{self.database}"

    def load(self) -> Settings:
        """Read cloud.json."""
        return Settings.model_validate_json(self.settings.read_bytes())

    def save(self, settings: Settings) -> None:
        """Write cloud.json, whole or not at all."""
        draft = self.settings.with_suffix(".new")
        draft.write_text(json.dumps(settings.model_dump(), indent=2) + "\n")
        draft.replace(self.settings)
