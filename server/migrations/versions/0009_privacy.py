"""Notices and who accepted them, legal holds, and what alone may take something out of the record.

The functions are copies of server.privacy.functions as it was when this migration was written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
works_with = "0004"
branch_labels = None
depends_on = None

FUNCTIONS = (
    """CREATE FUNCTION fading_open(of_day date, of_village text)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
SELECT (date_trunc('month', of_day) + interval '2 months')::date <= (now() AT TIME ZONE 'Asia/Shanghai')::date
$$""",
    """CREATE FUNCTION held(of_person uuid, of_day date)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
SELECT EXISTS (SELECT FROM public.legal_holds AS h WHERE h.person_id = of_person
    AND (h.first_day IS NULL OR of_day IS NULL OR of_day >= h.first_day)
    AND (h.last_day IS NULL OR of_day IS NULL OR of_day <= h.last_day)
    AND h.ends_on >= (now() AT TIME ZONE 'Asia/Shanghai')::date
    AND (SELECT count(*) FROM public.legal_hold_lifts AS l WHERE l.hold_id = h.id) < 2)
$$""",
    """CREATE FUNCTION fade_positions(first_day date, final_day date, of_villages text[], at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT p.seq FROM public.checkin_points AS p JOIN public.checkin_rows AS r ON r.seq = p.seq
        LEFT JOIN public.checkin_grounds AS g ON g.id = r.grounds
    WHERE r.day BETWEEN first_day AND final_day AND coalesce(g.village_code, '') = ANY (of_villages)
        AND public.fading_open(r.day, coalesce(g.village_code, '')) AND NOT public.held(r.person_id, r.day)
    LIMIT at_most),
gone AS (DELETE FROM public.checkin_points AS p USING due WHERE p.seq = due.seq RETURNING p.seq),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'positions:fade', 'days', first_day || '..' || final_day, jsonb_build_object('positions', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION forget_bodies(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT a.id FROM public.checkin_attempts AS a WHERE a.body IS NOT NULL AND a.at < before
        AND public.fading_open((a.at AT TIME ZONE 'Asia/Shanghai')::date, '')
        AND NOT public.held(a.person_id, (a.at AT TIME ZONE 'Asia/Shanghai')::date)
    LIMIT at_most),
gone AS (UPDATE public.checkin_attempts AS a SET body = NULL FROM due WHERE a.id = due.id RETURNING a.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'attempts:fade', 'before', before::text, jsonb_build_object('bodies', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION purge_looks(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT t.id FROM public.looks AS t WHERE t.at < before AND t.at < now() - interval '1 year'
        AND NOT public.held(t.person_id, NULL)
    LIMIT at_most),
gone AS (DELETE FROM public.looks AS t USING due WHERE t.id = due.id RETURNING t.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'looks:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION purge_checkin_attempts(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT t.id FROM public.checkin_attempts AS t WHERE t.at < before AND t.at < now() - interval '1 year'
        AND NOT public.held(t.person_id, NULL)
    LIMIT at_most),
gone AS (DELETE FROM public.checkin_attempts AS t USING due WHERE t.id = due.id RETURNING t.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'checkin_attempts:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION purge_sessions(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT t.id FROM public.sessions AS t JOIN public.accounts AS c ON c.id = t.account_id WHERE coalesce(t.revoked_at, t.expires_at) < before AND coalesce(t.revoked_at, t.expires_at) < now() - interval '1 year'
        AND NOT public.held(c.person_id, NULL)
    LIMIT at_most),
gone AS (DELETE FROM public.sessions AS t USING due WHERE t.id = due.id RETURNING t.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'sessions:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION purge_one_time_codes(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT t.id FROM public.one_time_codes AS t JOIN public.accounts AS c ON c.id = t.account_id WHERE coalesce(t.used_at, t.void_at, t.expires_at) < before AND coalesce(t.used_at, t.void_at, t.expires_at) < now() - interval '1 year'
        AND NOT public.held(c.person_id, NULL)
    LIMIT at_most),
gone AS (DELETE FROM public.one_time_codes AS t USING due WHERE t.id = due.id RETURNING t.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'one_time_codes:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION purge_device_codes(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT t.id FROM public.device_codes AS t JOIN public.accounts AS c ON c.id = t.account_id WHERE coalesce(t.used_at, t.void_at, t.expires_at) < before AND coalesce(t.used_at, t.void_at, t.expires_at) < now() - interval '1 year'
        AND NOT public.held(c.person_id, NULL)
    LIMIT at_most),
gone AS (DELETE FROM public.device_codes AS t USING due WHERE t.id = due.id RETURNING t.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'device_codes:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION purge_audit_log(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT t.id FROM public.audit_log AS t LEFT JOIN public.accounts AS a ON a.id = t.actor_id
        LEFT JOIN public.accounts AS s ON t.subject_kind = 'account' AND s.id::text = t.subject_id
    WHERE t.at < before AND t.at < now() - interval '1 year' AND t.details <> '{}'
        AND NOT public.held(a.person_id, NULL) AND NOT public.held(s.person_id, NULL)
    LIMIT at_most),
gone AS (UPDATE public.audit_log AS t SET details = '{}' FROM due WHERE t.id = due.id RETURNING t.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'audit_log:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
)
NAMES = (
    "fading_open(date, text)",
    "held(uuid, date)",
    "fade_positions(date, date, text[], integer)",
    "forget_bodies(timestamptz, integer)",
    "purge_looks(timestamptz, integer)",
    "purge_checkin_attempts(timestamptz, integer)",
    "purge_sessions(timestamptz, integer)",
    "purge_one_time_codes(timestamptz, integer)",
    "purge_device_codes(timestamptz, integer)",
    "purge_audit_log(timestamptz, integer)",
)


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("text_zh", sa.Text(), nullable=False),
        sa.Column("text_en", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=True),
        sa.Column("until", sa.Date(), nullable=True),
        sa.CheckConstraint("region ~ '^[0-9]{0,12}$'", name=op.f("notices_region_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("notices_pkey")),
        sa.UniqueConstraint("region", "version", name=op.f("notices_region_version_key")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_table(
        "notice_acceptances",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("notice_acceptances_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("account_id", "digest", name=op.f("notice_acceptances_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("placed_by", sa.Uuid(), nullable=False),
        sa.CheckConstraint("last_day >= first_day", name=op.f("legal_holds_days_check")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("legal_holds_person_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("legal_holds_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("legal_holds_person_id_idx"), "legal_holds", ["person_id"], unique=False)
    op.create_table(
        "legal_hold_lifts",
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["hold_id"], ["legal_holds.id"], name=op.f("legal_hold_lifts_hold_id_fkey")),
        sa.PrimaryKeyConstraint("hold_id", "account_id", name=op.f("legal_hold_lifts_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    for text in FUNCTIONS:
        op.execute(text)
    for name in NAMES:
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")


def downgrade() -> None:
    for name in reversed(NAMES):
        op.execute(f"DROP FUNCTION {name}")
    for table in ("legal_hold_lifts", "legal_holds", "notice_acceptances", "notices"):
        op.drop_table(table)
