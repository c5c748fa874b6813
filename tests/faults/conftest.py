"""Runs the part of a fault that `make test` has the time for."""

from __future__ import annotations

import os

import pytest

from .tally import ForbiddenError, MissingError, Scale


@pytest.fixture
def sample():
    """Call ``sample(fault)``: the row of a sample, which has held. Skips, or fails in CI, where something is missing."""

    def run(fault, **scale):
        try:
            row = fault(Scale(**scale))
        except MissingError as reason:
            if os.environ.get("REGULARS_REQUIRE_FAULTS") == "1" and not isinstance(reason, ForbiddenError):
                pytest.fail(f"REGULARS_REQUIRE_FAULTS=1, but: {reason}", pytrace=False)
            pytest.skip(str(reason))
        assert row.held, row
        return row

    return run
