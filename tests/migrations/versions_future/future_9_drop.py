"""The second release of a column's end: no code uses it any more."""

import sqlalchemy as sa
from alembic import op

revision = "future_9"
down_revision = "future_8"
works_with = "future_8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("checkins", "battery")


def downgrade() -> None:
    op.add_column("checkins", sa.Column("battery", sa.SmallInteger(), nullable=True))
