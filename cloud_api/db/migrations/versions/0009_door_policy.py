"""The whole policy of a door, and commands with arguments."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("doors", sa.Column("policy", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("action_attempts", sa.Column("args", sa.JSON(), nullable=True))
