"""Phones have keys: what they enrolled, what became of it, the codes between two phones, and sessions bound to a key.

The foreign key leaves the transaction, so everything here can be run again.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from server.migrations import online

revision = "0005"
down_revision = "0004"
works_with = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("protection", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("algorithm IN ('ES256', 'EdDSA')", name=op.f("device_keys_algorithm_check")),
        sa.CheckConstraint("jkt ~ '^[A-Za-z0-9_-]{43}$'", name=op.f("device_keys_jkt_check")),
        sa.CheckConstraint(
            "protection IN ('hardware', 'software', 'browser', 'unknown')",
            name=op.f("device_keys_protection_check"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("device_keys_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("device_keys_pkey")),
        sa.UniqueConstraint("account_id", "jkt", name=op.f("device_keys_account_id_jkt_key")),
        if_not_exists=True,
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("device_keys_jkt_idx"), "device_keys", ["jkt"], unique=False, if_not_exists=True)
    op.create_table(
        "device_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_account", sa.Uuid(), nullable=False),
        sa.Column("in_session", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "cause IN ('login', 'first-key', 'activation', 'own-code', 'town-code', 'town', 'owner', 'replaced', "
            "'superseded')",
            name=op.f("device_events_cause_check"),
        ),
        sa.CheckConstraint(
            "kind IN ('enrolled', 'confirmed', 'trusted', 'revoked')", name=op.f("device_events_kind_check")
        ),
        sa.ForeignKeyConstraint(["device_id"], ["device_keys.id"], name=op.f("device_events_device_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("device_events_pkey")),
        sa.UniqueConstraint("device_id", "kind", name=op.f("device_events_device_id_kind_key")),
        if_not_exists=True,
        info={"grant": "SELECT, INSERT"},
    )
    op.create_table(
        "device_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_for", sa.Uuid(), nullable=True),
        sa.Column("replaces", sa.Boolean(), nullable=False),
        sa.Column("void_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("cause IN ('own-code', 'town-code')", name=op.f("device_codes_cause_check")),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("device_codes_tries_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("device_codes_account_id_fkey")),
        sa.ForeignKeyConstraint(["used_for"], ["device_keys.id"], name=op.f("device_codes_used_for_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("device_codes_pkey")),
        if_not_exists=True,
        info={"grant": "SELECT, INSERT, UPDATE (tries, used_at, used_for, replaces, void_at)"},
    )
    op.create_index(op.f("device_codes_used_for_idx"), "device_codes", ["used_for"], if_not_exists=True)
    op.create_index(
        "device_codes_live_key",
        "device_codes",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("used_at IS NULL AND void_at IS NULL"),
        if_not_exists=True,
    )
    op.execute("ALTER TABLE sessions ADD COLUMN IF NOT EXISTS jkt text")
    online.add_foreign_key(
        "sessions_account_id_jkt_fkey",
        "sessions",
        ["account_id", "jkt"],
        "device_keys",
        ["account_id", "jkt"],
    )


def downgrade() -> None:
    op.drop_column("sessions", "jkt")
    op.drop_table("device_codes")
    op.drop_table("device_events")
    op.drop_table("device_keys")
