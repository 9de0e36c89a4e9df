"""How the time of a check-in was taken gets a table of its own: of most check-ins there is nothing to tell."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: what a later version says of its codes is no matter of this migration.
_COLUMNS = """SELECT r.seq, r.person_id, r.id, r.received_at, r.event_at, COALESCE(r.captured_at, r.event_at) AS captured_at,
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
    CASE r.month_tier WHEN 'r' THEN 'reached' WHEN 'o' THEN 'on-track' WHEN 'n' THEN 'no-slack' WHEN 'c' THEN 'cannot-be-reached' END AS month_tier"""
_ROWS = """
FROM checkin_rows AS r LEFT JOIN checkin_grounds AS g ON g.id = r.grounds LEFT JOIN checkin_phones AS f ON f.id = r.phone"""
BEFORE = _COLUMNS + _ROWS
CHECKINS = (
    _COLUMNS
    + """,
    t.basis AS time_basis, t.doubt AS time_doubt, t.earliest_at, t.latest_at, t.claimed_at, t.anchored_at"""
    + _ROWS
    + """
LEFT JOIN checkin_times AS t ON t.seq = r.seq"""
)


def upgrade() -> None:
    op.create_table(
        "checkin_times",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("doubt", sa.Text(), nullable=True),
        sa.Column("earliest_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latest_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("anchored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_ms", sa.BigInteger(), nullable=True),
        sa.Column("got_ms", sa.BigInteger(), nullable=True),
        sa.Column("tapped_ms", sa.BigInteger(), nullable=True),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("anchor_boot", sa.Boolean(), nullable=True),
        sa.Column("sent_boot", sa.Boolean(), nullable=True),
        sa.Column("spoiled", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "basis IN ('phone', 'corrected', 'running-clock', 'anchor', 'restarted', 'contradicted')",
            name=op.f("checkin_times_basis_check"),
        ),
        sa.CheckConstraint(
            "doubt IN ('day', 'clock', 'contradiction')", name=op.f("checkin_times_doubt_check")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("checkin_times_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    # Columns may be added to a view behind the others: what reads it by their names goes on.
    op.execute(f"CREATE OR REPLACE VIEW checkins AS {CHECKINS}")


def downgrade() -> None:
    op.execute("DROP VIEW checkins")
    op.execute(f"CREATE VIEW checkins AS {BEFORE}")
    op.drop_table("checkin_times")
