"""A record of the server's clock being set."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
works_with = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "clock_steps",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("clock_steps_pkey")),
        info={"grant": "SELECT, INSERT"},
    )


def downgrade() -> None:
    op.drop_table("clock_steps")
