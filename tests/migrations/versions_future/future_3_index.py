"""An index on the largest table, built while it is written."""

from server import migrate
from server.migrations import online

revision = "future_3"
down_revision = "future_2"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("checkin_rows_posting_id_day_idx", "checkin_rows", ["posting_id", "day"])


def downgrade() -> None:
    online.drop_index("checkin_rows_posting_id_day_idx", "checkin_rows")
