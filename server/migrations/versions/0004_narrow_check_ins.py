"""Check-ins become narrow: codes for texts of few values, rows of their own for what repeats, a number for the position.

Rows of check-ins never change once they are stored, so they are copied a few pages at a time while people check in, and
again what came meanwhile; only the last few, and the exchange of the tables for views, wait for nobody to be writing.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from server.migrations import online

revision = "0004"
down_revision = "0003"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: what a later version says of its codes is no matter of this migration.
CODES = {
    "kind": {"day": "d", "arrive": "a", "leave": "l"},
    "verdict": {"inside": "i", "unsure": "u", "outside": "o", "town": "t", "unusable": "x", "no_fence": "f", "not_posted": "n"},
    "reason": {"in-village": "i", "near-village-border": "b", "accuracy-unknown": "q", "near-zone-border": "z", "near-zone-far-from-village": "y", "out-of-village": "o", "in-town-seat": "t", "in-urban-area": "u", "no-fix": "x", "fix-too-old": "a", "accuracy-too-coarse": "c", "no-boundary": "f", "not-posted": "n"},
    "standing": {"counted": "c", "provisional": "p", "claimed": "m", "not-counted": "n"},
    "band": {"inside": "i", "within-100m": "1", "within-500m": "5", "within-2km": "2", "farther": "f"},
    "no_position": {"denied": "d", "off": "o", "timeout": "t", "unavailable": "u", "unsupported": "s", "other": "x"},
    "month_tier": {"reached": "r", "on-track": "o", "no-slack": "n", "cannot-be-reached": "c"},
}  # fmt: skip
MOST_PHONES = 1_000
NEW = ("checkin_points", "checkin_rows", "checkin_phones", "checkin_grounds")
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
    CASE r.month_tier WHEN 'r' THEN 'reached' WHEN 'o' THEN 'on-track' WHEN 'n' THEN 'no-slack' WHEN 'c' THEN 'cannot-be-reached' END AS month_tier
FROM checkin_rows AS r LEFT JOIN checkin_grounds AS g ON g.id = r.grounds LEFT JOIN checkin_phones AS f ON f.id = r.phone"""
POSITIONS = """SELECT r.person_id, r.id AS checkin_id, p.salt, p.lon_e7, p.lat_e7,
    COALESCE(p.wgs_lon_e7, p.lon_e7) AS wgs_lon_e7, COALESCE(p.wgs_lat_e7, p.lat_e7) AS wgs_lat_e7, p.altitude_cm,
    p.speed_cmps, CAST(CASE WHEN mod(p.lon_e7, 10) <> 0 OR mod(p.lat_e7, 10) <> 0 THEN 7 WHEN mod(p.lon_e7, 100) <> 0 OR mod(p.lat_e7, 100) <> 0 THEN 6 WHEN mod(p.lon_e7, 1000) <> 0 OR mod(p.lat_e7, 1000) <> 0 THEN 5 WHEN mod(p.lon_e7, 10000) <> 0 OR mod(p.lat_e7, 10000) <> 0 THEN 4 WHEN mod(p.lon_e7, 100000) <> 0 OR mod(p.lat_e7, 100000) <> 0 THEN 3 WHEN mod(p.lon_e7, 1000000) <> 0 OR mod(p.lat_e7, 1000000) <> 0 THEN 2 WHEN mod(p.lon_e7, 10000000) <> 0 OR mod(p.lat_e7, 10000000) <> 0 THEN 1 ELSE 0 END AS smallint) AS decimals
FROM checkin_points AS p JOIN checkin_rows AS r ON r.seq = p.seq"""


def _in(column: str) -> str:
    return ", ".join(f"'{code}'" for code in CODES[column].values())


_CHECKS = ",\n    ".join(
    f"CONSTRAINT checkin_rows_{name}_check CHECK ({name} IN ({_in(name)}))" for name in CODES
)
TABLES = (
    """CREATE TABLE IF NOT EXISTS checkin_grounds (
    id integer GENERATED ALWAYS AS IDENTITY, village_code text, zone_name text, versions uuid[],
    CONSTRAINT checkin_grounds_pkey PRIMARY KEY (id),
    CONSTRAINT checkin_grounds_village_code_zone_name_versions_key UNIQUE NULLS NOT DISTINCT (village_code, zone_name, versions))""",
    """CREATE TABLE IF NOT EXISTS checkin_phones (
    id integer GENERATED ALWAYS AS IDENTITY, client text, provider text, datum text, mocked boolean,
    CONSTRAINT checkin_phones_pkey PRIMARY KEY (id),
    CONSTRAINT checkin_phones_client_provider_datum_mocked_key UNIQUE NULLS NOT DISTINCT (client, provider, datum, mocked),
    CONSTRAINT checkin_phones_datum_check CHECK (datum IN ('wgs84', 'gcj02', 'bd09', 'cgcs2000')))""",
    f"""CREATE TABLE IF NOT EXISTS checkin_rows (
    seq bigint GENERATED ALWAYS AS IDENTITY, received_at timestamptz NOT NULL, event_at timestamptz NOT NULL,
    captured_at timestamptz, sent_at timestamptz NOT NULL, day date NOT NULL, accuracy_m real, fix_age_s real, margin_m real,
    p_inside real, p_zone real, grounds integer, phone integer, utc_offset_min smallint NOT NULL, month_counted smallint,
    month_need smallint, month_due smallint, month_away smallint,
    -- The linter takes PostgreSQL's type of one byte for that of padded texts.
    -- squawk-ignore ban-char-field
    kind "char" NOT NULL, verdict "char" NOT NULL, reason "char" NOT NULL, standing "char" NOT NULL, band "char",
    -- squawk-ignore ban-char-field
    no_position "char", month_tier "char",
    outside_work boolean NOT NULL, person_id uuid NOT NULL, id uuid NOT NULL, posting_id uuid, commitment bytea,
    content_hash bytea NOT NULL, client text, provider text, note text,
    CONSTRAINT checkin_rows_pkey PRIMARY KEY (person_id, id),
    {_CHECKS})""",
    "CREATE INDEX IF NOT EXISTS checkin_rows_received_at_idx ON checkin_rows USING brin (received_at)",
    "CREATE INDEX IF NOT EXISTS checkin_rows_day_idx ON checkin_rows USING brin (day)",
    """CREATE TABLE IF NOT EXISTS checkin_points (
    seq bigint NOT NULL, lon_e7 integer NOT NULL, lat_e7 integer NOT NULL, wgs_lon_e7 integer, wgs_lat_e7 integer,
    altitude_cm integer, speed_cmps integer, salt bytea NOT NULL, CONSTRAINT checkin_points_pkey PRIMARY KEY (seq))""",
)


def _code(column: str) -> str:
    """Return the code of a text as it was; of one that nobody knows a code that the CHECK refuses."""
    arms = " ".join(f"WHEN '{value}' THEN '{code}'" for value, code in CODES[column].items())
    return f"CAST(CASE c.{column} {arms} ELSE CASE WHEN c.{column} IS NOT NULL THEN '?' END END AS \"char\")"


_SAME = (
    "month_counted", "month_need", "month_due", "month_away", "outside_work", "person_id", "id", "posting_id", "commitment",
    "content_hash", "note",
)  # fmt: skip
_COLUMNS = ", ".join((*_SAME, *CODES))
_VALUES = ", ".join((*(f"c.{name}" for name in _SAME), *(_code(name) for name in CODES)))
_NEW = "NOT EXISTS (SELECT FROM checkin_rows AS r WHERE r.person_id = c.person_id AND r.id = c.id)"
COPY = (
    f"""INSERT INTO checkin_grounds (village_code, zone_name, versions)
SELECT DISTINCT c.village_code, c.zone_name, c.versions FROM {{rows}} AS c
WHERE {{some}} AND num_nonnulls(c.village_code, c.zone_name, c.versions) > 0 AND {_NEW} ON CONFLICT DO NOTHING""",  # noqa: S608  Constants of this file.
    f"""INSERT INTO checkin_phones (datum, mocked) SELECT DISTINCT c.datum, c.mocked FROM {{rows}} AS c
WHERE {{some}} AND num_nonnulls(c.datum, c.mocked) > 0 AND {_NEW} ON CONFLICT DO NOTHING""",  # noqa: S608  Constants of this file.
    # The commonest while there is room; the others stay with their check-ins (server.checkins.names).
    f"""INSERT INTO checkin_phones (client, provider, datum, mocked)
SELECT c.client, c.provider, c.datum, c.mocked FROM {{rows}} AS c
WHERE {{some}} AND num_nonnulls(c.client, c.provider) > 0 AND {_NEW} GROUP BY 1, 2, 3, 4 ORDER BY count(*) DESC
LIMIT greatest(0, {MOST_PHONES} - (SELECT count(*) FROM checkin_phones)) ON CONFLICT DO NOTHING""",  # noqa: S608  As above.
    f"""INSERT INTO checkin_rows (received_at, event_at, captured_at, sent_at, day, accuracy_m, fix_age_s, margin_m, p_inside,
    p_zone, utc_offset_min, grounds, phone, client, provider, {_COLUMNS})
WITH c AS MATERIALIZED (SELECT c.* FROM {{rows}} AS c WHERE {{some}} AND {_NEW})
SELECT c.received_at, c.event_at, NULLIF(c.captured_at, c.event_at), c.sent_at, c.day, c.accuracy_m, c.fix_age_s, c.margin_m,
    c.p_inside, c.p_zone, c.utc_offset_min, g.id, COALESCE(f.id, b.id), CASE WHEN f.id IS NULL THEN c.client END,
    CASE WHEN f.id IS NULL THEN c.provider END, {_VALUES}
FROM c LEFT JOIN checkin_grounds AS g ON COALESCE(g.village_code, '') = COALESCE(c.village_code, '')
    AND g.village_code IS NOT DISTINCT FROM c.village_code AND g.zone_name IS NOT DISTINCT FROM c.zone_name
    AND g.versions IS NOT DISTINCT FROM c.versions
LEFT JOIN checkin_phones AS f ON COALESCE(f.client, '') = COALESCE(c.client, '')
    AND f.client IS NOT DISTINCT FROM c.client AND f.provider IS NOT DISTINCT FROM c.provider
    AND f.datum IS NOT DISTINCT FROM c.datum AND f.mocked IS NOT DISTINCT FROM c.mocked
LEFT JOIN checkin_phones AS b ON num_nonnulls(b.client, b.provider) = 0
    AND b.datum IS NOT DISTINCT FROM c.datum AND b.mocked IS NOT DISTINCT FROM c.mocked ON CONFLICT DO NOTHING""",  # noqa: S608  Constants of this file.
    """INSERT INTO checkin_points (seq, lon_e7, lat_e7, wgs_lon_e7, wgs_lat_e7, altitude_cm, speed_cmps, salt)
SELECT r.seq, p.lon_e7, p.lat_e7, CASE WHEN differs THEN p.wgs_lon_e7 END, CASE WHEN differs THEN p.wgs_lat_e7 END,
    p.altitude_cm, p.speed_cmps, p.salt
FROM {rows} AS c JOIN checkin_positions AS p ON p.person_id = c.person_id AND p.checkin_id = c.id
JOIN checkin_rows AS r ON r.person_id = c.person_id AND r.id = c.id
CROSS JOIN LATERAL (SELECT (p.wgs_lon_e7, p.wgs_lat_e7) <> (p.lon_e7, p.lat_e7) AS differs) AS d
WHERE {some} AND NOT EXISTS (SELECT FROM checkin_points AS q WHERE q.seq = r.seq) ON CONFLICT DO NOTHING""",
)
"""`rows` says where check-ins are read from, `some` which of them. Run again they do nothing: what an interrupted migration copied stands."""
LATE = "c.received_at > TIMESTAMPTZ '{}' - INTERVAL '30 seconds'"
"""Which check-ins a pass that began then may have missed: each is stored within seconds of its arrival, and a service
whose clock is five seconds wrong does not start (server.safety)."""


def _now() -> str:
    context = op.get_context()
    return (
        "now"
        if context.as_sql
        else str(op.get_bind().execute(sa.text("SELECT clock_timestamp()")).scalar_one())
    )


def _copied(rows: str, some: str) -> list[str]:
    return [statement.format(rows=rows, some=some) for statement in COPY]


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    in_batches = _copied("checkins", "{some}")
    online.copy("checkins", "c", in_batches)
    began = _now()
    online.copy("checkins", "c", in_batches)  # What came meanwhile; what came during this takes seconds.
    then = _now()
    with op.get_context().autocommit_block():
        for table in ("checkins", "checkin_positions", *NEW):
            op.execute(f"ANALYZE {table}")
        for statement in _copied("checkins", LATE.format(began)):
            op.execute(statement)
    # Instant, and from here to the commit nobody else writes or reads.
    op.execute("ALTER TABLE checkins ADD CONSTRAINT checkins_moved CHECK (false) NOT VALID")
    late = f"SELECT c.* FROM checkins AS c WHERE {LATE.format(then)} AND {_NEW}"  # noqa: S608  Constants of this file.
    op.execute(f"CREATE TABLE checkins_late AS {late}")
    for statement in _copied("checkins_late", "true"):
        op.execute(statement)
    for table in ("checkins_late", "checkin_positions", "checkins"):
        op.drop_table(table)
    op.execute(f"CREATE VIEW checkins AS {CHECKINS}")
    op.execute(f"CREATE VIEW checkin_positions AS {POSITIONS}")


def _back(table: str, columns: Sequence[str], query: str) -> None:
    names = ", ".join(columns)
    op.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM ({query}) AS v")  # noqa: S608  Constants of this file.


def downgrade() -> None:
    op.execute(f"SET LOCAL statement_timeout = '{online.LONGEST_STEP_MS}ms'")
    op.execute("DROP VIEW checkin_positions")
    op.execute("DROP VIEW checkins")
    op.create_table(
        "checkins",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("utc_offset_min", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("band", sa.Text(), nullable=True),
        sa.Column("datum", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("mocked", sa.Boolean(), nullable=True),
        sa.Column("accuracy_m", sa.REAL(), nullable=True),
        sa.Column("fix_age_s", sa.REAL(), nullable=True),
        sa.Column("margin_m", sa.REAL(), nullable=True),
        sa.Column("p_inside", sa.REAL(), nullable=True),
        sa.Column("p_zone", sa.REAL(), nullable=True),
        sa.Column("no_position", sa.Text(), nullable=True),
        sa.Column("outside_work", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("client", sa.Text(), nullable=True),
        sa.Column("posting_id", sa.Uuid(), nullable=True),
        sa.Column("village_code", sa.Text(), nullable=True),
        sa.Column("zone_name", sa.Text(), nullable=True),
        sa.Column("versions", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), nullable=True),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("month_counted", sa.SmallInteger(), nullable=True),
        sa.Column("month_need", sa.SmallInteger(), nullable=True),
        sa.Column("month_due", sa.SmallInteger(), nullable=True),
        sa.Column("month_away", sa.SmallInteger(), nullable=True),
        sa.Column("month_tier", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "band IN ('inside', 'within-100m', 'within-500m', 'within-2km', 'farther')",
            name=op.f("checkins_band_check"),
        ),
        sa.CheckConstraint("kind IN ('day', 'arrive', 'leave')", name=op.f("checkins_kind_check")),
        sa.CheckConstraint(
            "standing IN ('counted', 'provisional', 'claimed', 'not-counted')",
            name=op.f("checkins_standing_check"),
        ),
        sa.CheckConstraint(
            "verdict IN ('inside', 'unsure', 'outside', 'town', 'unusable', 'no_fence', 'not_posted')",
            name=op.f("checkins_verdict_check"),
        ),
        sa.PrimaryKeyConstraint("person_id", "id", name=op.f("checkins_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("checkins_day_idx"), "checkins", ["day"], unique=False, postgresql_using="brin")
    op.create_index(
        op.f("checkins_received_at_idx"), "checkins", ["received_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "checkin_positions",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Uuid(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("lon_e7", sa.Integer(), nullable=False),
        sa.Column("lat_e7", sa.Integer(), nullable=False),
        sa.Column("wgs_lon_e7", sa.Integer(), nullable=False),
        sa.Column("wgs_lat_e7", sa.Integer(), nullable=False),
        sa.Column("altitude_cm", sa.Integer(), nullable=True),
        sa.Column("speed_cmps", sa.Integer(), nullable=True),
        sa.Column("decimals", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "checkin_id", name=op.f("checkin_positions_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    _back(
        "checkins",
        ("person_id", "id", "received_at", "event_at", "captured_at", "sent_at", "day", "utc_offset_min", "kind", "verdict",
         "reason", "standing", "band", "datum", "provider", "mocked", "accuracy_m", "fix_age_s", "margin_m", "p_inside",
         "p_zone", "no_position", "outside_work", "note", "client", "posting_id", "village_code", "zone_name", "versions",
         "commitment", "content_hash", "month_counted", "month_need", "month_due", "month_away", "month_tier"),
        CHECKINS,
    )  # fmt: skip
    _back(
        "checkin_positions",
        ("person_id", "checkin_id", "salt", "lon_e7", "lat_e7", "wgs_lon_e7", "wgs_lat_e7", "altitude_cm", "speed_cmps",
         "decimals"),
        POSITIONS,
    )  # fmt: skip
    for table in NEW:
        op.drop_table(table)
