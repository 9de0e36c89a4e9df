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
    op.drop_column("checkins", "battery")


def downgrade() -> None:
    op.add_column("checkins", sa.Column("battery", sa.SmallInteger(), nullable=False, server_default="50"))
    op.alter_column("checkins", "battery", server_default=None)
    online.add_check("checkins_battery_check", "checkins", "battery BETWEEN 0 AND 100")
