"""What old rows did not say, filled in a few pages at a time."""

from server import migrate
from server.migrations import online

revision = "future_6"
down_revision = "future_5"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.fill("checkin_rows", "battery = 50", "battery IS NULL")


def downgrade() -> None:
    """Leave what was filled: the column goes with future_1."""
