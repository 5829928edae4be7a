"""Tables. Times are integer unix milliseconds UTC, ids are the public strings, `ord` is the order of commits.

Every row that a tenant can name carries `organisation_id`, and every query of the API filters on it.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Named constraints, so that a later migration can drop one on every database.
_NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_ID = String(24)
# SQLite numbers rows only with INTEGER; other databases need 64 bits for a log that never shrinks.
_ORD = BigInteger().with_variant(Integer, "sqlite")


def _one_active(table: str, column: str) -> Index:
    """At most one active row for each value of `column`, whatever two requests do at the same time."""
    active = text("status = 'active'")
    return Index(f"uq_{table}_active", column, unique=True, sqlite_where=active, postgresql_where=active)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=_NAMING)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, bytes: LargeBinary, int: BigInteger}  # noqa: RUF012


class Organisation(Base):
    """A tenant."""

    __tablename__ = "organisations"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    ord: Mapped[int] = mapped_column(_ORD, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(_ID, unique=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int]


class _Owned:
    """What every resource of a tenant has."""

    ord: Mapped[int] = mapped_column(_ORD, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(_ID, unique=True)
    organisation_id: Mapped[str] = mapped_column(_ID, ForeignKey("organisations.id"), index=True)
    created_at: Mapped[int]


class ApiToken(_Owned, Base):
    """A bearer token of an organisation; only its SHA-256 is kept."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    revoked_at: Mapped[int | None]


class Site(_Owned, Base):
    """A building: one gateway's reach, one time zone."""

    __tablename__ = "sites"

    name: Mapped[str] = mapped_column(String(200))
    time_zone: Mapped[str] = mapped_column(String(64))  # its IANA name
    tz: Mapped[str] = mapped_column(String(64))  # as POSIX has it, and as the devices are told
    holidays: Mapped[list[Any]]
    # Rises whenever the gateway's list of admitted devices changes.
    registry_version: Mapped[int] = mapped_column(default=0)


class Door(_Owned, Base):
    """A leaf in a wall, with its policy."""

    __tablename__ = "doors"

    site_id: Mapped[str] = mapped_column(_ID, ForeignKey("sites.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    epoch: Mapped[int] = mapped_column(Integer, default=1)
    open_s: Mapped[float] = mapped_column(default=5.0)
    held_s: Mapped[int] = mapped_column(Integer, default=30)
    max_u_s: Mapped[int] = mapped_column(Integer, default=300)
    policy: Mapped[dict[str, Any]]  # the other fields of its policy that are not the default


class Device(_Owned, Base):
    """A door controller: its secrets (sealed), its shadow, and where its journal has been verified to."""

    __tablename__ = "devices"

    site_id: Mapped[str] = mapped_column(_ID, ForeignKey("sites.id"), index=True)
    door_id: Mapped[str] = mapped_column(_ID, ForeignKey("doors.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    pin: Mapped[str] = mapped_column(String(64))
    # Its public key and the end (unix seconds) of its newest certificate; null: we never saw them.
    spki: Mapped[bytes | None]
    certificate_ends: Mapped[int | None]
    k_dev: Mapped[bytes]
    # Everything below this number may have been used: reserved in blocks, so it rises once per block.
    command_seq: Mapped[int] = mapped_column(default=0)
    config_version: Mapped[int] = mapped_column(default=1)
    revocation_seq: Mapped[int] = mapped_column(default=0)
    chain_seq: Mapped[int] = mapped_column(default=0)
    chain: Mapped[bytes]
    # The shadow: what the device last said about itself.
    boot: Mapped[int | None]
    journal_seq: Mapped[int | None]
    reported_config: Mapped[int | None]
    reported_revocation: Mapped[int | None]
    reported_epoch: Mapped[int | None] = mapped_column(Integer)
    config_refused: Mapped[str | None] = mapped_column(String(64))
    drift_ppm: Mapped[int | None] = mapped_column(Integer)
    drift_uncertainty_ppm: Mapped[int | None] = mapped_column(Integer)
    # The version that it refused for good.
    refused_config: Mapped[int | None]
    firmware: Mapped[str | None] = mapped_column(String(64))
    door_state: Mapped[str | None] = mapped_column(String(32))
    last_seen_at: Mapped[int | None]
    connected: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (_one_active("devices", "door_id"),)


class Gateway(_Owned, Base):
    """A site's gateway, and the broker that its devices connect to."""

    __tablename__ = "gateways"

    site_id: Mapped[str] = mapped_column(_ID, ForeignKey("sites.id"), index=True)
    status: Mapped[str] = mapped_column(String(16))
    pin: Mapped[str] = mapped_column(String(64))
    host: Mapped[str] = mapped_column(String(255))
    port: Mapped[int] = mapped_column(Integer)
    broker_pin: Mapped[str] = mapped_column(String(64))
    backup_broker_pin: Mapped[str] = mapped_column(String(64))
    audit_seq: Mapped[int] = mapped_column(default=0)
    last_seen_at: Mapped[int | None]

    __table_args__ = (_one_active("gateways", "site_id"),)


class User(_Owned, Base):
    """Someone who opens doors."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(200))
    # First half of the credential id of all keys of this user, and what a generation bump revokes.
    subject: Mapped[bytes] = mapped_column(LargeBinary(4))
    generation: Mapped[int] = mapped_column(default=0)

    __table_args__ = (Index("uq_users_subject", "organisation_id", "subject", unique=True),)


class Schedule(_Owned, Base):
    """Weekly windows; devices know it by `number`, which is what fits a token."""

    __tablename__ = "schedules"

    name: Mapped[str] = mapped_column(String(200))
    number: Mapped[int] = mapped_column(Integer)
    windows: Mapped[list[Any]]

    __table_args__ = (Index("uq_schedules_number", "organisation_id", "number", unique=True),)


class Key(_Owned, Base):
    """A user's right to open doors, minted into one token per door."""

    __tablename__ = "keys"

    user_id: Mapped[str] = mapped_column(_ID, ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(8), unique=True)
    generation: Mapped[int]
    not_before: Mapped[int]  # unix seconds, as in the token
    not_after: Mapped[int]
    flags: Mapped[int] = mapped_column(Integer, default=0)
    schedule_id: Mapped[str | None] = mapped_column(_ID, ForeignKey("schedules.id"))
    revoked_at: Mapped[int | None]


class KeyDoor(Base):
    """Which doors a key opens."""

    __tablename__ = "key_doors"

    key_ord: Mapped[int] = mapped_column(_ORD, ForeignKey("keys.ord"), primary_key=True)
    door_id: Mapped[str] = mapped_column(_ID, ForeignKey("doors.id"), primary_key=True, index=True)


class Credential(_Owned, Base):
    """A user's PIN or card. What is typed or shown is sealed: a replaced board needs it for its own table."""

    __tablename__ = "credentials"

    user_id: Mapped[str] = mapped_column(_ID, ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    type: Mapped[str] = mapped_column(String(8))  # pin, card
    secret: Mapped[bytes]
    not_before: Mapped[int]  # unix seconds, as in the table
    not_after: Mapped[int]
    flags: Mapped[int] = mapped_column(Integer)
    schedule_id: Mapped[str | None] = mapped_column(_ID, ForeignKey("schedules.id"))
    revoked_at: Mapped[int | None]


class CredentialDoor(Base):
    """Which doors a credential opens. The fingerprint, null once it has ended, keeps two from being alike at a door."""

    __tablename__ = "credential_doors"

    credential_ord: Mapped[int] = mapped_column(_ORD, ForeignKey("credentials.ord"), primary_key=True)
    door_id: Mapped[str] = mapped_column(_ID, ForeignKey("doors.id"), primary_key=True, index=True)
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary(32))

    __table_args__ = (Index("uq_credential_doors_fingerprint", "door_id", "fingerprint", unique=True),)


class Package(_Owned, Base):
    """A signed firmware package. Whose signature it has only the boards can tell."""

    __tablename__ = "packages"

    product: Mapped[str] = mapped_column(String(16))
    version: Mapped[int]
    floor: Mapped[int]
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32))  # of the whole file
    size: Mapped[int]
    data: Mapped[bytes] = mapped_column(deferred=True)


class DeviceFile(Base):
    """A file that a device should have, one of each kind. A table is built when it is first offered; the bytes of
    firmware are those of its package.
    """

    __tablename__ = "device_files"

    device_id: Mapped[str] = mapped_column(_ID, ForeignKey("devices.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[int]
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    data: Mapped[bytes | None] = mapped_column(deferred=True)
    package_id: Mapped[str | None] = mapped_column(_ID)
    reported: Mapped[int | None]
    # Why the device refused this version last, how often it did, and until when it is not offered, unix milliseconds.
    reason: Mapped[str | None] = mapped_column(String(32))
    refusals: Mapped[int] = mapped_column(Integer, default=0)
    offer_after: Mapped[int] = mapped_column(default=0)


class Event(Base):
    """The audit log. `ord` is the cursor of pages and of the stream; (source, seq) makes delivery exactly-
    once.
    """

    __tablename__ = "events"

    ord: Mapped[int] = mapped_column(_ORD, primary_key=True, autoincrement=True)
    organisation_id: Mapped[str] = mapped_column(_ID, ForeignKey("organisations.id"))
    site_id: Mapped[str | None] = mapped_column(_ID)
    door_id: Mapped[str | None] = mapped_column(_ID)
    device_id: Mapped[str | None] = mapped_column(_ID)
    user_id: Mapped[str | None] = mapped_column(_ID)
    key_id: Mapped[str | None] = mapped_column(_ID)
    source: Mapped[str] = mapped_column(String(24))
    # Null for what the cloud itself did; such an event commits together with what it tells of.
    seq: Mapped[int | None]
    type: Mapped[str] = mapped_column(String(64))
    time: Mapped[int | None]
    uncertainty: Mapped[int | None]
    received_at: Mapped[int]
    method: Mapped[str | None] = mapped_column(String(32))
    status: Mapped[str | None] = mapped_column(String(32))
    data: Mapped[dict[str, Any]]
    record: Mapped[bytes | None]

    __table_args__ = (
        Index("uq_events_source", "source", "seq", unique=True),
        Index("ix_events_organisation", "organisation_id", "ord"),
        Index("ix_events_door", "door_id", "ord"),
        Index("ix_events_device", "device_id", "ord"),
        {"sqlite_autoincrement": True},
    )


class ActionAttempt(_Owned, Base):
    """One try to make a device do something; pending until proof, refusal or its end of life."""

    __tablename__ = "action_attempts"

    type: Mapped[str] = mapped_column(String(16))
    args: Mapped[dict[str, Any] | None]
    door_id: Mapped[str] = mapped_column(_ID)
    device_id: Mapped[str] = mapped_column(_ID)
    token_id: Mapped[str] = mapped_column(_ID)
    status: Mapped[str] = mapped_column(String(16))
    seq: Mapped[int]
    boot: Mapped[int]
    expires_at: Mapped[int]
    finished_at: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(64))
    result: Mapped[dict[str, Any] | None]

    __table_args__ = (Index("ix_action_attempts_pending", "status", "expires_at"),)


class IdempotencyKey(Base):
    """The answer that was given to a POST, for the client that asks again; its body is sealed."""

    __tablename__ = "idempotency_keys"

    organisation_id: Mapped[str] = mapped_column(_ID, primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int | None] = mapped_column(Integer)
    location: Mapped[str | None] = mapped_column(String(255))
    answer: Mapped[bytes | None]
    created_at: Mapped[int] = mapped_column(BigInteger, index=True)
