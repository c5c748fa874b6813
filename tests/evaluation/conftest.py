"""The small café, on both databases."""

from __future__ import annotations

import pytest
from small_world import Cafe
from sqlalchemy import BigInteger, Engine, Text, cast, func, select

from engine.database import touched


@pytest.fixture
def cafe(db: Engine) -> Cafe:
    return Cafe(db)


@pytest.fixture
def alone(db: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes on the server: what another test keeps open in its database there would hold ticks back."""
    if db.dialect.name == "postgresql":
        own = func.pg_current_xact_id_if_assigned()  # NULL before it writes, and then the next number counts alone
        present = func.least(func.pg_snapshot_xmax(func.pg_current_snapshot()), own)
        monkeypatch.setattr(touched, "_PRESENT", select(cast(cast(present, Text), BigInteger)))
