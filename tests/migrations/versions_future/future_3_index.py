"""An index on the largest table, built while it is written."""

from server import migrate
from server.migrations import online

revision = "future_3"
down_revision = "future_2"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.create_index("checkins_village_code_day_idx", "checkins", ["village_code", "day"])


def downgrade() -> None:
    online.drop_index("checkins_village_code_day_idx", "checkins")
