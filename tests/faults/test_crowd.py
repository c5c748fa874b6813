"""A sample of the random kills of several workers at once."""

import pytest

from .crowd import FAULTS


@pytest.mark.parametrize("fault", FAULTS)
def test_workers_killed_at_random_and_begun_again_send_nothing_twice_and_lose_nothing(fault, sample, postgres_server):
    row = sample(FAULTS[fault])
    assert row.tries >= 30
    assert "accepted 0;" in row.note
