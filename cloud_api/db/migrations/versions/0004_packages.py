"""Firmware packages."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("device_files", sa.Column("package_id", sa.String(length=24), nullable=True))
    op.create_table(
        "packages",
        sa.Column("product", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column(
            "ord", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("organisation_id", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_packages_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("ord", name=op.f("pk_packages")),
        sa.UniqueConstraint("id", name=op.f("uq_packages_id")),
    )
    op.create_index(op.f("ix_packages_organisation_id"), "packages", ["organisation_id"])
