"""The foundation: regions, roster, accounts, check-ins, months."""

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
works_with = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("deed", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(
        op.f("audit_log_subject_kind_subject_id_idx"),
        "audit_log",
        ["subject_kind", "subject_id"],
        unique=False,
    )
    op.create_table(
        "boundary_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("accuracy_m", sa.Double(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("imported_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decision_note", sa.Text(), nullable=True),
        sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "(state = 'open') = (decided_at IS NULL)", name=op.f("boundary_imports_decided_check")
        ),
        sa.CheckConstraint(
            "kind IN ('village', 'town_seat', 'urban', 'duty_place')",
            name=op.f("boundary_imports_kind_check"),
        ),
        sa.CheckConstraint(
            "source IN ('file', 'circle', 'ending')", name=op.f("boundary_imports_source_check")
        ),
        sa.CheckConstraint(
            "state IN ('open', 'published', 'rejected')", name=op.f("boundary_imports_state_check")
        ),
        sa.CheckConstraint(
            "accuracy_m >= 0 AND accuracy_m <= 1000", name=op.f("boundary_imports_accuracy_m_check")
        ),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("boundary_imports_validity_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("boundary_imports_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(
        op.f("boundary_imports_imported_at_id_idx"), "boundary_imports", ["imported_at", "id"], unique=False
    )
    op.create_table(
        "calendar_years",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("days", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("calendar_years_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("calendar_years_year_idx"), "calendar_years", ["year"], unique=False)
    op.create_table(
        "checkin_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("checkin_attempts_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(
        op.f("checkin_attempts_person_id_id_idx"), "checkin_attempts", ["person_id", "id"], unique=False
    )
    op.create_table(
        "checkin_judgements",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("band", sa.Text(), nullable=True),
        sa.Column("margin_m", sa.REAL(), nullable=True),
        sa.Column("p_inside", sa.REAL(), nullable=True),
        sa.Column("p_zone", sa.REAL(), nullable=True),
        sa.Column("posting_id", sa.Uuid(), nullable=True),
        sa.Column("village_code", sa.Text(), nullable=True),
        sa.Column("zone_name", sa.Text(), nullable=True),
        sa.Column("versions", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.CheckConstraint(
            "standing IN ('counted', 'provisional', 'claimed', 'not-counted')",
            name=op.f("checkin_judgements_standing_check"),
        ),
        sa.CheckConstraint(
            "verdict IN ('inside', 'unsure', 'outside', 'town', 'unusable', 'no_fence', 'not_posted')",
            name=op.f("checkin_judgements_verdict_check"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("checkin_judgements_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(
        op.f("checkin_judgements_person_id_checkin_id_seq_idx"),
        "checkin_judgements",
        ["person_id", "checkin_id", "seq"],
        unique=False,
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
    op.create_table(
        "checkin_withdrawals",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("checkin_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "checkin_id", name=op.f("checkin_withdrawals_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
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
        "job_runs",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job", "period", "subject", name=op.f("job_runs_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_table(
        "person_months",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("sure", sa.BigInteger(), nullable=False),
        sa.Column("unsure", sa.BigInteger(), nullable=False),
        sa.Column("unfenced", sa.BigInteger(), nullable=False),
        sa.Column("outside", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("extract(day from month) = 1", name=op.f("person_months_is_a_month_check")),
        sa.PrimaryKeyConstraint("person_id", "month", name=op.f("person_months_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(op.f("person_months_month_idx"), "person_months", ["month"], unique=False)
    op.create_table(
        "policies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("region_prefix", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_by", sa.Text(), nullable=True),
        sa.Column("retroactive_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(published_at IS NULL) = (published_by IS NULL)",
            name=op.f("policies_published_by_someone_check"),
        ),
        sa.CheckConstraint("extract(day from valid_from) = 1", name=op.f("policies_begins_a_month_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("policies_pkey")),
        sa.UniqueConstraint(
            "region_prefix", "code", "version", name=op.f("policies_region_prefix_code_version_key")
        ),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_table(
        "regions",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("urban_rural_class", sa.Text(), nullable=True),
        sa.Column("parent_code", sa.Text(), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.CheckConstraint("code ~ '^[0-9]{12}$'", name=op.f("regions_code_check")),
        sa.CheckConstraint(
            "kind IN ('province', 'city', 'district', 'town', 'street', 'village', 'community')",
            name=op.f("regions_kind_check"),
        ),
        sa.CheckConstraint(
            "urban_rural_class ~ '^[12][0-9]{2}$'", name=op.f("regions_urban_rural_class_check")
        ),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("regions_validity_check")),
        sa.ForeignKeyConstraint(["parent_code"], ["regions.code"], name=op.f("regions_parent_code_fkey")),
        sa.PrimaryKeyConstraint("code", name=op.f("regions_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(op.f("regions_parent_code_idx"), "regions", ["parent_code"], unique=False)
    op.create_table(
        "roster_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("rows_new", sa.Integer(), nullable=False),
        sa.Column("rows_changed", sa.Integer(), nullable=False),
        sa.Column("rows_unchanged", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("roster_imports_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("roster_imports_sha256_idx"), "roster_imports", ["sha256"], unique=False)
    op.create_table(
        "state_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("state_versions_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_table(
        "throttles",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('account', 'address', 'device', 'session')", name=op.f("throttles_kind_check")
        ),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("throttles_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE, DELETE"},
    )
    op.create_index(op.f("throttles_touched_at_idx"), "throttles", ["touched_at"], unique=False)
    op.create_table(
        "units",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("units_pkey")),
        sa.UniqueConstraint("name", name=op.f("units_name_key")),
        sa.UniqueConstraint("number", name=op.f("units_number_key")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_table(
        "boundary_acceptances",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["import_id"], ["boundary_imports.id"], name=op.f("boundary_acceptances_import_id_fkey")
        ),
        sa.PrimaryKeyConstraint("import_id", "index", "code", name=op.f("boundary_acceptances_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_geospatial_table(
        "boundary_features",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("region_code", sa.Text(), nullable=True),
        sa.Column(
            "shape",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
            ),
            nullable=True,
        ),
        sa.Column(
            "repaired",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
            ),
            nullable=True,
        ),
        sa.CheckConstraint(
            "kind IN ('village', 'town_seat', 'urban', 'duty_place')",
            name=op.f("boundary_features_kind_check"),
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["boundary_imports.id"], name=op.f("boundary_features_import_id_fkey")
        ),
        sa.PrimaryKeyConstraint("import_id", "index", name=op.f("boundary_features_pkey")),
    )
    op.create_table(
        "boundary_reports",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("text_zh", sa.Text(), nullable=False),
        sa.Column("text_en", sa.Text(), nullable=False),
        sa.Column("svg", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["boundary_imports.id"], name=op.f("boundary_reports_import_id_fkey")
        ),
        sa.PrimaryKeyConstraint("import_id", name=op.f("boundary_reports_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_table(
        "people",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("unit_id", sa.Uuid(), nullable=True),
        sa.Column("kept_by", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("people_unit_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("people_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index("people_number_key", "people", [sa.literal_column("lower(number)")], unique=True)
    op.create_index(op.f("people_unit_id_idx"), "people", ["unit_id"], unique=False)
    op.create_geospatial_table(
        "region_outlines",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column(
            "shape",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
                nullable=False,
            ),
            nullable=False,
        ),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["code"], ["regions.code"], name=op.f("region_outlines_code_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("region_outlines_pkey")),
    )
    op.create_index(op.f("region_outlines_code_id_idx"), "region_outlines", ["code", "id"], unique=False)
    op.create_table(
        "region_successors",
        sa.Column("from_code", sa.Text(), nullable=False),
        sa.Column("to_code", sa.Text(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.CheckConstraint("from_code <> to_code", name=op.f("region_successors_differs_check")),
        sa.ForeignKeyConstraint(
            ["from_code"], ["regions.code"], name=op.f("region_successors_from_code_fkey")
        ),
        sa.ForeignKeyConstraint(["to_code"], ["regions.code"], name=op.f("region_successors_to_code_fkey")),
        sa.PrimaryKeyConstraint("from_code", name=op.f("region_successors_pkey")),
        info={"grant": "SELECT, INSERT, DELETE"},
    )
    op.create_index(op.f("region_successors_to_code_idx"), "region_successors", ["to_code"], unique=False)
    op.create_table(
        "region_versions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("urban_rural_class", sa.Text(), nullable=True),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["code"], ["regions.code"], name=op.f("region_versions_code_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("region_versions_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(
        op.f("region_versions_code_from_day_id_idx"),
        "region_versions",
        ["code", "from_day", "id"],
        unique=False,
    )
    op.create_table(
        "zones",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("region_code", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('village', 'town_seat', 'urban', 'duty_place')", name=op.f("zones_kind_check")
        ),
        sa.ForeignKeyConstraint(["region_code"], ["regions.code"], name=op.f("zones_region_code_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("zones_pkey")),
        sa.UniqueConstraint("kind", "region_code", "reference", name="zones_identity_key"),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(op.f("zones_region_code_idx"), "zones", ["region_code"], unique=False)
    op.create_index(
        "zones_village_key",
        "zones",
        ["region_code"],
        unique=True,
        postgresql_where=sa.text("kind = 'village'"),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("password_changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("login ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'", name=op.f("accounts_login_check")),
        sa.CheckConstraint("region ~ '^[0-9]{0,12}$'", name=op.f("accounts_region_check")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("accounts_person_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("accounts_pkey")),
        sa.UniqueConstraint("login", name=op.f("accounts_login_key")),
        sa.UniqueConstraint("person_id", name=op.f("accounts_person_id_key")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(
        op.f("accounts_region_idx"),
        "accounts",
        ["region"],
        unique=False,
        postgresql_ops={"region": "text_pattern_ops"},
    )
    op.create_table(
        "postings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.Column("until_day", sa.Date(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        postgresql.ExcludeConstraint(
            (sa.column("person_id"), "="),
            (sa.column("village_code"), "="),
            (sa.text("daterange(from_day, until_day + 1, '[)')"), "&&"),
            deferrable="True",
            initially="IMMEDIATE",
            using="gist",
            name="postings_no_overlap_excl",
        ),
        sa.CheckConstraint(
            "(end_reason IS DISTINCT FROM 'entered_in_error' AND (until_day IS NULL OR until_day >= from_day)) OR (end_reason IS NOT DISTINCT FROM 'entered_in_error' AND until_day = from_day - 1)",
            name=op.f("postings_days_check"),
        ),
        sa.CheckConstraint(
            "end_reason IN ('term_over', 'recalled', 'retired', 'transferred', 'deceased', 'other', 'entered_in_error')",
            name=op.f("postings_end_reason_check"),
        ),
        sa.CheckConstraint("role IN ('first_secretary', 'member')", name=op.f("postings_role_check")),
        sa.CheckConstraint("end_reason IS NULL OR until_day IS NOT NULL", name=op.f("postings_ended_check")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("postings_person_id_fkey")),
        sa.ForeignKeyConstraint(["village_code"], ["regions.code"], name=op.f("postings_village_code_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("postings_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(
        op.f("postings_person_id_from_day_idx"), "postings", ["person_id", "from_day"], unique=False
    )
    op.create_index(
        op.f("postings_village_code_idx"),
        "postings",
        ["village_code"],
        unique=False,
        postgresql_ops={"village_code": "text_pattern_ops"},
    )
    op.create_geospatial_table(
        "zone_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("zone_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "shape",
            Geometry(
                geometry_type="MULTIPOLYGON",
                srid=4326,
                dimension=2,
                spatial_index=False,
                from_text="ST_GeomFromEWKT",
                name="geometry",
            ),
            nullable=True,
        ),
        sa.Column("vertices", sa.Integer(), nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=False),
        sa.Column("accuracy_m", sa.Double(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=True),
        sa.Column("import_id", sa.Uuid(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "accuracy_m >= 0 AND accuracy_m <= 1000", name=op.f("zone_versions_accuracy_m_check")
        ),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("zone_versions_validity_check")),
        sa.ForeignKeyConstraint(
            ["import_id"], ["boundary_imports.id"], name=op.f("zone_versions_import_id_fkey")
        ),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("zone_versions_zone_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("zone_versions_pkey")),
        sa.UniqueConstraint("seq", name=op.f("zone_versions_seq_key")),
    )
    op.create_geospatial_index(
        "idx_zone_versions_shape",
        "zone_versions",
        ["shape"],
        unique=False,
        postgresql_using="gist",
        postgresql_ops={},
    )
    op.create_index(op.f("zone_versions_import_id_idx"), "zone_versions", ["import_id"], unique=False)
    op.create_index(
        op.f("zone_versions_zone_id_idx"),
        "zone_versions",
        ["zone_id", sa.literal_column("seq DESC")],
        unique=False,
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Uuid(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assignment", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(role = 'unit_viewer') = (unit_id IS NOT NULL)", name=op.f("grants_unit_check")),
        sa.CheckConstraint("region ~ '^[0-9]{0,12}$'", name=op.f("grants_region_check")),
        sa.CheckConstraint(
            "role IN ('administrator', 'unit_viewer') = (region = '')", name=op.f("grants_scope_check")
        ),
        sa.CheckConstraint(
            "role IN ('cadre', 'village_clerk', 'town_officer', 'inspector', 'district_officer', 'unit_viewer', 'administrator')",
            name=op.f("grants_role_check"),
        ),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("grants_validity_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("grants_account_id_fkey")),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("grants_unit_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("grants_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_index(op.f("grants_account_id_idx"), "grants", ["account_id"], unique=False)
    op.create_table(
        "known_devices",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("known_devices_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("known_devices_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE, DELETE"},
    )
    op.create_index(op.f("known_devices_account_id_idx"), "known_devices", ["account_id"], unique=False)
    op.create_table(
        "one_time_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("void_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("one_time_codes_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("one_time_codes_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(
        "one_time_codes_live_key",
        "one_time_codes",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text("used_at IS NULL AND void_at IS NULL"),
    )
    op.create_table(
        "posting_history",
        sa.Column("posting_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["posting_id"], ["postings.id"], name=op.f("posting_history_posting_id_fkey")
        ),
        sa.PrimaryKeyConstraint("posting_id", "version", name=op.f("posting_history_pkey")),
        info={"grant": "SELECT, INSERT"},
    )
    op.create_table(
        "posting_places",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("posting_id", sa.Uuid(), nullable=False),
        sa.Column("zone_id", sa.Uuid(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.Column("until_day", sa.Date(), nullable=True),
        postgresql.ExcludeConstraint(
            (sa.column("posting_id"), "="),
            (sa.column("zone_id"), "="),
            (sa.text("daterange(from_day, until_day + 1, '[)')"), "&&"),
            using="gist",
            name="posting_places_no_overlap_excl",
        ),
        sa.CheckConstraint(
            "until_day IS NULL OR until_day >= from_day - 1", name=op.f("posting_places_days_check")
        ),
        sa.ForeignKeyConstraint(["posting_id"], ["postings.id"], name=op.f("posting_places_posting_id_fkey")),
        sa.ForeignKeyConstraint(["zone_id"], ["zones.id"], name=op.f("posting_places_zone_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("posting_places_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_table(
        "roster_rows",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("from_day", sa.Date(), nullable=False),
        sa.Column("posting_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("until_day", sa.Date(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("person_digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["roster_imports.id"], name=op.f("roster_rows_import_id_fkey")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("roster_rows_person_id_fkey")),
        sa.ForeignKeyConstraint(["posting_id"], ["postings.id"], name=op.f("roster_rows_posting_id_fkey")),
        sa.ForeignKeyConstraint(
            ["village_code"], ["regions.code"], name=op.f("roster_rows_village_code_fkey")
        ),
        sa.PrimaryKeyConstraint("person_id", "village_code", "from_day", name=op.f("roster_rows_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("refresh_key", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("sessions_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("sessions_pkey")),
        info={"grant": "SELECT, INSERT, UPDATE"},
    )
    op.create_index(
        "sessions_account_id_idx",
        "sessions",
        ["account_id", "id"],
        unique=False,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "grant_revocations",
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.id"], name=op.f("grant_revocations_grant_id_fkey")),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("grant_revocations_pkey")),
        info={"grant": "SELECT, INSERT"},
    )


def downgrade() -> None:
    op.drop_table("grant_revocations")
    op.drop_index(
        "sessions_account_id_idx", table_name="sessions", postgresql_where=sa.text("revoked_at IS NULL")
    )
    op.drop_table("sessions")
    op.drop_table("roster_rows")
    op.drop_table("posting_places")
    op.drop_table("posting_history")
    op.drop_index(
        "one_time_codes_live_key",
        table_name="one_time_codes",
        postgresql_where=sa.text("used_at IS NULL AND void_at IS NULL"),
    )
    op.drop_table("one_time_codes")
    op.drop_index(op.f("known_devices_account_id_idx"), table_name="known_devices")
    op.drop_table("known_devices")
    op.drop_index(op.f("grants_account_id_idx"), table_name="grants")
    op.drop_table("grants")
    op.drop_index(op.f("zone_versions_zone_id_idx"), table_name="zone_versions")
    op.drop_index(op.f("zone_versions_import_id_idx"), table_name="zone_versions")
    op.drop_geospatial_index(
        "idx_zone_versions_shape", table_name="zone_versions", postgresql_using="gist", column_name="shape"
    )
    op.drop_geospatial_table("zone_versions")
    op.drop_index(
        op.f("postings_village_code_idx"),
        table_name="postings",
        postgresql_ops={"village_code": "text_pattern_ops"},
    )
    op.drop_index(op.f("postings_person_id_from_day_idx"), table_name="postings")
    op.drop_table("postings")
    op.drop_index(
        op.f("accounts_region_idx"), table_name="accounts", postgresql_ops={"region": "text_pattern_ops"}
    )
    op.drop_table("accounts")
    op.drop_index("zones_village_key", table_name="zones", postgresql_where=sa.text("kind = 'village'"))
    op.drop_index(op.f("zones_region_code_idx"), table_name="zones")
    op.drop_table("zones")
    op.drop_index(op.f("region_versions_code_from_day_id_idx"), table_name="region_versions")
    op.drop_table("region_versions")
    op.drop_index(op.f("region_successors_to_code_idx"), table_name="region_successors")
    op.drop_table("region_successors")
    op.drop_index(op.f("region_outlines_code_id_idx"), table_name="region_outlines")
    op.drop_geospatial_table("region_outlines")
    op.drop_index(op.f("people_unit_id_idx"), table_name="people")
    op.drop_index("people_number_key", table_name="people")
    op.drop_table("people")
    op.drop_table("boundary_reports")
    op.drop_geospatial_table("boundary_features")
    op.drop_table("boundary_acceptances")
    op.drop_table("units")
    op.drop_index(op.f("throttles_touched_at_idx"), table_name="throttles")
    op.drop_table("throttles")
    op.drop_table("state_versions")
    op.drop_index(op.f("roster_imports_sha256_idx"), table_name="roster_imports")
    op.drop_table("roster_imports")
    op.drop_index(op.f("regions_parent_code_idx"), table_name="regions")
    op.drop_table("regions")
    op.drop_table("policies")
    op.drop_index(op.f("person_months_month_idx"), table_name="person_months")
    op.drop_table("person_months")
    op.drop_table("job_runs")
    op.drop_index(op.f("checkins_received_at_idx"), table_name="checkins", postgresql_using="brin")
    op.drop_index(op.f("checkins_day_idx"), table_name="checkins", postgresql_using="brin")
    op.drop_table("checkins")
    op.drop_table("checkin_withdrawals")
    op.drop_table("checkin_positions")
    op.drop_index(op.f("checkin_judgements_person_id_checkin_id_seq_idx"), table_name="checkin_judgements")
    op.drop_table("checkin_judgements")
    op.drop_index(op.f("checkin_attempts_person_id_id_idx"), table_name="checkin_attempts")
    op.drop_table("checkin_attempts")
    op.drop_index(op.f("calendar_years_year_idx"), table_name="calendar_years")
    op.drop_table("calendar_years")
    op.drop_index(op.f("boundary_imports_imported_at_id_idx"), table_name="boundary_imports")
    op.drop_table("boundary_imports")
    op.drop_index(op.f("audit_log_subject_kind_subject_id_idx"), table_name="audit_log")
    op.drop_table("audit_log")
