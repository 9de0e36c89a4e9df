"""Check-ins get receipts: signed, one after the other for each person, and written again from the row (rulings 21, 24, 26).

What was stored before keeps none: a receipt says what was recorded at its moment, and that one is gone. The version
before goes on storing check-ins without receipts until it is replaced.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: the view as it was, with room for what this migration adds.
CHECKINS = """SELECT r.seq, r.person_id, r.id, r.received_at, r.event_at, COALESCE(r.captured_at, r.event_at) AS captured_at,
    r.sent_at, r.day, r.utc_offset_min,
    CASE r.kind WHEN 'd' THEN 'day' WHEN 'a' THEN 'arrive' WHEN 'l' THEN 'leave' END AS kind,
    CASE r.verdict WHEN 'i' THEN 'inside' WHEN 'u' THEN 'unsure' WHEN 'o' THEN 'outside' WHEN 't' THEN 'town' WHEN 'x' THEN 'unusable' WHEN 'f' THEN 'no_fence' WHEN 'n' THEN 'not_posted' END AS verdict,
    CASE r.reason WHEN 'i' THEN 'in-village' WHEN 'b' THEN 'near-village-border' WHEN 'q' THEN 'accuracy-unknown' WHEN 'z' THEN 'near-zone-border' WHEN 'y' THEN 'near-zone-far-from-village' WHEN 'o' THEN 'out-of-village' WHEN 't' THEN 'in-town-seat' WHEN 'u' THEN 'in-urban-area' WHEN 'x' THEN 'no-fix' WHEN 'a' THEN 'fix-too-old' WHEN 'c' THEN 'accuracy-too-coarse' WHEN 'f' THEN 'no-boundary' WHEN 'n' THEN 'not-posted' END AS reason,
    CASE r.standing WHEN 'c' THEN 'counted' WHEN 'p' THEN 'provisional' WHEN 'm' THEN 'claimed' WHEN 'n' THEN 'not-counted' END AS standing,
    CASE r.band WHEN 'i' THEN 'inside' WHEN '1' THEN 'within-100m' WHEN '5' THEN 'within-500m' WHEN '2' THEN 'within-2km' WHEN 'f' THEN 'farther' END AS band,
    f.datum, COALESCE(r.provider, f.provider) AS provider, f.mocked, r.accuracy_m, r.fix_age_s, r.margin_m, r.p_inside,
    r.p_zone,
    CASE r.no_position WHEN 'd' THEN 'denied' WHEN 'o' THEN 'off' WHEN 't' THEN 'timeout' WHEN 'u' THEN 'unavailable' WHEN 's' THEN 'unsupported' WHEN 'x' THEN 'other' END AS no_position,
    r.outside_work, r.note, COALESCE(r.client, f.client) AS client, r.posting_id, g.village_code, g.zone_name, g.versions,
    r.commitment, r.content_hash, r.month_counted, r.month_need, r.month_due, r.month_away,
    CASE r.month_tier WHEN 'r' THEN 'reached' WHEN 'o' THEN 'on-track' WHEN 'n' THEN 'no-slack' WHEN 'c' THEN 'cannot-be-reached' END AS month_tier,
    t.basis AS time_basis, t.doubt AS time_doubt, t.earliest_at, t.latest_at, t.claimed_at, t.anchored_at{more}
FROM checkin_rows AS r LEFT JOIN checkin_grounds AS g ON g.id = r.grounds LEFT JOIN checkin_phones AS f ON f.id = r.phone
LEFT JOIN checkin_times AS t ON t.seq = r.seq{joined}"""
MORE = """,
    e.issuer, r.epoch, e.id AS epoch_id, r.chain_seq, r.receipt_key, k.kid, r.prev, r.signature, r.restored_at, r.restores"""
JOINED = """
LEFT JOIN receipt_epochs AS e ON e.number = r.epoch LEFT JOIN receipt_keys AS k ON k.id = r.receipt_key"""
COLUMNS = {
    "chain_seq": "integer", "epoch": "smallint", "receipt_key": "smallint", "prev": "bytea", "signature": "bytea",
    "restored_at": "timestamptz", "restores": "bytea",
}  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "person_heads",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("was", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.SmallInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("was >= 0 AND seq > was", name=op.f("person_heads_forward_check")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("person_heads_pkey")),
        postgresql_with={"fillfactor": 70},  # A head moves with each check-in, within its page.
    )
    op.create_table(
        "receipt_epochs",
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("resend_from", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "cause IN ('first', 'restored', 'other')", name=op.f("receipt_epochs_cause_check")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("receipt_epochs_pkey")),
    )
    op.create_table(
        "receipt_keys",
        sa.Column("id", sa.SmallInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("x", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("receipt_keys_pkey")),
        sa.UniqueConstraint("kid", name=op.f("receipt_keys_kid_key")),
    )
    op.create_table(
        "checkin_old_receipts",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "checkin_id", name=op.f("checkin_old_receipts_pkey")),
    )
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE checkin_rows ADD COLUMN {name} {kind}")
    op.execute(f"CREATE OR REPLACE VIEW checkins AS {CHECKINS.format(more=MORE, joined=JOINED)}")


def downgrade() -> None:
    op.execute("DROP VIEW checkins")
    op.execute(f"CREATE VIEW checkins AS {CHECKINS.format(more='', joined='')}")
    for name in reversed(COLUMNS):
        op.drop_column("checkin_rows", name)
    for table in ("checkin_old_receipts", "receipt_keys", "receipt_epochs", "person_heads"):
        op.drop_table(table)
