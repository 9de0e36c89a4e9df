"""${message}."""
<%text>
# The rules of a migration; `tests/migrations` holds it to them (DECISIONS.md, "Migrations").
#
# - People are checking in while it runs. A lock on a table in use is waited for at most half a second and held for
#   milliseconds: indexes, constraints, NOT NULL and backfills of tables in use go through `server.migrations.online`.
# - Touch one table in use in a transaction, so that two locks are never waited for together.
# - Never on a table in use: a column NOT NULL without a constant default, a changed type, a rename, TRUNCATE, LOCK.
# - What runs after `online....` has left the transaction must be repeatable, and so must everything before it
#   (IF NOT EXISTS): a migration that was interrupted is run again from its beginning.
# - Expand first: the version that is running goes on working. `works_with` is the oldest revision whose code can use
#   the schema afterwards: that of `down_revision` when something is only added, and `down_revision` itself when
#   something goes away that the code before it still used. A column goes in two releases: first the code stops using
#   it (and it becomes nullable), then it is dropped.
# - Down undoes up, and a test in tests/migrations with rows in the tables shows it.
</%text>
import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

from server.migrations import online
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
works_with = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
