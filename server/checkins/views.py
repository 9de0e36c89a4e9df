"""The hot tables as people read them: texts instead of codes, a column for what lies in another row.

The joins are LEFT JOINs on primary keys, so PostgreSQL leaves out those of which nobody asks a column. What the
migrations make is a copy of these texts (tests/migrations hold both against each other).
"""

from geo.fix import FINEST_DECIMALS
from server.checkins.codes import text_of

CHECKINS = f"""SELECT r.seq, r.person_id, r.id, r.received_at, r.event_at, COALESCE(r.captured_at, r.event_at) AS captured_at,
    r.sent_at, r.day, r.utc_offset_min,
    {text_of("kind", "r.kind")} AS kind,
    {text_of("verdict", "r.verdict")} AS verdict,
    {text_of("reason", "r.reason")} AS reason,
    {text_of("standing", "r.standing")} AS standing,
    {text_of("band", "r.band")} AS band,
    f.datum, COALESCE(r.provider, f.provider) AS provider, f.mocked, r.accuracy_m, r.fix_age_s, r.margin_m, r.p_inside,
    r.p_zone,
    {text_of("no_position", "r.no_position")} AS no_position,
    r.outside_work, r.note, COALESCE(r.client, f.client) AS client, r.posting_id, g.village_code, g.zone_name, g.versions,
    r.commitment, r.content_hash, r.month_counted, r.month_need, r.month_due, r.month_away,
    {text_of("month_tier", "r.month_tier")} AS month_tier,
    t.basis AS time_basis, t.doubt AS time_doubt, t.earliest_at, t.latest_at, t.claimed_at, t.anchored_at,
    e.issuer, r.epoch, e.id AS epoch_id, r.chain_seq, r.receipt_key, k.kid, r.prev, r.signature, r.restored_at, r.restores,
    sha256(convert_to(w.header, 'UTF8') || '.' || s.payload || '.' || s.phone_signature) AS proof_hash
FROM checkin_rows AS r LEFT JOIN checkin_grounds AS g ON g.id = r.grounds LEFT JOIN checkin_phones AS f ON f.id = r.phone
LEFT JOIN checkin_times AS t ON t.seq = r.seq
LEFT JOIN receipt_epochs AS e ON e.number = r.epoch LEFT JOIN receipt_keys AS k ON k.id = r.receipt_key
LEFT JOIN checkin_signatures AS s ON s.seq = r.seq LEFT JOIN checkin_signers AS w ON w.id = s.signer"""  # noqa: S608  Constants of ours.

_DECIMALS = " ".join(
    f"WHEN mod(p.lon_e7, {10**zeros}) <> 0 OR mod(p.lat_e7, {10**zeros}) <> 0 THEN {FINEST_DECIMALS + 1 - zeros}"
    for zeros in range(1, FINEST_DECIMALS + 1)
)
POSITIONS = f"""SELECT r.person_id, r.id AS checkin_id, p.salt, p.lon_e7, p.lat_e7,
    COALESCE(p.wgs_lon_e7, p.lon_e7) AS wgs_lon_e7, COALESCE(p.wgs_lat_e7, p.lat_e7) AS wgs_lat_e7, p.altitude_cm,
    p.speed_cmps, CAST(CASE {_DECIMALS} ELSE 0 END AS smallint) AS decimals
FROM checkin_points AS p JOIN checkin_rows AS r ON r.seq = p.seq"""  # noqa: S608  As above.
"""The decimals that a position evidently has (geo.fix.evident_decimals_e7) are told from it, not stored."""
