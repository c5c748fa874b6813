"""The first release's tables."""

from __future__ import annotations

from engine.database.migrations.first import decisions, guests, orders

revision = "0001"
down_revision = None


def upgrade() -> None:
    guests.create()
    orders.create()
    decisions.create()
