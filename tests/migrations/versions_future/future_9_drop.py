"""The second release of a column's end: no code uses it any more."""

import sqlalchemy as sa
from alembic import op

from server.migrations import online

revision = "future_9"
down_revision = "future_8"
works_with = "future_8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("checkin_rows", "battery")


def downgrade() -> None:
    op.add_column(
        "checkin_rows", sa.Column("battery", sa.SmallInteger(), nullable=False, server_default="50")
    )
    op.alter_column("checkin_rows", "battery", server_default=None)
    online.add_check("checkin_rows_battery_check", "checkin_rows", "battery BETWEEN 0 AND 100")
