"""A foreign key between tables in use; the hot table itself has none (DECISIONS.md 2)."""

from alembic import op

from server import migrate
from server.migrations import online

revision = "future_7"
down_revision = "future_6"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    online.add_foreign_key("roster_rows_person_fkey", "roster_rows", ["person_id"], "people", ["id"])


def downgrade() -> None:
    op.drop_constraint("roster_rows_person_fkey", "roster_rows")
