"""What a run writes is entered into an index only once the index has something to say of it.

Whom a message went to on what day is asked of what was handed over; the rows of a run are not, and each went to a page
of its own in two indexes. So with the addresses of a match that has none, and with coupons that nobody has yet. By the
provider's id nothing was indexed: an erasure, and a callback whose message had lost its answer, went through the
ledger.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make five indexes anew, each of those rows only, and one more."""
    for whose in ("customer", "endpoint"):
        _anew(f"ix_dispatches_{whose}_day", "dispatches", [f"{whose}_id", "handed_day"], "handed_at")
    for channel in ("email", "sms"):
        _anew(f"ix_matches_rule_id_matches_{channel}_id", "matches", ["rule_id", f"{channel}_id"], f"{channel}_id")
    _anew("ix_coupons_valid_until", "coupons", ["valid_until"], "valid_until")
    _index("ix_dispatches_provider_id", "dispatches", ["provider_id"], "provider_id")


def _anew(name: str, table: str, columns: list[str], known: str) -> None:
    op.drop_index(name, table_name=table)
    _index(name, table, columns, known)


def _index(name: str, table: str, columns: list[str], known: str) -> None:
    where = sa.text(f"{known} IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
