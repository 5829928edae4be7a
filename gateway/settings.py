"""The gateway's folder: what enrolment put there, and where each file is."""

import json
import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Port = Annotated[int, Field(ge=1, le=65535)]
# Hex SHA-256 of a SubjectPublicKeyInfo. A current and a backup one at least: a rotation must not lock us out.
Pins = Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]], Field(min_length=2, max_length=8)]


class NotEnrolled(Exception):
    """The folder does not hold an enrolled gateway."""


class CloudBroker(BaseModel):
    """Where the cloud's broker is, and the keys that it may have."""

    host: str
    port: Port
    server_name: str
    pins: Pins


class Settings(BaseModel):
    """gateway.json."""

    model_config = ConfigDict(frozen=True)

    gateway_id: Annotated[str, Field(pattern=r"^gw_[0-9a-f]{16}$")]
    site_id: Annotated[str, Field(pattern=r"^site_[0-9a-f]{16}$")]
    shard: Annotated[int, Field(ge=0, le=65535)]
    host: str
    port: Port
    listen: str = "0.0.0.0"  # noqa: S104 - devices come from the site's network; mutual TLS decides who may speak
    broker_pins: Pins
    cloud_broker: CloudBroker


class Folder:
    """The files of one gateway."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = directory / "gateway.json"
        self.request = directory / "enrolment.json"
        self.ca = directory / "ca.pem"
        self.client_key = directory / "client.key"
        self.client_certificate = directory / "client.pem"
        self.broker_key = directory / "broker.key"
        self.broker_certificate = directory / "broker.pem"
        self.backup_broker_key = directory / "broker-backup.key"
        self.registry = directory / "registry.db"
        self.spool = directory / "spool.db"
        self.broker = directory / "broker"

    def load(self) -> Settings:
        """The settings. Raises NotEnrolled."""
        try:
            return Settings.model_validate_json(self.settings.read_bytes())
        except (OSError, ValidationError) as error:
            raise NotEnrolled(f"{self.directory} is not an enrolled gateway: {error}") from None

    def save(self, settings: Settings) -> None:
        """Write the settings last: they make the folder an enrolled gateway."""
        write_secret(self.settings, json.dumps(settings.model_dump(), indent=1).encode())


def write_secret(path: Path, data: bytes) -> None:
    """Write a file for its owner only, whole or not at all, even when the power fails."""
    partial = path.with_name(path.name + ".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
