"""Who looked at whose records: one row for each person and each reading, never changed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
works_with = "0004"
branch_labels = None
depends_on = None
ROLES = "'cadre', 'village_clerk', 'town_officer', 'inspector', 'district_officer', 'unit_viewer', 'administrator', 'operator'"
WHAT = "'months', 'month', 'check-ins', 'position', 'attempts', 'request', 'signals', 'evidence'"


def upgrade() -> None:
    op.create_table(
        "looks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Uuid(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.CheckConstraint(f"role IN ({ROLES})", name=op.f("looks_role_check")),
        sa.CheckConstraint(f"what IN ({WHAT})", name=op.f("looks_what_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("looks_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("looks_person_id_id_idx"), "looks", ["person_id", "id"], unique=False)
    op.create_index(op.f("looks_at_idx"), "looks", ["at"], unique=False, postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("looks")
