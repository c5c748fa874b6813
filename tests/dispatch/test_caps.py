"""Caps: on which day there is room for one more."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from engine.dispatch.caps import first_free_day, handed_days

from .world import NOW

counts = st.dictionaries(st.integers(95, 108), st.integers(1, 4), max_size=8).map(Counter)


def fits(day, handed, per_day, per_week):
    """Say it once more in other words: no day, and no seven days, would hold too many with one more on ``day``."""
    for days in handed:
        after = [*days.elements(), day]
        weeks = [sum(1 for each in after if first <= each <= first + 6) for first in range(day - 6, day + 1)]
        if after.count(day) > per_day or max(weeks) > per_week:
            return False
    return True


@given(counts, counts, st.integers(1, 3), st.integers(1, 5))
def test_the_day_found_is_the_first_with_room_for_guest_and_endpoint(guest, endpoint, per_day, per_week):
    found = first_free_day(100, [guest, endpoint], per_day=per_day, per_week=per_week)
    assert fits(found, [guest, endpoint], per_day, per_week)
    assert not any(fits(day, [guest, endpoint], per_day, per_week) for day in range(100, found))


def test_a_week_is_seven_days_in_a_row():
    assert first_free_day(107, [Counter({101: 1, 103: 1})], per_day=1, per_week=2) == 108
    assert first_free_day(108, [Counter({101: 1, 103: 1})], per_day=1, per_week=2) == 108


def test_days_that_a_clock_ahead_of_time_has_left_count_too():
    assert first_free_day(100, [Counter({103: 1, 104: 1})], per_day=1, per_week=2) == 110
    assert first_free_day(100, [Counter({107: 2})], per_day=1, per_week=2) == 100


def test_only_marketing_that_went_out_or_may_have_counts(cafe):
    guest = cafe.guest()
    for day, state in enumerate(("handoff", "sent", "uncertain"), start=100):
        cafe.message(guest, state=state, handed_day=day)
    for state in ("pending", "claimed", "rejected", "blocked", "dead"):
        cafe.message(guest, state=state, handed_day=100)
    cafe.message(guest, state="sent", handed_day=100, purpose="service")
    cafe.message(guest, state="sent", handed_day=95)
    cafe.message(state="sent", handed_day=100)
    shared = cafe.guest(email_id=guest.email_id)
    cafe.message(shared, state="sent", handed_day=102)
    mine = cafe.message(guest, state="handoff", handed_day=100)
    with cafe.db.begin() as conn:
        of_guest, of_endpoint = handed_days(
            conn, customer_id=guest.id, endpoint_id=guest.email_id, other_than=mine, today=102
        )
    assert of_guest == {100: 1, 101: 1, 102: 1}
    assert of_endpoint == {100: 1, 101: 1, 102: 2}


def test_a_day_that_has_begun_elsewhere_counts_as_today(cafe):
    """In Auckland it is Tuesday already: the inbox that a guest there shares has had its message of today."""
    guest = cafe.guest()
    there = cafe.guest("Ana", zone="Pacific/Auckland", email_id=guest.email_id)
    monday = NOW.date().toordinal()
    cafe.message(there, state="sent", handed_at=NOW, handed_day=monday + 1)
    with cafe.db.begin() as conn:
        of_guest, of_inbox = handed_days(
            conn, customer_id=guest.id, endpoint_id=guest.email_id, other_than=0, today=monday
        )
    assert (of_guest, of_inbox) == (Counter(), Counter({monday: 1}))
