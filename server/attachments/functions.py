"""What takes attachments out of the record: owner-owned SQL functions, as server.privacy.functions explains them.

The application's role cannot delete a row of attachments. Files follow rows: what no row names any more is swept
(sweeping.py).
"""

from server import db

_WHOLE = """
WITH due AS (SELECT a.id FROM public.attachments AS a JOIN public.accounts AS c ON c.id = a.account_id
    WHERE {due}
    LIMIT at_most FOR UPDATE OF a SKIP LOCKED),
gone AS ({gone} RETURNING a.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'attachments:{deed}', 'before', before::text, jsonb_build_object('attachments', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
"""

FORGET = _WHOLE.format(
    deed="forget",
    due="a.linked_at IS NULL AND a.made_at < before AND a.made_at < now() - interval '1 hour'\n"
    "        AND NOT public.held(c.person_id, NULL)",
    gone="DELETE FROM public.attachments AS a USING due WHERE a.id = due.id",
)
"""What was never finished, refused, given up or never attached to anything. One that is being attached is locked."""

FADE = _WHOLE.format(
    deed="fade",
    due="a.linked_at IS NOT NULL AND a.state = 'ready' AND a.made_at < before\n"
    "        AND a.made_at < now() - interval '1 year' AND NOT public.held(c.person_id, NULL)",
    gone="UPDATE public.attachments AS a SET state = 'faded', content = NULL, name = '', taken_at = NULL,\n"
    "        lon_e7 = NULL, lat_e7 = NULL FROM due WHERE a.id = due.id",
)
"""What was attached goes after its time; that it was there, and the hash of what was sent, stay."""

FORGET_PLACES = _WHOLE.format(
    deed="forget-places",
    due="a.lon_e7 IS NOT NULL AND a.made_at < before\n"
    "        AND public.fading_open((a.made_at AT TIME ZONE 'Asia/Shanghai')::date, '')\n"
    "        AND NOT public.held(c.person_id, (a.made_at AT TIME ZONE 'Asia/Shanghai')::date)",
    gone="UPDATE public.attachments AS a SET lon_e7 = NULL, lat_e7 = NULL FROM due WHERE a.id = due.id",
)
"""The place in a photo goes with the coordinates of check-ins of its age (ruling 22)."""

for _name, _text in (
    ("forget_attachments", FORGET),
    ("fade_attachments", FADE),
    ("forget_attachment_places", FORGET_PLACES),
):
    db.add_function(f"{_name}(before timestamptz, at_most integer)", "integer", _text)
