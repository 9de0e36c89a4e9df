"""What plausibility finds is kept, people are asked to look at it, and what they decide is a record (M24)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
works_with = "0004"
branch_labels = None
depends_on = None

APPEND = {"grant": "SELECT, INSERT"}
TABLES = (
    "review_turns", "review_items", "datum_alarms", "client_customs", "checkin_spots", "assessment_marks",
    "checkin_assessments", "plausibility_policies",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("checkin_judgements", sa.Column("decision_id", sa.Uuid(), nullable=True))
    _assessments()
    _fleet()
    _reviews()


def _assessments() -> None:
    op.create_table(
        "plausibility_policies",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("adopted_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("plausibility_policies_pkey")),
        info=APPEND,
    )
    op.create_table(
        "checkin_assessments",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy", sa.Integer(), nullable=False),
        sa.Column("revision", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("signals", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint(
            "band IN ('none', 'sampled', 'review')", name=op.f("checkin_assessments_band_check")
        ),
        sa.PrimaryKeyConstraint("seq", "revision", name=op.f("checkin_assessments_pkey")),
        info=APPEND,
    )
    op.create_table(
        "assessment_marks",
        sa.Column("one", sa.Boolean(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("draw_key", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("one", name=op.f("assessment_marks_one_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("assessment_marks_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE (until)"},
    )
    op.create_table(
        "checkin_spots",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("spot", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("checkin_spots_pkey")),
        info={"grant": "SELECT, INSERT, DELETE"},
    )
    op.create_index(op.f("checkin_spots_spot_day_idx"), "checkin_spots", ["spot", "day"])
    op.create_index(op.f("checkin_spots_day_idx"), "checkin_spots", ["day"])


def _fleet() -> None:
    op.create_table(
        "client_customs",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("few_decimals", sa.Integer(), nullable=False),
        sa.Column("constant_accuracy", sa.Integer(), nullable=False),
        sa.Column("same_altitude", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "client", name=op.f("client_customs_pkey")),
        info=APPEND,
    )
    op.create_table(
        "datum_alarms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("shift", sa.Text(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("moved", sa.Integer(), nullable=False),
        sa.Column("power", sa.REAL(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("closing_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (outcome IS NULL)", name=op.f("datum_alarms_closed_with_an_outcome_check")
        ),
        sa.CheckConstraint(
            "shift IN ('gcj02-added', 'gcj02-removed', 'bd09-added', 'bd09-removed')",
            name=op.f("datum_alarms_shift_check"),
        ),
        sa.CheckConstraint("outcome IN ('confirmed', 'dismissed')", name=op.f("datum_alarms_outcome_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("datum_alarms_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE (closed_at, closed_by, outcome, closing_reason)"},
    )
    op.create_index(
        "datum_alarms_open_key",
        "datum_alarms",
        ["client", "shift"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def _reviews() -> None:
    op.create_table(
        "review_items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Uuid(), nullable=True),
        sa.Column("month", sa.Date(), nullable=True),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("region_code", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("assigned_to", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(checkin_id IS NULL) <> (month IS NULL)", name=op.f("review_items_one_subject_check")
        ),
        sa.CheckConstraint("subject IN ('check-in', 'month')", name=op.f("review_items_subject_check")),
        sa.CheckConstraint(
            "cause IN ('signals', 'drawn', 'unsure-decides', 'too-many-unsure')",
            name=op.f("review_items_cause_check"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'needs-more', 'accepted', 'rejected')", name=op.f("review_items_state_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("review_items_pkey")),
        sa.UniqueConstraint("person_id", "checkin_id", name=op.f("review_items_person_id_checkin_id_key")),
        sa.UniqueConstraint("person_id", "month", name=op.f("review_items_person_id_month_key")),
        info={"grant": "SELECT, INSERT, UPDATE (state, revision, assigned_to)"},
    )
    op.create_index(op.f("review_items_opened_at_id_idx"), "review_items", ["opened_at", "id"])
    op.create_table(
        "review_turns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("decides", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("check_ins", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.CheckConstraint(
            "step IN ('taken', 'needs-more', 'accepted', 'rejected')", name=op.f("review_turns_step_check")
        ),
        sa.CheckConstraint(
            "decides = (step IN ('accepted', 'rejected'))", name=op.f("review_turns_decides_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("review_turns_pkey")),
        info=APPEND,
    )
    op.create_index(op.f("review_turns_item_id_idx"), "review_turns", ["item_id"])
    op.create_index(
        "review_turns_decided_key",
        "review_turns",
        ["item_id"],
        unique=True,
        postgresql_where=sa.text("decides"),
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.drop_column("checkin_judgements", "decision_id")
