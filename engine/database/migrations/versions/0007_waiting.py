"""What waits and what is under way is found without the ledger of years beside it.

What is due is looked for by channel: a step inside the database behind a hundred thousand emails was found by going
through them all. What is too late has an index of its own. What a worker has was in an index that SQLite never read.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the indexes of the outbox anew."""
    op.drop_index("ix_dispatches_due", table_name="dispatches")
    op.drop_index("ix_dispatches_open", table_name="dispatches")
    _index("ix_dispatches_due", ["channel", "due_at", "priority", "id"], "state = 'pending'")
    _index("ix_dispatches_waiting", ["state", "expires_at", "id"], "state IN ('held', 'pending')")
    _index("ix_dispatches_taken", ["state", "leased_until"], "state IN ('claimed', 'dead', 'handoff', 'uncertain')")


def _index(name: str, columns: list[str], holds: str) -> None:
    where = sa.text(holds)
    op.create_index(name, "dispatches", columns, sqlite_where=where, postgresql_where=where)
