"""A column that the code before this one fills is required; code that does not know it can write no longer."""

from alembic import op

from server.migrations import online

revision = "future_8"
down_revision = "future_7"
works_with = "future_7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.fill("checkin_rows", "battery = 50", "battery IS NULL")
    online.require("checkin_rows", "battery")


def downgrade() -> None:
    op.alter_column("checkin_rows", "battery", nullable=True)
