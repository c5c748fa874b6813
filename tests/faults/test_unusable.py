"""A sample of databases that cannot be used: locked, read-only, damaged, gone."""

import pytest

from .unusable import FAULTS


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_sent_from_what_cannot_be_trusted_and_the_next_run_finishes_the_day(sample, name):
    row = sample(FAULTS[name])
    assert row.tries >= 2
    if name == "SQLite damaged":
        assert not row.note.startswith("0 ")
