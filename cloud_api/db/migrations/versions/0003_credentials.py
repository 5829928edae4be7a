"""PINs and cards, files for devices, and what renewing a device's certificate takes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ORD = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("devices", sa.Column("spki", sa.LargeBinary(), nullable=True))
    op.add_column("devices", sa.Column("certificate_ends", sa.BigInteger(), nullable=True))
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("schedule_id", sa.String(length=24), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("ord", _ORD, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("organisation_id", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_credentials_organisation_id_organisations"),
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name=op.f("fk_credentials_schedule_id_schedules")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_credentials_user_id_users")),
        sa.PrimaryKeyConstraint("ord", name=op.f("pk_credentials")),
        sa.UniqueConstraint("id", name=op.f("uq_credentials_id")),
    )
    op.create_index(op.f("ix_credentials_organisation_id"), "credentials", ["organisation_id"])
    op.create_index(op.f("ix_credentials_user_id"), "credentials", ["user_id"])
    op.create_table(
        "credential_doors",
        sa.Column("credential_ord", _ORD, nullable=False),
        sa.Column("door_id", sa.String(length=24), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["credential_ord"],
            ["credentials.ord"],
            name=op.f("fk_credential_doors_credential_ord_credentials"),
        ),
        sa.ForeignKeyConstraint(["door_id"], ["doors.id"], name=op.f("fk_credential_doors_door_id_doors")),
        sa.PrimaryKeyConstraint("credential_ord", "door_id", name=op.f("pk_credential_doors")),
    )
    op.create_index(op.f("ix_credential_doors_door_id"), "credential_doors", ["door_id"])
    op.create_index(
        "uq_credential_doors_fingerprint", "credential_doors", ["door_id", "fingerprint"], unique=True
    )
    op.create_table(
        "device_files",
        sa.Column("device_id", sa.String(length=24), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("reported", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["device_id"], ["devices.id"], name=op.f("fk_device_files_device_id_devices")
        ),
        sa.PrimaryKeyConstraint("device_id", "kind", name=op.f("pk_device_files")),
    )
