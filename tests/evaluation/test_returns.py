"""What comes back each year: the day of joining, dates of the guest's own; and how long an occasion stays open."""

from __future__ import annotations

from datetime import timedelta
from zlib import crc32

import pytest
from small_world import BERLIN, CONFIG, Cafe, at, home_of
from sqlalchemy import Engine, select

from engine.database.tables import customer_dates, date_attributes

DATES = f"{CONFIG}attributes:\n  wedding: date\n  child_birthday: date\n  colour: text\n"
YEARLY = "trigger:\n  anniversary:\n"
OF_DATES = "trigger:\n  anniversary:\n    of: [wedding, child_birthday]\n"


def open_moments(cafe: Cafe, rule: str, guest: int, moments: list[str]) -> list[str]:
    return [moment for moment in moments if guest in cafe.who(rule, at(moment))]


@pytest.fixture
def dated(db: Engine) -> Cafe:
    """The small café whose config declares two dates."""
    return Cafe(db, home_of(DATES))


def test_the_day_of_joining_comes_back_each_year_and_not_on_the_day_itself(cafe: Cafe) -> None:
    guest = cafe.guest(joined=at("2024-05-04 20:00"))
    moments = [
        "2024-05-04 20:00", "2025-05-04 03:59", "2025-05-04 04:00", "2025-05-06 03:59", "2025-05-06 04:00",
        "2026-05-05 12:00",
    ]  # fmt: skip
    opened = ["2025-05-04 04:00", "2025-05-06 03:59", "2026-05-05 12:00"]
    assert open_moments(cafe, YEARLY, guest, moments) == opened
    assert cafe.verdicts(YEARLY, at("2025-05-04 10:00")) == {guest: ("act", None)}
    assert cafe.verdicts(YEARLY, at("2025-05-05 10:00")) == {}
    assert cafe.verdicts(YEARLY, at("2026-05-05 10:00")) == {guest: ("act", None)}
    assert [match.occasion for match in cafe.matches] == [2025 * 2**32, 2026 * 2**32]
    assert cafe.matches[0].closes == at("2025-05-06 04:00")


def test_who_joined_on_29_february_has_it_on_28_february_or_1_march_in_other_years(cafe: Cafe) -> None:
    guest, before = cafe.guest(joined=at("2024-02-29 12:00")), cafe.guest(joined=at("2024-02-28 12:00"))
    days = ["2025-02-27 12:00", "2025-02-28 12:00", "2025-03-02 12:00", "2028-02-28 12:00", "2028-02-29 12:00"]
    assert open_moments(cafe, YEARLY, guest, days) == ["2025-02-28 12:00", "2028-02-29 12:00"]
    assert open_moments(cafe, YEARLY, before, days) == ["2025-02-28 12:00", "2028-02-28 12:00", "2028-02-29 12:00"]
    march = "trigger:\n  anniversary:\n    leap_day: mar1\n"
    assert open_moments(cafe, march, guest, days) == ["2025-03-02 12:00", "2028-02-29 12:00"]


def test_days_before_reach_across_the_years_end(cafe: Cafe) -> None:
    guest = cafe.guest(joined=at("2024-01-03 12:00"))
    rule = "trigger:\n  anniversary:\n    days_before: 7\n"
    assert open_moments(cafe, rule, guest, ["2023-12-27 12:00", "2024-12-26 12:00", "2024-12-27 12:00"]) == [
        "2024-12-27 12:00"
    ]
    cafe.verdicts(rule, at("2024-12-27 12:00"))
    assert [match.occasion for match in cafe.matches] == [2025 * 2**32]


def test_a_guest_without_a_day_of_joining_joined_with_the_first_order(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.guest()
    cafe.order(guest, at("2024-05-04 12:00"))
    assert cafe.who(YEARLY, at("2025-05-04 12:00")) == {guest}


@pytest.mark.parametrize("changed", ["2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25"])
def test_nights_of_a_changed_clock_are_one_night(cafe: Cafe, changed: str) -> None:
    here, there = (
        cafe.guest(joined=at(f"2024-{changed[5:]} 12:00")),
        cafe.guest(zone=BERLIN, joined=at(f"2024-{changed[5:]} 12:00", BERLIN)),
    )
    for guest, zone in ((here, "America/Chicago"), (there, BERLIN)):
        opens = at(f"{changed} 04:00", zone)
        assert guest not in cafe.who(YEARLY, opens - timedelta(minutes=1))
        assert guest in cafe.who(YEARLY, opens)
    closes = at(f"{changed} 04:00") + timedelta(days=2)
    assert here in cafe.who(YEARLY, closes - timedelta(minutes=1))
    assert here not in cafe.who(YEARLY, closes)


def test_dates_of_the_guests_come_back_by_their_names(dated: Cafe) -> None:
    both = dated.guest(attributes={"wedding": "2020-05-04", "child_birthday": "0000-05-04", "colour": "2020-05-04"})
    one = dated.guest(attributes={"wedding": "2020-06-04"})
    dated.guest(attributes={"colour": "2020-05-04"}, joined=at("2020-05-04 12:00"))
    assert dated.who(OF_DATES, at("2026-05-03 12:00")) == set()
    assert dated.who(OF_DATES, at("2026-05-04 12:00")) == {both}
    assert dated.who(OF_DATES, at("2026-06-05 12:00")) == {one}
    dated.verdicts(OF_DATES, at("2026-05-04 12:00"))
    assert {match.occasion for match in dated.matches} == {
        2026 * 2**32 + crc32(name) for name in (b"wedding", b"child_birthday")
    }


def test_a_date_that_lies_ahead_has_nothing_to_come_back_to(dated: Cafe) -> None:
    guest = dated.guest(attributes={"wedding": "2026-05-04"})
    moments = ["2025-05-04 12:00", "2026-05-04 12:00", "2027-05-04 12:00"]
    assert open_moments(dated, OF_DATES, guest, moments) == ["2027-05-04 12:00"]


def test_joining_and_dates_stand_in_one_rule(dated: Cafe) -> None:
    guest = dated.guest(attributes={"wedding": "2020-05-04"}, joined=at("2024-05-03 12:00"))
    rule = "trigger:\n  anniversary: [joined, wedding]\n"
    dated.verdicts(rule, at("2026-05-04 12:00"))
    occasions = {2026 * 2**32, 2026 * 2**32 + crc32(b"wedding")}
    assert {(match.customer_id, match.occasion) for match in dated.matches} == {(guest, each) for each in occasions}


def test_a_column_becomes_a_date_when_the_config_says_so_and_ceases_to_be_one(db: Engine) -> None:
    before, after = Cafe(db, home_of(CONFIG)), Cafe(db, home_of(DATES))
    guest = after.guest(attributes={"wedding": "4 May 2020", "child_birthday": "2021-05-04"})
    after.guest(attributes={"wedding": "no idea", "child_birthday": 7})
    before.run(YEARLY, now=at("2026-05-04 09:00"))
    assert before.rows(customer_dates) == []
    after.run(OF_DATES, now=at("2026-05-04 10:00"), dry_run=True)
    assert after.rows(customer_dates) == []  # a dry run leaves no trace
    after.run(OF_DATES, now=at("2026-05-04 10:00"))
    rows = [(row.customer_id, row.name, row.year, row.md) for row in after.rows(customer_dates)]
    assert (guest, "child_birthday", 2021, 504) in rows
    assert {who for who, *_ in rows} == {guest}
    assert {match.customer_id for match in after.matches} == {guest}
    before.run(YEARLY, now=at("2026-05-05 10:00"))
    assert before.rows(customer_dates) == []
    with db.connect() as conn:
        assert conn.scalars(select(date_attributes.c.name)).all() == []


# -- late --------------------------------------------------------------------------------------------------------------


def test_late_is_how_long_an_occasion_stays_open(cafe: Cafe) -> None:
    guest = cafe.guest(joined=at("2024-05-04 12:00"), birthday=504)
    moments = [f"2026-05-{day:02} 12:00" for day in (3, 4, 5, 6, 7, 8)]
    for word in ("anniversary", "birthday"):
        rule = f"trigger:\n  {word}:\n    late: 3 days\n"
        assert open_moments(cafe, rule, guest, moments) == moments[1:4]
        assert open_moments(cafe, rule.replace("3 days", "1 day"), guest, moments) == moments[1:2]


def test_late_may_be_a_month(cafe: Cafe) -> None:
    guest, rule = cafe.guest(birthday=131), "trigger:\n  birthday:\n    late: 1 month\n"
    moments = ["2026-01-31 12:00", "2026-02-27 12:00", "2026-02-28 12:00"]
    assert open_moments(cafe, rule, guest, moments) == moments[:2]


def test_late_of_an_order_counts_from_when_it_fires(cafe: Cafe) -> None:
    guest = cafe.guest()
    cafe.order(guest, at("2026-05-04 12:00"))
    hours = "trigger:\n  ordered:\n    ago: 2 hours\n    late: 3 hours\n"
    moments = ["2026-05-04 13:59", "2026-05-04 14:00", "2026-05-04 16:59", "2026-05-04 17:00"]
    assert open_moments(cafe, hours, guest, moments) == moments[1:3]
    days = "trigger:\n  ordered:\n    ago: 2 days\n    late: 1 week\n"
    moments = ["2026-05-06 03:59", "2026-05-06 04:00", "2026-05-13 03:59", "2026-05-13 04:00"]
    assert open_moments(cafe, days, guest, moments) == moments[1:3]


@pytest.mark.parametrize("word", ["anniversary", "birthday"])
def test_what_closed_in_a_pause_is_listed_once_and_not_sent(cafe: Cafe, word: str) -> None:
    guest = cafe.guest(joined=at("2024-05-04 12:00"), birthday=504)
    rule = f"trigger:\n  {word}:\n"
    assert cafe.verdicts(rule, at("2026-05-01 12:00")) == {}
    assert cafe.verdicts(rule, at("2026-06-20 12:00")) == {guest: ("refused", "expired")}
    assert cafe.verdicts(rule, at("2026-06-21 12:00")) == {}
    assert cafe.verdicts(rule, at("2027-05-04 12:00")) == {guest: ("act", None)}
