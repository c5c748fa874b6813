"""What the tests of dispatch are given."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from .world import Cafe


@pytest.fixture
def cafe(db: Engine) -> Cafe:
    return Cafe(db)
