"""Calendar triggers at their boundaries: days, months' ends, leap years, nights of a changed clock, two zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from small_world import BERLIN, CHICAGO, CONFIG, Cafe, at, home_of

from engine.vocabulary.triggers import TRIGGERS

LAPSED = "trigger:\n  lapsed:\n    after: 90 days\n    up_to: 120 days\n"


def test_lapsed_is_open_from_its_first_day_to_the_day_before_its_last(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-03-01 18:00"))
    days = (0, 89, 90, 91, 119, 120, 121)
    matched = [day for day in days if cafe.who(LAPSED, at("2026-03-01 19:00") + timedelta(days=day)) == {guest}]
    assert matched == [90, 91, 119]


def test_who_came_on_1_march_at_any_hour_has_lapsed_90_days_on_30_may(cafe: Cafe) -> None:
    early, late = cafe.guest(), cafe.guest()
    cafe.order(early, at("2026-03-01 04:00"))
    cafe.order(late, at("2026-03-02 03:59"))
    assert cafe.who(LAPSED, at("2026-05-30 03:59")) == set()
    assert cafe.who(LAPSED, at("2026-05-30 04:00")) == {early, late}


def test_an_order_before_the_day_starts_belongs_to_yesterday(cafe: Cafe) -> None:
    night, morning = cafe.guest(), cafe.guest()
    cafe.order(night, at("2026-03-02 03:59"))
    cafe.order(morning, at("2026-03-02 04:00"))
    assert cafe.who(LAPSED, at("2026-05-30 10:00")) == {night}
    assert cafe.who(LAPSED, at("2026-05-31 10:00")) == {night, morning}


@pytest.mark.parametrize(
    ("last", "opens"),
    [
        ("2026-01-28", "2026-02-28"),
        ("2026-01-31", "2026-02-28"),
        ("2024-01-31", "2024-02-29"),
        ("2026-03-31", "2026-04-30"),
        ("2025-11-30", "2025-12-30"),
        ("2025-12-31", "2026-01-31"),
    ],
)
def test_a_month_keeps_the_day_of_the_month_or_its_last(cafe: Cafe, last: str, opens: str) -> None:
    guest, rule = cafe.guest(), "trigger:\n  lapsed: 1 month\n"
    cafe.order(guest, at(f"{last} 12:00"))
    opening = at(f"{opens} 12:00")
    assert cafe.who(rule, opening - timedelta(days=1)) == set()
    assert cafe.who(rule, opening) == {guest}
    assert cafe.who(rule, opening + timedelta(days=29)) == {guest}
    assert cafe.who(rule, opening + timedelta(days=30)) == set()


def test_a_year_after_29_february_is_28_february(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  lapsed:\n    after: 1 year\n    up_to: 13 months\n"
    cafe.order(guest, at("2024-02-29 12:00"))
    assert cafe.who(rule, at("2025-02-27 12:00")) == set()
    assert cafe.who(rule, at("2025-02-28 12:00")) == {guest}
    assert cafe.who(rule, at("2025-03-28 12:00")) == {guest}
    assert cafe.who(rule, at("2025-03-29 12:00")) == set()


@pytest.mark.parametrize("zone", [CHICAGO, BERLIN])
@pytest.mark.parametrize("changed", ["2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25"])
def test_a_night_of_a_changed_clock_is_one_night(cafe: Cafe, zone: str, changed: str) -> None:
    guest, rule = cafe.guest(zone=zone), "trigger:\n  lapsed:\n    after: 2 days\n    up_to: 3 days\n"
    night = date.fromisoformat(changed)
    cafe.order(guest, at(f"{night - timedelta(days=1)} 12:00", zone))
    opens, closes = night + timedelta(days=1), night + timedelta(days=2)
    assert cafe.who(rule, at(f"{opens} 03:59", zone)) == set()
    assert cafe.who(rule, at(f"{opens} 04:00", zone)) == {guest}
    assert cafe.who(rule, at(f"{closes} 03:59", zone)) == {guest}
    assert cafe.who(rule, at(f"{closes} 04:00", zone)) == set()
    cafe.verdicts(rule, at(f"{opens} 12:00", zone))
    assert cafe.matches[0].closes == at(f"{closes} 04:00", zone)


def test_two_zones_have_different_todays(cafe: Cafe) -> None:
    here, there = cafe.guest(), cafe.guest(zone="Asia/Shanghai")
    cafe.order(here, at("2026-03-01 12:00"))
    cafe.order(there, at("2026-03-01 12:00", "Asia/Shanghai"))
    assert cafe.who(LAPSED, at("2026-05-30 04:00", "Asia/Shanghai")) == {there}
    assert cafe.who(LAPSED, at("2026-05-30 04:00")) == {here, there}


def test_the_last_order_is_the_one_with_the_greatest_time_and_id(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-02-28 12:00"))
    twins = [cafe.order(guest, at("2026-03-01 12:00")) for _ in range(2)]
    cafe.order(guest, at("2026-02-27 12:00"))
    cafe.verdicts(LAPSED, at("2026-05-31 12:00"))
    assert [match.occasion for match in cafe.matches] == [twins[1]]


def test_a_kind_of_order_has_a_last_order_of_its_own(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  lapsed:\n    after: 30 days\n    category: lunch\n"
    first = cafe.order(guest, at("2026-03-01 12:00"), items=(("Soup", "Lunch"),))
    cafe.order(guest, at("2026-03-29 12:00"), items=(("Latte", "Coffee"),))
    cafe.order(guest, at("2026-03-30 12:00"))
    assert cafe.who(rule, at("2026-03-30 12:00")) == set()
    cafe.verdicts(rule, at("2026-03-31 12:00"))
    assert [(match.occasion, match.order_id) for match in cafe.matches] == [(first, first)]


def test_a_refund_takes_the_last_order_away_only_once_it_is_known(cafe: Cafe) -> None:
    guest, partly = cafe.guest(), cafe.guest()
    for who in (guest, partly):
        cafe.order(who, at("2026-03-01 12:00"))
    cafe.refund(cafe.order(guest, at("2026-05-01 12:00"), 500), at("2026-05-20 12:00"))
    cafe.refund(cafe.order(partly, at("2026-05-01 12:00"), 500), at("2026-05-20 12:00"), 499)
    assert cafe.who(LAPSED, at("2026-05-31 12:00")) == {guest}
    earlier = "trigger:\n  lapsed:\n    after: 10 days\n    up_to: 40 days\n"
    assert cafe.who(earlier, at("2026-05-19 12:00")) == {guest, partly}


def test_two_partial_refunds_of_the_whole_are_a_full_one(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-03-01 12:00"))
    order = cafe.order(guest, at("2026-05-01 12:00"), 500)
    cafe.refund(order, at("2026-05-02 12:00"), 300)
    cafe.refund(order, at("2026-05-03 12:00"), 200)
    assert cafe.who(LAPSED, at("2026-05-31 12:00")) == {guest}


def test_nothing_later_than_the_moment_exists(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-03-01 12:00"))
    cafe.order(guest, at("2026-06-20 12:00"))
    assert cafe.who(LAPSED, at("2026-05-31 12:00")) == {guest}
    assert cafe.meets("orders: 1", at("2026-06-20 11:59")) == {guest}
    assert cafe.meets("orders: 2", at("2026-06-20 12:00")) == {guest}


def test_walk_ins_and_guests_without_orders_are_nobodys_absence(cafe: Cafe) -> None:
    cafe.guest()
    cafe.order(None, at("2026-03-01 12:00"))
    assert cafe.who(LAPSED, at("2026-05-31 12:00")) == set()


def test_an_empty_database_matches_nobody(cafe: Cafe) -> None:
    cafe.home = home_of(CONFIG, "regulars:\n  conditions:\n    visits:\n      at_least: 4\n")
    for made in TRIGGERS.values():
        example = made.example.replace("\n", "\n  ")
        assert cafe.who(f"trigger:\n  {example}\n", at("2026-05-31 12:00")) == set()


# -- at_risk -----------------------------------------------------------------------------------------------------------


def regular(cafe: Cafe, gap: int, visits: int, *, start: str = "2026-01-01") -> tuple[int, datetime]:
    guest, day = cafe.guest(), at(f"{start} 12:00")
    for number in range(visits):
        cafe.order(guest, at(f"{date.fromisoformat(start) + timedelta(days=gap * number)} 12:00"))
    return guest, day + timedelta(days=gap * (visits - 1))


def test_at_risk_begins_when_the_gap_exceeds_three_times_the_usual_one(cafe: Cafe) -> None:
    guest, last = regular(cafe, gap=4, visits=6)
    rule = "trigger:\n  at_risk:\n"
    assert cafe.who(rule, last + timedelta(days=12)) == set()
    assert cafe.who(rule, last + timedelta(days=13)) == {guest}
    assert cafe.who(rule, last + timedelta(days=69)) == {guest}
    assert cafe.who(rule, last + timedelta(days=70)) == set()


def test_at_risk_waits_for_its_least_length_and_enough_visits(cafe: Cafe) -> None:
    daily, last = regular(cafe, gap=1, visits=6)
    regular(cafe, gap=1, visits=4, start="2026-01-03")
    rule = "trigger:\n  at_risk:\n"
    assert cafe.who(rule, last + timedelta(days=9)) == set()
    assert cafe.who(rule, last + timedelta(days=10)) == {daily}


def test_only_the_last_ten_gaps_are_the_usual_one(cafe: Cafe) -> None:
    guest, _ = regular(cafe, gap=40, visits=3, start="2025-01-01")
    for number in range(11):
        cafe.order(guest, at(f"{date(2026, 1, 1) + timedelta(days=4 * number)} 12:00"))
    last = at("2026-02-10 12:00")
    assert cafe.who("trigger:\n  at_risk: 3\n", last + timedelta(days=12)) == set()
    assert cafe.who("trigger:\n  at_risk: 3\n", last + timedelta(days=13)) == {guest}


def test_two_orders_on_a_day_are_one_visit(cafe: Cafe) -> None:
    guest, last = regular(cafe, gap=4, visits=4)
    cafe.order(guest, last + timedelta(hours=2))
    assert cafe.who("trigger:\n  at_risk:\n", last + timedelta(days=20)) == set()
    assert cafe.who("trigger:\n  at_risk:\n    min_visits: 4\n", last + timedelta(days=20)) == {guest}


# -- birthday ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("born", "leap_day", "days"),
    [
        (228, "feb28", {"2026-02-28", "2024-02-28"}),
        (229, "feb28", {"2026-02-28", "2024-02-29"}),
        (229, "mar1", {"2026-03-01", "2024-02-29"}),
        (301, "mar1", {"2026-03-01", "2024-03-01"}),
    ],
)
def test_birthdays_around_29_february(cafe: Cafe, born: int, leap_day: str, days: set[str]) -> None:
    guest = cafe.guest(birthday=born)
    rule = f"trigger:\n  birthday:\n    leap_day: {leap_day}\n"
    opened = set()
    for year in (2024, 2026):
        before = False
        for day in (date(year, 2, 27) + timedelta(days=offset) for offset in range(4)):
            now = cafe.who(rule, at(f"{day} 12:00")) == {guest}
            if now and not before:
                opened.add(day.isoformat())
            before = now
    assert opened == days


def test_a_birthday_is_open_on_its_day_and_the_next(cafe: Cafe) -> None:
    guest, rule = cafe.guest(birthday=504), "trigger:\n  birthday:\n"
    moments = ["05-04 03:59", "05-04 04:00", "05-05 12:00", "05-06 03:59", "05-06 04:00"]
    found = [cafe.who(rule, at(f"2026-{moment}")) == {guest} for moment in moments]
    assert found == [False, True, True, True, False]


def test_a_birthday_across_the_years_end_is_of_the_new_year(cafe: Cafe) -> None:
    guest, rule = cafe.guest(birthday=103), "trigger:\n  birthday: 7\n"
    assert cafe.verdicts(rule, at("2026-12-26 12:00")) == {}
    assert cafe.verdicts(rule, at("2026-12-27 12:00")) == {guest: ("act", None)}
    assert cafe.verdicts(rule, at("2026-12-28 12:00")) == {}
    assert cafe.verdicts(rule, at("2027-12-27 12:00")) == {guest: ("act", None)}
    assert [match.occasion for match in cafe.matches] == [2027, 2028]


@pytest.mark.parametrize(
    ("born", "opens"),
    [
        (101, "2026-02-17"),  # the first day of the year of the horse
        (815, "2026-09-25"),  # mid-autumn
        (1230, "2026-02-16"),  # no 30th in that month: the 29th
        (1230, "2027-02-05"),
        (601, "2025-06-25"),  # and not again in the leap month of 2025
    ],
)
def test_lunar_birthdays(cafe: Cafe, born: int, opens: str) -> None:
    guest, rule = cafe.guest(birthday=born, birthday_calendar="lunar"), "trigger:\n  birthday:\n"
    cafe.guest(birthday=born)
    day = date.fromisoformat(opens)
    assert guest not in cafe.who(rule, at(f"{day - timedelta(days=1)} 12:00"))
    assert guest in cafe.who(rule, at(f"{day} 12:00"))
    assert guest not in cafe.who(rule, at(f"{day + timedelta(days=2)} 12:00"))


def solar_day_of(year: int, month: int, day: int) -> date:
    from lunar_python import Lunar

    solar = Lunar.fromYmd(year, month, day).getSolar()
    return date(solar.getYear(), solar.getMonth(), solar.getDay())


def test_no_lunar_birthday_in_a_leap_month(cafe: Cafe) -> None:
    guest = cafe.guest(birthday=615, birthday_calendar="lunar")
    rule = "trigger:\n  birthday:\n"
    its_own, of_the_leap_month = date(2025, 7, 9), date(2025, 8, 8)
    assert solar_day_of(2025, 6, 15) == its_own
    assert solar_day_of(2025, -6, 15) == of_the_leap_month
    assert cafe.who(rule, at(f"{its_own} 12:00")) == {guest}
    assert cafe.who(rule, at(f"{of_the_leap_month} 12:00")) == set()


# -- joined, ordered, low_rating ---------------------------------------------------------------------------------------


def test_joined_opens_after_its_days_and_once_in_a_lifetime(cafe: Cafe) -> None:
    guest = cafe.guest(joined=at("2026-05-04 20:00"))
    rule = "trigger:\n  joined:\n    ago: 1 day\n    within: 7 days\n"
    moments = ["05-04 21:00", "05-05 03:59", "05-05 04:00", "05-12 03:59", "05-12 04:00"]
    assert [cafe.who(rule, at(f"2026-{moment}")) == {guest} for moment in moments] == [False, False, True, True, False]
    assert cafe.verdicts(rule, at("2026-05-05 10:00")) == {guest: ("act", None)}
    assert cafe.verdicts(rule, at("2026-05-06 10:00")) == {}
    assert cafe.matches[0].occasion == 0


def test_who_joins_later_today_has_not_joined_yet(cafe: Cafe) -> None:
    guest = cafe.guest(joined=at("2026-05-04 20:00"))
    assert cafe.who("trigger:\n  joined:\n", at("2026-05-04 19:59")) == set()
    assert cafe.who("trigger:\n  joined:\n", at("2026-05-04 20:00")) == {guest}


def test_a_guest_without_a_day_of_joining_joined_with_the_first_order(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-04 12:00"))
    assert cafe.who("trigger:\n  joined:\n", at("2026-05-04 12:00")) == {guest}
    assert cafe.who("trigger:\n  joined:\n", at("2026-05-11 12:00")) == set()


def test_an_order_fires_at_its_second_and_for_three_days(cafe: Cafe) -> None:
    guest, fired = cafe.guest(), datetime(2026, 5, 4, 17, 0, tzinfo=UTC)
    cafe.order(guest, fired)
    rule = "trigger:\n  ordered:\n    ago: 2 hours\n"
    opens, second = fired + timedelta(hours=2), timedelta(seconds=1)
    moments = [opens - second, opens, opens + timedelta(days=3) - second, opens + timedelta(days=3)]
    assert [cafe.who(rule, moment) == {guest} for moment in moments] == [False, True, True, False]


def test_an_order_days_ago_counts_business_days(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  ordered:\n    ago: 10 days\n"
    cafe.order(guest, at("2026-05-04 22:00"))
    moments = ["05-14 03:59", "05-14 04:00", "05-17 03:59", "05-17 04:00"]
    assert [cafe.who(rule, at(f"2026-{moment}")) == {guest} for moment in moments] == [False, True, True, False]


@pytest.mark.parametrize(
    ("setting", "fired"), [("count: 1", [0]), ("count: 2", [2]), ("count: 3", [3]), ("every: 2", [2, 4])]
)
def test_the_nth_visit_fires_with_its_first_order(cafe: Cafe, setting: str, fired: list[int]) -> None:
    guest = cafe.guest()
    days = ["05-04 08:00", "05-04 19:00", "05-05 03:00", "05-05 08:00", "05-06 08:00", "05-06 08:00", "05-07 08:00"]
    made = [cafe.order(guest, at(f"2026-{day}")) for day in days]
    visits = [made[0], made[1], made[3], made[4], made[6]]  # 05-05 03:00 still belongs to the fourth
    cafe.verdicts(f"trigger:\n  ordered:\n    ago: 0 days\n    {setting}\n", at("2026-05-06 12:00"))
    first_of_visit = {0: visits[0], 2: visits[2], 3: visits[3], 4: visits[4]}
    within_three_days = [first_of_visit[number] for number in fired if number != 4]
    assert [match.occasion for match in cafe.matches] == within_three_days


def test_visits_are_counted_among_the_orders_that_the_filters_name(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-01 08:00"), items=(("Latte", "Coffee"),))
    lunch = cafe.order(guest, at("2026-05-04 08:00"), items=(("Soup", "Lunch"),))
    cafe.verdicts("trigger:\n  ordered:\n    category: LUNCH\n    count: 1\n", at("2026-05-04 12:00"))
    assert [(match.occasion, match.order_id) for match in cafe.matches] == [(lunch, lunch)]


def test_a_voided_order_fires_nothing_and_is_no_visit(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.refund(cafe.order(guest, at("2026-05-03 08:00")), at("2026-05-03 09:00"))
    second = cafe.order(guest, at("2026-05-04 08:00"))
    cafe.verdicts("trigger:\n  ordered:\n    count: 1\n", at("2026-05-04 12:00"))
    assert [match.occasion for match in cafe.matches] == [second]


def test_a_low_rating_fires_at_its_score_and_below(cafe: Cafe) -> None:
    low, edge, high = cafe.guest(), cafe.guest(), cafe.guest()
    rated = at("2026-05-04 20:00")
    for guest, score in ((low, 1), (edge, 2), (high, 2.5)):
        cafe.rating(guest, rated, score)
    cafe.rating(None, rated, 1)
    rule = "trigger:\n  low_rating: 2\n"
    second = timedelta(seconds=1)
    moments = [rated - second, rated, rated + timedelta(days=3) - second, rated + timedelta(days=3)]
    assert [cafe.who(rule, moment) for moment in moments] == [set(), {low, edge}, {low, edge}, set()]
    assert cafe.who("trigger:\n  low_rating:\n    source: receipt\n", rated) == set()
    assert cafe.who("trigger:\n  low_rating:\n    source: [receipt, GOOGLE]\n", rated) == {low, edge}
