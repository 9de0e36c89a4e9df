"""Attachments, what they are attached to, and what alone may take them out of the record.

The functions are copies of server.attachments.functions as it was when this migration was written.
"""

import sqlalchemy as sa
from alembic import op

from server.migrations import online

revision = "0018"
down_revision = "0017"
works_with = "0004"
branch_labels = None
depends_on = None

# Frozen: what a later version adds to these is no matter of this migration.
TYPES = ("image/jpeg", "image/png", "image/webp", "application/pdf")
STATES = ("open", "storing", "ready", "refused", "discarded", "faded")
OWNERS = ("work-log", "leave", "duty", "correction", "appeal", "finding")
LOOKS_BEFORE = ("months", "month", "check-ins", "position", "attempts", "request", "signals", "evidence")
LOOKS = (*LOOKS_BEFORE, "attachment")
FUNCTIONS = (
    """CREATE FUNCTION forget_attachments(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT a.id FROM public.attachments AS a JOIN public.accounts AS c ON c.id = a.account_id
    WHERE a.linked_at IS NULL AND a.made_at < before AND a.made_at < now() - interval '1 hour'
        AND NOT public.held(c.person_id, NULL)
    LIMIT at_most FOR UPDATE OF a SKIP LOCKED),
gone AS (DELETE FROM public.attachments AS a USING due WHERE a.id = due.id RETURNING a.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'attachments:forget', 'before', before::text, jsonb_build_object('attachments', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION fade_attachments(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT a.id FROM public.attachments AS a JOIN public.accounts AS c ON c.id = a.account_id
    WHERE a.linked_at IS NOT NULL AND a.state = 'ready' AND a.made_at < before
        AND a.made_at < now() - interval '1 year' AND NOT public.held(c.person_id, NULL)
    LIMIT at_most FOR UPDATE OF a SKIP LOCKED),
gone AS (UPDATE public.attachments AS a SET state = 'faded', content = NULL, name = '', taken_at = NULL,
        lon_e7 = NULL, lat_e7 = NULL FROM due WHERE a.id = due.id RETURNING a.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'attachments:fade', 'before', before::text, jsonb_build_object('attachments', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
    """CREATE FUNCTION forget_attachment_places(before timestamptz, at_most integer)
RETURNS integer LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
WITH due AS (SELECT a.id FROM public.attachments AS a JOIN public.accounts AS c ON c.id = a.account_id
    WHERE a.lon_e7 IS NOT NULL AND a.made_at < before
        AND public.fading_open((a.made_at AT TIME ZONE 'Asia/Shanghai')::date, '')
        AND NOT public.held(c.person_id, (a.made_at AT TIME ZONE 'Asia/Shanghai')::date)
    LIMIT at_most FOR UPDATE OF a SKIP LOCKED),
gone AS (UPDATE public.attachments AS a SET lon_e7 = NULL, lat_e7 = NULL FROM due WHERE a.id = due.id RETURNING a.id),
counted AS (SELECT count(*)::integer AS number FROM gone),
told AS (INSERT INTO public.audit_log (at, actor_id, deed, subject_kind, subject_id, details)
    SELECT now(), NULL, 'attachments:forget-places', 'before', before::text, jsonb_build_object('attachments', number)
    FROM counted WHERE number > 0)
SELECT number FROM counted
$$""",
)
NAMES = ("forget_attachments", "fade_attachments", "forget_attachment_places")


def _in(column: str, values: tuple[str, ...]) -> str:
    allowed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({allowed})"


def _one_of(table: str, column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    return sa.CheckConstraint(_in(column, values), name=op.f(f"{table}_{column}_check"))


def upgrade() -> None:
    # First, because it commits: what is made below is made in one transaction.
    online.add_check("looks_what_check", "looks", _in("what", LOOKS))
    op.create_table(
        "attachments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("declared_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("keep_position", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lon_e7", sa.Integer(), nullable=True),
        sa.Column("lat_e7", sa.Integer(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=True),
        _one_of("attachments", "declared_type", TYPES),
        _one_of("attachments", "state", STATES),
        _one_of("attachments", "media_type", TYPES),
        sa.CheckConstraint(
            "(content IS NOT NULL) = (state IN ('storing', 'ready'))", name=op.f("attachments_content_check")
        ),
        sa.CheckConstraint(
            "(refusal IS NOT NULL) = (state = 'refused')", name=op.f("attachments_refusal_check")
        ),
        sa.CheckConstraint("content ~ '^[0-9a-f]{64}$'", name=op.f("attachments_content_name_check")),
        sa.CheckConstraint("size > 0", name=op.f("attachments_size_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("attachments_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("attachments_pkey")),
    )
    op.create_index(op.f("attachments_account_id_made_at_idx"), "attachments", ["account_id", "made_at"])
    op.create_index(op.f("attachments_content_idx"), "attachments", ["content"])
    op.create_index(
        op.f("attachments_made_at_idx"),
        "attachments",
        ["made_at"],
        postgresql_where=sa.text("linked_at IS NULL"),
    )
    op.create_table(
        "attachment_links",
        sa.Column("attachment_id", sa.Uuid(), nullable=False),
        sa.Column("owner_kind", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_by", sa.Uuid(), nullable=False),
        _one_of("attachment_links", "owner_kind", OWNERS),
        sa.ForeignKeyConstraint(
            ["attachment_id"], ["attachments.id"], name=op.f("attachment_links_attachment_id_fkey")
        ),
        sa.PrimaryKeyConstraint(
            "attachment_id", "owner_kind", "owner_id", name=op.f("attachment_links_pkey")
        ),
    )
    op.create_index(op.f("attachment_links_owner_id_idx"), "attachment_links", ["owner_id"])
    for text in FUNCTIONS:
        op.execute(text)
    for name in NAMES:
        op.execute(f"REVOKE ALL ON FUNCTION {name}(timestamptz, integer) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DELETE FROM looks WHERE what = 'attachment'")
    online.add_check("looks_what_check", "looks", _in("what", LOOKS_BEFORE))
    for name in reversed(NAMES):
        op.execute(f"DROP FUNCTION {name}(timestamptz, integer)")
    op.drop_table("attachment_links")
    op.drop_table("attachments")
