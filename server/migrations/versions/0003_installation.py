"""A database is marked as live or as a sandbox. What was in use before there were sandboxes is live."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
works_with = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('live', 'sandbox')", name=op.f("installation_kind_check")),
        sa.CheckConstraint("one", name=op.f("installation_one_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("installation_pkey")),
        info={"grant": "SELECT"},
    )
    op.execute(
        "INSERT INTO installation (one, kind, marked_at) SELECT true, 'live', now() WHERE EXISTS (SELECT FROM accounts)"
    )


def downgrade() -> None:
    op.drop_table("installation")
