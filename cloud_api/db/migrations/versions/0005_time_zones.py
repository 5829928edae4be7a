"""Sites in time zones with rules instead of at a fixed offset; holidays; windows that say on which of them they count."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SITES = sa.table(
    "sites",
    sa.column("id", sa.String),
    sa.column("utc_offset_minutes", sa.Integer),
    sa.column("time_zone", sa.String),
    sa.column("tz", sa.String),
)
_SCHEDULES = sa.table("schedules", sa.column("id", sa.String), sa.column("windows", sa.JSON))


def upgrade() -> None:
    """Apply."""
    for name, default in (("time_zone", "Etc/UTC"), ("tz", "UTC0")):
        op.add_column("sites", sa.Column(name, sa.String(length=64), nullable=False, server_default=default))
    op.add_column("sites", sa.Column("holidays", sa.JSON(), nullable=False, server_default="[]"))
    store = op.get_bind()
    for site in store.execute(sa.select(_SITES.c.id, _SITES.c.utc_offset_minutes)).all():
        time_zone, tz = _fixed(site.utc_offset_minutes)
        store.execute(sa.update(_SITES).where(_SITES.c.id == site.id).values(time_zone=time_zone, tz=tz))
    op.drop_column("sites", "utc_offset_minutes")
    for schedule in store.execute(sa.select(_SCHEDULES.c.id, _SCHEDULES.c.windows)).all():
        windows = [[days, 0, start, end] for days, start, end in schedule.windows]
        store.execute(sa.update(_SCHEDULES).where(_SCHEDULES.c.id == schedule.id).values(windows=windows))


def _fixed(minutes: int) -> tuple[str, str]:
    """The zone that always has this offset, by its IANA name and as POSIX has it. Where IANA has none, the second is
    both: doors keep their time, and the operator can name the zone.
    """
    hours, rest = divmod(abs(minutes), 60)
    if minutes == 0:
        return "Etc/UTC", "UTC0"
    east = minutes > 0
    past = f":{rest:02d}" if rest else ""
    # POSIX counts westward, and so do the names.
    tz = f"<{'+' if east else '-'}{hours:02d}{past[1:]}>{'-' if east else ''}{hours}{past}"
    named = rest == 0 and hours <= (14 if east else 12)
    return (f"Etc/GMT{'-' if east else '+'}{hours}" if named else tz), tz
