"""What a large base needs of the tables."""

from __future__ import annotations

from engine.database.migrations.growth import facts, ledger, touched

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Change the tables step by step."""
    ledger.upgrade()
    touched.upgrade()
    facts.upgrade()
