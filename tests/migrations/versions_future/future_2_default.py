"""A column with a constant default: PostgreSQL keeps it in the catalog and rewrites nothing."""

import sqlalchemy as sa
from alembic import op

from server import migrate

revision = "future_2"
down_revision = "future_1"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("people", sa.Column("language", sa.Text(), nullable=False, server_default="zh"))


def downgrade() -> None:
    op.drop_column("people", "language")
