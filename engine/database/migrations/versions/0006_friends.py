"""Who brought whom is asked of few guests: the index holds these alone, and begins with whom they name.

One that began with the source was taken by PostgreSQL for every guest of a till whose first file was being taken in:
it had no statistics of that source yet, and went through all its guests for each id.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the one index anew."""
    op.drop_index("ix_customers_source_customers_referred_by", table_name="customers")
    known = sa.text("referred_by IS NOT NULL")
    columns = ["referred_by", "source"]
    op.create_index("ix_customers_referred_by", "customers", columns, sqlite_where=known, postgresql_where=known)
