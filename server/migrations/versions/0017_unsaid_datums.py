"""Check-ins of old apps may leave datum and age of their position unsaid: two more reasons, and a datum that is unknown."""

from alembic import op

from server.migrations import online

revision = "0017"
down_revision = "0016"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: the view as it was, with room for the reasons that this migration adds.
CHECKINS = """SELECT r.seq, r.person_id, r.id, r.received_at, r.event_at, COALESCE(r.captured_at, r.event_at) AS captured_at,
    r.sent_at, r.day, r.utc_offset_min,
    CASE r.kind WHEN 'd' THEN 'day' WHEN 'a' THEN 'arrive' WHEN 'l' THEN 'leave' END AS kind,
    CASE r.verdict WHEN 'i' THEN 'inside' WHEN 'u' THEN 'unsure' WHEN 'o' THEN 'outside' WHEN 't' THEN 'town' WHEN 'x' THEN 'unusable' WHEN 'f' THEN 'no_fence' WHEN 'n' THEN 'not_posted' END AS verdict,
    CASE r.reason WHEN 'i' THEN 'in-village' WHEN 'b' THEN 'near-village-border' WHEN 'q' THEN 'accuracy-unknown'{reasons} WHEN 'z' THEN 'near-zone-border' WHEN 'y' THEN 'near-zone-far-from-village' WHEN 'o' THEN 'out-of-village' WHEN 't' THEN 'in-town-seat' WHEN 'u' THEN 'in-urban-area' WHEN 'x' THEN 'no-fix' WHEN 'a' THEN 'fix-too-old' WHEN 'c' THEN 'accuracy-too-coarse' WHEN 'f' THEN 'no-boundary' WHEN 'n' THEN 'not-posted' END AS reason,
    CASE r.standing WHEN 'c' THEN 'counted' WHEN 'p' THEN 'provisional' WHEN 'm' THEN 'claimed' WHEN 'n' THEN 'not-counted' END AS standing,
    CASE r.band WHEN 'i' THEN 'inside' WHEN '1' THEN 'within-100m' WHEN '5' THEN 'within-500m' WHEN '2' THEN 'within-2km' WHEN 'f' THEN 'farther' END AS band,
    f.datum, COALESCE(r.provider, f.provider) AS provider, f.mocked, r.accuracy_m, r.fix_age_s, r.margin_m, r.p_inside,
    r.p_zone,
    CASE r.no_position WHEN 'd' THEN 'denied' WHEN 'o' THEN 'off' WHEN 't' THEN 'timeout' WHEN 'u' THEN 'unavailable' WHEN 's' THEN 'unsupported' WHEN 'x' THEN 'other' END AS no_position,
    r.outside_work, r.note, COALESCE(r.client, f.client) AS client, r.posting_id, g.village_code, g.zone_name, g.versions,
    r.commitment, r.content_hash, r.month_counted, r.month_need, r.month_due, r.month_away,
    CASE r.month_tier WHEN 'r' THEN 'reached' WHEN 'o' THEN 'on-track' WHEN 'n' THEN 'no-slack' WHEN 'c' THEN 'cannot-be-reached' END AS month_tier,
    t.basis AS time_basis, t.doubt AS time_doubt, t.earliest_at, t.latest_at, t.claimed_at, t.anchored_at,
    e.issuer, r.epoch, e.id AS epoch_id, r.chain_seq, r.receipt_key, k.kid, r.prev, r.signature, r.restored_at, r.restores,
    sha256(convert_to(w.header, 'UTF8') || '.' || s.payload || '.' || s.phone_signature) AS proof_hash
FROM checkin_rows AS r LEFT JOIN checkin_grounds AS g ON g.id = r.grounds LEFT JOIN checkin_phones AS f ON f.id = r.phone
LEFT JOIN checkin_times AS t ON t.seq = r.seq
LEFT JOIN receipt_epochs AS e ON e.number = r.epoch LEFT JOIN receipt_keys AS k ON k.id = r.receipt_key
LEFT JOIN checkin_signatures AS s ON s.seq = r.seq LEFT JOIN checkin_signers AS w ON w.id = s.signer"""
REASONS = " WHEN 'd' THEN 'datum-unknown' WHEN 'g' THEN 'age-unknown'"
OLD_CODES = "'i', 'b', 'q', 'z', 'y', 'o', 't', 'u', 'x', 'a', 'c', 'f', 'n'"
CODES = "'i', 'b', 'q', 'd', 'g', 'z', 'y', 'o', 't', 'u', 'x', 'a', 'c', 'f', 'n'"
DATUMS = "'wgs84', 'gcj02', 'bd09', 'cgcs2000'"


def upgrade() -> None:
    online.add_check("checkin_phones_datum_check", "checkin_phones", f"datum IN ({DATUMS}, 'unknown')")
    online.add_check("checkin_rows_reason_check", "checkin_rows", f"reason IN ({CODES})")
    op.execute(f"CREATE OR REPLACE VIEW checkins AS {CHECKINS.format(reasons=REASONS)}")


def downgrade() -> None:
    """Refused by the checks where such check-ins were stored: the version before could not read them."""
    online.add_check("checkin_rows_reason_check", "checkin_rows", f"reason IN ({OLD_CODES})")
    online.add_check("checkin_phones_datum_check", "checkin_phones", f"datum IN ({DATUMS})")
    op.execute(f"CREATE OR REPLACE VIEW checkins AS {CHECKINS.format(reasons='')}")
