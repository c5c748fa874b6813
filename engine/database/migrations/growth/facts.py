"""The facts' upkeep: what an order would move in an index of every row is indexed where it tells something only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    _narrow("refresh_at", "refresh_at IS NOT NULL")
    _narrow("stands_from", "stands_from > coalesce(last_order_at, 0)")
    op.drop_index("ix_orders_customer_day", table_name="orders")
    columns = ["customer_id", "day", "ordered_at", "refunded_at", "store_id", "total"]
    op.create_index("ix_orders_customer_day", "orders", columns)


def _narrow(column: str, where: str) -> None:
    name, only = op.f(f"ix_customer_facts_{column}"), sa.text(where)
    op.drop_index(name, table_name="customer_facts")
    op.create_index(name, "customer_facts", [column], sqlite_where=only, postgresql_where=only)
