"""Signatures of check-ins lie beside them, to the letter; what those of one phone have in common is a row of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
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
    t.basis AS time_basis, t.doubt AS time_doubt, t.earliest_at, t.latest_at, t.claimed_at, t.anchored_at,
    e.issuer, r.epoch, e.id AS epoch_id, r.chain_seq, r.receipt_key, k.kid, r.prev, r.signature, r.restored_at, r.restores{more}
FROM checkin_rows AS r LEFT JOIN checkin_grounds AS g ON g.id = r.grounds LEFT JOIN checkin_phones AS f ON f.id = r.phone
LEFT JOIN checkin_times AS t ON t.seq = r.seq
LEFT JOIN receipt_epochs AS e ON e.number = r.epoch LEFT JOIN receipt_keys AS k ON k.id = r.receipt_key{joined}"""
MORE = """,
    sha256(convert_to(w.header, 'UTF8') || '.' || s.payload || '.' || s.phone_signature) AS proof_hash"""
JOINED = """
LEFT JOIN checkin_signatures AS s ON s.seq = r.seq LEFT JOIN checkin_signers AS w ON w.id = s.signer"""


def upgrade() -> None:
    op.create_table(
        "checkin_signers",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("jkt", sa.Text(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("checkin_signers_pkey")),
        sa.UniqueConstraint("header", name=op.f("checkin_signers_header_key")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("checkin_signers_jkt_idx"), "checkin_signers", ["jkt"], unique=False)
    op.create_table(
        "checkin_signatures",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signer", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("phone_signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("checkin_signatures_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.execute(f"CREATE OR REPLACE VIEW checkins AS {CHECKINS.format(more=MORE, joined=JOINED)}")


def downgrade() -> None:
    op.execute("DROP VIEW checkins")
    op.execute(f"CREATE VIEW checkins AS {CHECKINS.format(more='', joined='')}")
    op.drop_table("checkin_signatures")
    op.drop_table("checkin_signers")
