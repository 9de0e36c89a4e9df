"""The database remembers its migrations, and which versions of the product each of them works with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
works_with = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schema_revisions",
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("works_with", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("schema_revisions_pkey")),
        sa.UniqueConstraint("seq", name=op.f("schema_revisions_seq_key")),
        info={"grant": "SELECT"},
    )


def downgrade() -> None:
    op.drop_table("schema_revisions")
