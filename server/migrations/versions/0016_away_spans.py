"""The half days that requests of leave and duty claim: one table, in which no two of a person overlap."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
works_with = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "away_spans",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("halves", postgresql.INT8RANGE(), nullable=False),
        sa.CheckConstraint("kind IN ('leave', 'duty')", name=op.f("away_spans_kind_check")),
        sa.CheckConstraint(
            "coalesce(upper(halves) - lower(halves), 0) BETWEEN 1 AND 2200",
            name=op.f("away_spans_halves_check"),
        ),
        postgresql.ExcludeConstraint(
            (sa.column("person_id"), "="),
            (sa.column("halves"), "&&"),
            using="gist",
            name="away_spans_no_overlap_excl",
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("away_spans_person_id_fkey")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("away_spans_pkey")),
    )


def downgrade() -> None:
    op.drop_table("away_spans")
