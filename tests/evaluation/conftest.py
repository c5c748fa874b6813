"""The small café, on both databases."""

from __future__ import annotations

import pytest
from small_world import Cafe
from sqlalchemy import Engine


@pytest.fixture
def cafe(db: Engine) -> Cafe:
    return Cafe(db)
