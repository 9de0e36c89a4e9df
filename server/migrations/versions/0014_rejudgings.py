"""Dry runs of judging again, what they would change, and what was decided."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
works_with = "0004"
branch_labels = None
depends_on = None

GRANT = {"grant": "SELECT, INSERT"}
STATES = "'counted', 'unsure', 'no_fence', 'claimed', 'outside', 'none'"


def upgrade() -> None:
    op.create_table(
        "rejudgings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("judged", sa.Integer(), nullable=False),
        sa.Column("faded", sa.Integer(), nullable=False),
        sa.Column("check_ins", sa.Integer(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("region ~ '^[0-9]{2,12}$'", name=op.f("rejudgings_region_check")),
        sa.CheckConstraint("last_day >= first_day", name=op.f("rejudgings_days_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("rejudgings_pkey")),
        info=GRANT,
    )
    op.create_table(
        "rejudging_changes",
        sa.Column("rejudging_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("day_before", sa.Text(), nullable=False),
        sa.Column("day_after", sa.Text(), nullable=False),
        sa.CheckConstraint(f"day_before IN ({STATES})", name=op.f("rejudging_changes_day_before_check")),
        sa.CheckConstraint(f"day_after IN ({STATES})", name=op.f("rejudging_changes_day_after_check")),
        sa.ForeignKeyConstraint(
            ["rejudging_id"], ["rejudgings.id"], name=op.f("rejudging_changes_rejudging_id_fkey")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("rejudging_changes_person_id_fkey")),
        sa.PrimaryKeyConstraint("rejudging_id", "number", name=op.f("rejudging_changes_pkey")),
        info=GRANT,
    )
    op.create_index(op.f("rejudging_changes_person_id_idx"), "rejudging_changes", ["person_id"], unique=False)
    op.create_table(
        "rejudging_decisions",
        sa.Column("rejudging_id", sa.Uuid(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "decision IN ('approved', 'dropped')", name=op.f("rejudging_decisions_decision_check")
        ),
        sa.ForeignKeyConstraint(
            ["rejudging_id"], ["rejudgings.id"], name=op.f("rejudging_decisions_rejudging_id_fkey")
        ),
        sa.PrimaryKeyConstraint("rejudging_id", name=op.f("rejudging_decisions_pkey")),
        info=GRANT,
    )


def downgrade() -> None:
    for table in ("rejudging_decisions", "rejudging_changes", "rejudgings"):
        op.drop_table(table)
