"""A rule for new rows at once, and for old ones when they were looked at."""

from alembic import op

from server import migrate
from server.migrations import online

revision = "future_4"
down_revision = "future_3"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_check("checkin_rows_battery_check", "checkin_rows", "battery BETWEEN 0 AND 100")


def downgrade() -> None:
    op.drop_constraint("checkin_rows_battery_check", "checkin_rows")
