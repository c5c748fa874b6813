"""Whether a journey stops: the guest came back, or ``stop_if`` holds."""

from __future__ import annotations

from datetime import datetime, timedelta

from small_world import Cafe, at, rule_of

from engine.database.facts import bring_to, rebuild
from engine.evaluation.stop import why_stopped

MATCHED = at("2026-05-30 10:00")
LATER = MATCHED + timedelta(days=5)
LAPSED = "trigger:\n  lapsed: 90 days\n"


def stopped(cafe: Cafe, rule: str, guest: int, now: datetime = LATER) -> str | None:
    with cafe.db.begin() as conn:
        rebuild(conn, now)
        bring_to(conn, now)
        return why_stopped(conn, cafe.home, rule_of(rule), customer_id=guest, matched_at=MATCHED, as_of=now)


def lapsed_guest(cafe: Cafe) -> int:
    guest = cafe.guest()
    cafe.order(guest, at("2026-03-01 12:00"))
    return guest


def test_coming_back_stops_a_rule_of_absence(cafe: Cafe) -> None:
    guest = lapsed_guest(cafe)
    assert stopped(cafe, LAPSED, guest) is None
    back = cafe.order(guest, MATCHED + timedelta(seconds=1))
    assert stopped(cafe, LAPSED, guest) == "came_back"
    assert stopped(cafe, "trigger:\n  at_risk:\n", guest) == "came_back"
    assert stopped(cafe, "trigger:\n  birthday:\n", guest) is None
    cafe.refund(back, LATER)
    assert stopped(cafe, LAPSED, guest) is None


def test_an_order_that_lies_ahead_is_no_return(cafe: Cafe) -> None:
    guest = lapsed_guest(cafe)
    cafe.order(guest, LATER + timedelta(seconds=1))
    assert stopped(cafe, LAPSED, guest) is None


def test_who_was_back_before_the_match_in_a_file_that_came_late_is_back(cafe: Cafe) -> None:
    guest = lapsed_guest(cafe)
    cafe.order(guest, at("2026-03-01 18:00"))
    assert stopped(cafe, LAPSED, guest) is None
    cafe.order(guest, MATCHED - timedelta(days=3))
    assert stopped(cafe, LAPSED, guest) == "came_back"
    assert stopped(cafe, "trigger:\n  at_risk:\n    at_least: 2 days\n", guest) is None


def test_for_a_kind_of_order_only_that_kind_is_a_return(cafe: Cafe) -> None:
    guest, rule = lapsed_guest(cafe), "trigger:\n  lapsed:\n    after: 90 days\n    category: lunch\n"
    cafe.order(guest, LATER, items=(("Latte", "Coffee"),))
    assert stopped(cafe, rule, guest) is None
    cafe.order(guest, LATER, items=(("Soup", "Lunch"),))
    assert stopped(cafe, rule, guest) == "came_back"


def test_stop_if_looks_at_what_came_after_the_match(cafe: Cafe) -> None:
    guest = lapsed_guest(cafe)
    rule = "trigger:\n  birthday:\nstop_if:\n  visits:\n    since: match\n    at_least: 1\n"
    cafe.order(guest, MATCHED)
    assert stopped(cafe, rule, guest) is None
    cafe.order(guest, MATCHED + timedelta(seconds=1))
    assert stopped(cafe, rule, guest) == "stop_if"


def test_all_of_stop_if_must_hold(cafe: Cafe) -> None:
    guest = cafe.guest(tier="Gold")
    rule = "trigger:\n  birthday:\nstop_if:\n  tier: gold\n  spend:\n    since: match\n    more_than: 20\n"
    cafe.order(guest, LATER, 2000)
    assert stopped(cafe, rule, guest) is None
    cafe.order(guest, LATER, 1)
    assert stopped(cafe, rule, guest) == "stop_if"


def test_an_erased_guest_is_the_fences_business(cafe: Cafe) -> None:
    assert stopped(cafe, LAPSED, cafe.guest() + 1) is None
