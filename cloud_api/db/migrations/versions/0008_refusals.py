"""What devices refuse, why, and until when they are not offered it again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("devices", sa.Column("refused_config", sa.BigInteger(), nullable=True))
    op.add_column("device_files", sa.Column("reason", sa.String(length=32), nullable=True))
    op.add_column("device_files", sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "device_files", sa.Column("offer_after", sa.BigInteger(), nullable=False, server_default="0")
    )
