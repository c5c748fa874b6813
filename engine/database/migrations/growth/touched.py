"""Whose facts were written since a rule was evaluated, and the index by which guests who stay away are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column(
        "rules",
        sa.Column(
            "seen_hash",
            sa.LargeBinary(length=32),
            comment="what was evaluated then: trigger, conditions, and what they rest on",
        ),
    )
    op.add_column(
        "rules",
        sa.Column("seen_tick", sa.BigInteger(), comment="of whose facts were written by then: see touched"),
    )
    op.create_table(
        "touched",
        sa.Column("id", _ID, nullable=False),
        sa.Column("tick", sa.BigInteger(), nullable=False, comment="of who wrote them: grows, and is no time"),
        sa.Column("guests", sa.Integer(), nullable=False, comment="how many"),
        sa.Column("customers", sa.Text(), comment="their ids, as JSON; NULL: everybody"),
        sa.Column(
            "since_day", sa.Integer(), comment="each of them has an order of this day or a later one; NULL: not known"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touched")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_touched_tick"), "touched", ["tick"])
    op.drop_index("ix_customer_facts_last_order_day", "customer_facts")
    op.create_index(
        "ix_customer_facts_absence",
        "customer_facts",
        ["last_order_day", "zone_id", "gap_days", "gaps"],
        postgresql_include=["customer_id"],
    )
