"""Facts of days that people enter and decide: a ledger, their masks in the months, and outages of a region."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: what a later version calls its sorts is no matter of this migration.
SORTS = (
    "corrected_present", "corrected_absent", "finding_seen", "finding_absent", "duty", "leave_shrinking",
    "leave_counting_nothing", "attested",
)  # fmt: skip
SOURCES = ("correction", "appeal", "finding", "duty", "leave", "attestation", "paper")
PROVENANCES = ("own", "town", "clerk", "paper", "inspector", "system")


def _one_of(table: str, column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({allowed})", name=op.f(f"{table}_{column}_check"))


def _withdrawals(table: str, column: str, of: str) -> None:
    op.create_table(
        table,
        sa.Column(column, sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint([column], [f"{of}.id"], name=op.f(f"{table}_{column}_fkey")),
        sa.PrimaryKeyConstraint(column, name=op.f(f"{table}_pkey")),
    )


def upgrade() -> None:
    op.create_table(
        "day_facts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("sort", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("starts", sa.SmallInteger(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("ends", sa.SmallInteger(), nullable=False),
        sa.Column("source_kind", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("entered_by", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        _one_of("day_facts", "sort", SORTS),
        _one_of("day_facts", "source_kind", SOURCES),
        _one_of("day_facts", "provenance", PROVENANCES),
        sa.CheckConstraint("starts IN (0, 1) AND ends IN (0, 1)", name=op.f("day_facts_halves_check")),
        sa.CheckConstraint(
            "(last_day, ends) >= (first_day, starts) AND last_day - first_day < 1100",
            name=op.f("day_facts_span_check"),
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("day_facts_person_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("day_facts_pkey")),
    )
    op.create_index(op.f("day_facts_person_id_last_day_idx"), "day_facts", ["person_id", "last_day"])
    op.create_index(op.f("day_facts_last_day_idx"), "day_facts", ["last_day"])
    op.create_index(op.f("day_facts_source_id_idx"), "day_facts", ["source_id"])
    _withdrawals("day_fact_withdrawals", "fact_id", "day_facts")
    op.create_table(
        "outages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("region_prefix", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("region_prefix ~ '^[0-9]{0,12}$'", name=op.f("outages_region_prefix_check")),
        sa.CheckConstraint(
            "last_day >= first_day AND last_day - first_day < 62", name=op.f("outages_days_check")
        ),
        sa.CheckConstraint("ended_at >= began_at", name=op.f("outages_instants_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("outages_pkey")),
    )
    op.create_index(op.f("outages_last_day_idx"), "outages", ["last_day"])
    _withdrawals("outage_withdrawals", "outage_id", "outages")
    # Last, because its lock is the one behind which check-ins would wait.
    for sort in SORTS:
        op.add_column("person_months", sa.Column(sort, sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    for sort in reversed(SORTS):
        op.drop_column("person_months", sort)
    for table in ("outage_withdrawals", "outages", "day_fact_withdrawals", "day_facts"):
        op.drop_table(table)
