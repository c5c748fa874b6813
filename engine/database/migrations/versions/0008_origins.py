"""What a match and a message copy from elsewhere is no longer looked up again for each row that is written.

To ask for the rule, the run, the version, the endpoints and the store of each row took PostgreSQL a third of a run. Who
the guest is, what set it off, and which match a message is of, stay guarded; `regulars verify` asks for the others. One
index of the matches serves a guest's and a rule's; on SQLite what was handed over is indexed when it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_COPIED = {
    "matches": ("rule_id", "run_id", "version_id", "email_id", "sms_id", "store_id"),
    "dispatches": ("rule_id", "customer_id", "endpoint_id", "content_id"),
}


def upgrade() -> None:
    """Let go of the keys, and make the indexes anew."""
    op.drop_index("ix_matches_customer_id_matches_matched_at", table_name="matches")
    op.drop_index("ix_matches_friend_id", table_name="matches")
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in _COPIED.items():
            for column in columns:
                op.drop_constraint(op.f(f"fk_{table}_{column}"), table, type_="foreignkey")
        op.drop_constraint(_unique("rule_id", "customer_id"), "matches", type_="unique")
        op.create_unique_constraint(
            _unique("customer_id", "rule_id"), "matches", ["customer_id", "rule_id", "occasion"]
        )
    else:
        op.drop_index("ix_dispatches_rule_handed", table_name="dispatches")
        for table in _COPIED:
            _rebuild(table)
        _index("ix_dispatches_rule_handed", "dispatches", ["rule_id", "channel", "handed_at"], "handed_at IS NOT NULL")
    _index("ix_matches_friend_id", "matches", ["friend_id"], "friend_id IS NOT NULL")


def _unique(*first: str) -> str:
    return op.f(f"uq_matches_{'_'.join(first)}_occasion")


def _rebuild(table: str) -> None:
    """Make a table of SQLite anew without the keys; its ids are never given again, also those of rows that are gone."""
    counters, conn = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq")), op.get_bind()
    last = conn.scalar(sa.select(counters.c.seq).where(counters.c.name == table))
    with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": True}) as batch:
        for column in _COPIED[table]:
            batch.drop_constraint(op.f(f"fk_{table}_{column}"), type_="foreignkey")
        if table == "matches":
            batch.drop_constraint(_unique("rule_id", "customer_id"), type_="unique")
            batch.create_unique_constraint(_unique("customer_id", "rule_id"), ["customer_id", "rule_id", "occasion"])
    if last is not None:
        op.execute(sa.delete(counters).where(counters.c.name == table))
        op.execute(sa.insert(counters).values(name=table, seq=last))


def _index(name: str, table: str, columns: list[str], holds: str) -> None:
    where = sa.text(holds)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
