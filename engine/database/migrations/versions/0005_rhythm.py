"""Guests who stay away: how many gaps stands before the sum of them, so that a range of sums is one range."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the one index anew."""
    name, columns = "ix_customer_facts_absence", ["last_order_day", "zone_id", "gaps", "gap_days"]
    op.drop_index(name, table_name="customer_facts")
    op.create_index(name, "customer_facts", columns, postgresql_include=["customer_id"])
