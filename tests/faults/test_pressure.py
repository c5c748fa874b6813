"""Two workers and room for one message; and that these orders would find a fence without its locks."""

import pytest

from engine.dispatch import fence, health
from engine.dispatch.budgets import Budgets

from .places import place
from .pressure import FAULTS, contested


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_never_one_too_many_and_what_has_no_room_waits(sample, fault):
    row = sample(fault)
    for each in ("one guest", "one inbox", "the last of a budget"):
        assert f"{each}: 1 of 2" in row.note
    for number in (0, 1):  # the button came first, and last
        assert f"the red button: {number} of 1" in row.note
    assert "fought" not in row.note  # no deadlock, and nobody waited in vain


@pytest.mark.parametrize(
    ("lock", "contest", "says"),
    [
        ("gate", "the red button", "stop: a message passed the fence after the button was pressed"),
        ("endpoint", "one inbox", "capped: 2 went out"),
        ("budget", "the last of a budget", "budget: 2 went out"),
    ],
)
def test_without_a_lock_these_orders_find_one_too_many(monkeypatch, postgres_server, lock, contest, says):
    if lock == "gate":
        monkeypatch.setattr(fence, "pass_gate", lambda _: None)
        monkeypatch.setattr(health, "close_gate", lambda _: None)
    elif lock == "endpoint":
        monkeypatch.setattr(fence, "lock_endpoints", lambda *_: None)
    else:
        monkeypatch.setattr(Budgets, "lock", lambda *_: None)
    with place("postgres") as where:
        counts, _ = contested(where, 60 if lock == "gate" else 20, 1, [contest])
    assert any(each.startswith(f"{contest}: {says}") for each in counts.wrong)
