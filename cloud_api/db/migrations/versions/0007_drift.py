"""How fast a device's crystal runs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("devices", sa.Column("drift_ppm", sa.Integer(), nullable=True))
    op.add_column("devices", sa.Column("drift_uncertainty_ppm", sa.Integer(), nullable=True))
