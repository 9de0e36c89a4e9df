"""What takes something out of the record: owner-owned SQL functions, the application role's only way to do it (ruling 22).

Each checks for itself what may go, by the database's own clock: the application cannot name an earlier day than the
function allows, nor pass a hold by. Each writes its deed into the audit log, with counts and never with content
(edge 134). What the migrations make is a copy of these texts (tests/migrations hold both against each other).

One statement each, because a statement sees one snapshot and is done as a whole.
"""

from server import db

FADING_OPEN = """
SELECT (date_trunc('month', of_day) + interval '2 months')::date <= (now() AT TIME ZONE 'Asia/Shanghai')::date
"""
"""Whether the month of a day is over, locked and past its appeals. Until months are locked it is the 1st of the second
month after: the grace day and the appeal window (5 and 7 days) lie well before it. The lock will replace this function."""

HELD = """
SELECT EXISTS (SELECT FROM public.legal_holds AS h WHERE h.person_id = of_person
    AND (h.first_day IS NULL OR of_day IS NULL OR of_day >= h.first_day)
    AND (h.last_day IS NULL OR of_day IS NULL OR of_day <= h.last_day)
    AND h.ends_on >= (now() AT TIME ZONE 'Asia/Shanghai')::date
    AND (SELECT count(*) FROM public.legal_hold_lifts AS l WHERE l.hold_id = h.id) < 2)
"""
"""Whether a hold keeps what is known of a person's day (NULL: of any day). Two people lift a hold before its end."""

FADE_POSITIONS = """
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
"""
"""Coordinates, height, speed and salt go together; commitment, content hash, verdict and receipts stay. Without the salt
the commitment cannot be tried against guessed coordinates."""

FORGET_BODIES = """
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
"""
"""What a refused check-in had sent may hold coordinates, so it goes when they fade; that it was refused stays."""

_PURGE = """
WITH due AS (SELECT t.{key} FROM public.{table} AS t {joined}WHERE {at} < before AND {at} < now() - interval '1 year'
        AND NOT public.held({person}, NULL)
    LIMIT at_most),
gone AS (DELETE FROM public.{table} AS t USING due WHERE t.{key} = due.{key} RETURNING t.{key}),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, '{table}:purge', 'before', before::text, jsonb_build_object('rows', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
"""
_ACCOUNT = "JOIN public.accounts AS c ON c.id = t.account_id "
PURGES = {
    "looks": _PURGE.format(table="looks", key="id", joined="", at="t.at", person="t.person_id"),
    "checkin_attempts": _PURGE.format(
        table="checkin_attempts", key="id", joined="", at="t.at", person="t.person_id"
    ),
    "sessions": _PURGE.format(
        table="sessions", key="id", joined=_ACCOUNT, at="coalesce(t.revoked_at, t.expires_at)", person="c.person_id"
    ),
    "one_time_codes": _PURGE.format(
        table="one_time_codes", key="id", joined=_ACCOUNT,
        at="coalesce(t.used_at, t.void_at, t.expires_at)", person="c.person_id",
    ),
    "device_codes": _PURGE.format(
        table="device_codes", key="id", joined=_ACCOUNT,
        at="coalesce(t.used_at, t.void_at, t.expires_at)", person="c.person_id",
    ),
}  # fmt: skip
"""Tables whose rows have an end: by the instant from which it is counted. Nothing younger than a year, whatever is asked."""

PURGE_DETAILS = """
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
"""
"""Who did what to what stays; with which device, address and figures goes."""

db.add_function("fading_open(of_day date, of_village text)", "boolean", FADING_OPEN, by_owner=False)
db.add_function("held(of_person uuid, of_day date)", "boolean", HELD, by_owner=False)
db.add_function(
    "fade_positions(first_day date, final_day date, of_villages text[], at_most integer)",
    "integer",
    FADE_POSITIONS,
)
db.add_function("forget_bodies(before timestamptz, at_most integer)", "integer", FORGET_BODIES)
for _table, _text in PURGES.items():
    db.add_function(f"purge_{_table}(before timestamptz, at_most integer)", "integer", _text)
db.add_function("purge_audit_log(before timestamptz, at_most integer)", "integer", PURGE_DETAILS)
