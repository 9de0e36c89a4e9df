"""Corrections of days, appeals against decisions, and what happened to them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: what a later version adds to these is no matter of this migration.
PROVENANCES = ("own", "town", "clerk", "paper", "inspector", "system")
WAITING = "state IN ('open', 'second-review')"


def _one_of(table: str, column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=op.f(f"{table}_{column}_check"))


def upgrade() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("halves", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("check_ins", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("entered_by", sa.Uuid(), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("over_quota", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("first_by", sa.Uuid(), nullable=True),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        _one_of("corrections", "halves", ("day", "morning", "afternoon")),
        _one_of("corrections", "claim", ("present", "absent")),
        _one_of("corrections", "provenance", PROVENANCES),
        _one_of("corrections", "state", ("open", "second-review", "approved", "refused", "withdrawn")),
        sa.CheckConstraint(f"(decided_at IS NULL) = ({WAITING})", name=op.f("corrections_decided_check")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("corrections_person_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("corrections_pkey")),
    )
    op.create_index(
        "corrections_one_waiting_key",
        "corrections",
        ["person_id", "day"],
        unique=True,
        postgresql_where=sa.text(WAITING),
    )
    op.create_index(op.f("corrections_person_id_day_idx"), "corrections", ["person_id", "day"])
    op.create_index(op.f("corrections_entered_at_id_idx"), "corrections", ["entered_at", "id"])
    op.create_table(
        "appeals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("entered_by", sa.Uuid(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deciders", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        _one_of("appeals", "kind", ("correction", "check-in", "finding")),
        _one_of("appeals", "provenance", PROVENANCES),
        _one_of("appeals", "state", ("open", "upheld", "dismissed")),
        sa.CheckConstraint("(decided_at IS NULL) = (state = 'open')", name=op.f("appeals_decided_check")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("appeals_person_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("appeals_pkey")),
        sa.UniqueConstraint("kind", "subject_id", name=op.f("appeals_kind_subject_id_key")),
    )
    op.create_index(op.f("appeals_entered_at_id_idx"), "appeals", ["entered_at", "id"])
    op.create_index(op.f("appeals_person_id_idx"), "appeals", ["person_id"])
    op.create_table(
        "request_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        _one_of(
            "request_events",
            "event",
            ("entered", "passed-on", "approved", "refused", "withdrawn", "appealed", "upheld", "dismissed"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("request_events_pkey")),
    )
    op.create_index(op.f("request_events_request_id_idx"), "request_events", ["request_id"])


def downgrade() -> None:
    for table in ("request_events", "appeals", "corrections"):
        op.drop_table(table)
