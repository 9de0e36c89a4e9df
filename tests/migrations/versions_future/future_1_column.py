"""A column that old code knows nothing of."""

import sqlalchemy as sa
from alembic import op

from server import migrate

revision = "future_1"
down_revision = migrate.newest_revision()
works_with = down_revision
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkin_rows", sa.Column("battery", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkin_rows", "battery")
