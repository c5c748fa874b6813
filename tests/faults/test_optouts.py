"""An opt-out against a message at the fence, in every order; and that these orders would find a fence without its lock."""

import pytest

from engine.database import consent

from .optouts import FAULTS, interleaved
from .places import place


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_nothing_passes_the_fence_after_an_opt_outs_commit_and_what_passed_before_is_sent(sample, fault):
    row = sample(fault)
    for why in ("no_consent", "suppressed", "erased"):  # both orders came up
        assert f"{why}: passed" in row.note
        assert f"{why}: kept in" in row.note
    assert "fought" not in row.note  # no deadlock, and nobody waited in vain


def test_without_the_endpoints_lock_these_orders_find_a_message_that_passed_too_late(monkeypatch, postgres_server):
    monkeypatch.setattr(consent, "lock_endpoints", lambda *_: None)
    for seed in range(20):
        with place("postgres") as where:
            counts, _ = interleaved(where, 30, seed)
        if any("passed the fence after it was written" in each for each in counts.wrong):
            return
    pytest.fail("600 orders without the lock, and none of them found it out")
