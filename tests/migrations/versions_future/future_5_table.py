"""A table that refers to one in use."""

import sqlalchemy as sa
from alembic import op

from server import migrate

revision = "future_5"
down_revision = "future_4"
works_with = migrate.newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "remarks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("remarks_pkey")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("remarks_person_id_fkey")),
    )


def downgrade() -> None:
    op.drop_table("remarks")
