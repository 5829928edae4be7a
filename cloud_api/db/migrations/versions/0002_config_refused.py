"""Why a device refuses its configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("devices", sa.Column("config_refused", sa.String(length=64), nullable=True))
