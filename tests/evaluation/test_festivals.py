"""Festivals as a rule meets them: by the country of the guest's store, around the year's end, after a pause."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from zlib import crc32

import pytest
from small_world import CONFIG, Cafe, at, rule_of, write_home
from sqlalchemy import Engine, update

from engine.database.tables import stores
from engine.vocabulary.home import Home, load_home

MOTHERS = "trigger:\n  festival: mothers-day\n"
CALENDAR = """\
market-day:
  name: the Market Day
  dates: [2026-05-16, 2027-05-15]
our-birthday:
  dates: 02-29
mothers-day:
  dates: 2026-05-17
  countries: [US]
maple-day:
  dates: 10-01
  countries: [CA]
"""


@functools.cache
def home_with_calendar() -> Home:
    with tempfile.TemporaryDirectory() as folder:
        home = load_home(write_home(Path(folder), files={"config/calendar.yaml": CALENDAR}), {})
    assert not home.problems
    return home


@pytest.fixture
def planned(db: Engine) -> Cafe:
    """The small café with a calendar of its own."""
    return Cafe(db, home_with_calendar())


def store_in(cafe: Cafe, country: str | None) -> int:
    number = cafe.store(f"Shop {country}")
    with cafe.db.begin() as conn:
        conn.execute(update(stores).where(stores.c.id == number).values(country=country))
    return number


def test_a_festival_is_open_on_its_day_and_the_next(cafe: Cafe) -> None:
    guest = cafe.guest()
    moments = ["05-10 03:59", "05-10 04:00", "05-12 03:59", "05-12 04:00"]
    assert [cafe.who(MOTHERS, at(f"2026-{moment}")) == {guest} for moment in moments] == [False, True, True, False]
    assert cafe.verdicts(MOTHERS, at("2026-05-10 10:00")) == {guest: ("act", None)}
    assert cafe.verdicts(MOTHERS, at("2026-05-11 10:00")) == {}
    assert cafe.verdicts(MOTHERS, at("2027-05-09 10:00")) == {guest: ("act", None)}
    assert [match.occasion for match in cafe.matches] == [year * 2**32 + crc32(b"mothers-day") for year in (2026, 2027)]
    assert cafe.matches[0].closes == at("2026-05-12 04:00")


def test_each_guest_has_the_festival_of_the_country_of_the_store(cafe: Cafe) -> None:
    here, british, french, unknown = (
        cafe.guest(store_id=store_in(cafe, country)) for country in ("US", "GB", "FR", None)
    )
    roaming = cafe.guest()
    cafe.order(roaming, at("2026-01-05 12:00"), store=cafe.rows(stores)[1].id)
    assert cafe.who(MOTHERS, at("2026-03-15 12:00")) == {british, roaming}
    assert cafe.who(MOTHERS, at("2026-05-10 12:00")) == {here, unknown}
    assert cafe.who(MOTHERS, at("2026-05-31 12:00")) == {french}
    thanks = "trigger:\n  festival: thanksgiving\n"
    assert cafe.who(thanks, at("2026-11-26 12:00")) == {here, unknown}
    assert cafe.who(thanks, at("2026-10-12 12:00")) == set()


def test_days_before_reach_across_the_years_end(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  festival:\n    name: new-year\n    days_before: 5\n"
    assert cafe.who(rule, at("2026-12-26 12:00")) == set()
    assert cafe.verdicts(rule, at("2026-12-27 12:00")) == {guest: ("act", None)}
    assert [match.occasion for match in cafe.matches] == [2027 * 2**32 + crc32(b"new-year")]


def test_a_festival_begins_on_each_guests_own_clock(cafe: Cafe) -> None:
    here, there = cafe.guest(), cafe.guest(zone="Asia/Shanghai")
    rule = "trigger:\n  festival: lunar-new-year\n"
    assert cafe.who(rule, at("2027-02-06 04:00", "Asia/Shanghai")) == {there}
    assert cafe.who(rule, at("2027-02-06 04:00")) == {here, there}
    assert cafe.who(rule, at("2027-02-08 04:00", "Asia/Shanghai")) == {here}


def test_a_festival_in_the_night_of_a_changed_clock_closes_at_the_right_hour(cafe: Cafe) -> None:
    guest, rule = cafe.guest(), "trigger:\n  festival:\n    name: halloween\n    late: 1 day\n"
    moments = ["2026-10-31 03:59", "2026-10-31 04:00", "2026-11-01 03:59", "2026-11-01 04:00"]
    assert [cafe.who(rule, at(moment)) == {guest} for moment in moments] == [False, True, True, False]


def test_a_festival_missed_in_a_pause_is_listed_once_and_not_sent(cafe: Cafe) -> None:
    guest = cafe.guest()
    assert cafe.verdicts(MOTHERS, at("2026-05-01 12:00")) == {}
    assert cafe.verdicts(MOTHERS, at("2026-06-20 12:00")) == {guest: ("refused", "expired")}
    assert cafe.verdicts(MOTHERS, at("2026-06-21 12:00")) == {}
    assert cafe.verdicts(MOTHERS, at("2027-05-09 12:00")) == {guest: ("act", None)}


def test_days_of_the_owners_own_come_before_ours(planned: Cafe) -> None:
    guest, canadian = planned.guest(), planned.guest(store_id=store_in(planned, "CA"))
    market = "trigger:\n  festival: market-day\n"
    assert planned.who(market, at("2026-05-16 12:00")) == {guest, canadian}
    assert planned.who(market, at("2028-05-16 12:00")) == set()
    assert planned.who("trigger:\n  festival: our-birthday\n", at("2027-02-28 12:00")) == {guest, canadian}
    assert planned.who(MOTHERS, at("2026-05-10 12:00")) == {canadian}
    assert planned.who(MOTHERS, at("2026-05-17 12:00")) == {guest}
    assert planned.who(MOTHERS, at("2027-05-09 12:00")) == {guest, canadian}  # the file names no day of 2027


def test_a_festival_put_on_another_day_is_still_the_same(cafe: Cafe, planned: Cafe) -> None:
    guest = cafe.guest()
    assert cafe.verdicts(MOTHERS, at("2026-05-10 12:00")) == {guest: ("act", None)}
    assert planned.verdicts(MOTHERS, at("2026-05-17 12:00")) == {}


def test_sentences_call_a_festival_by_its_name() -> None:
    assert rule_of(MOTHERS).trigger.sentence() == "has Mother's Day today"
    rule = rule_of("trigger:\n  festival:\n    name: market-day\n    days_before: 3\n", home_with_calendar())
    assert rule.trigger.sentence() == "has the Market Day in 3 days"


def test_a_festival_without_a_date_before_long_is_told(tmp_path: Path) -> None:
    def told(name: str, today: str) -> list[str]:
        rule = f"id: r\ntrigger:\n  festival: {name}\nactions:\n  - email: hello\n"
        files = {"config/calendar.yaml": CALENDAR, "rules/r.yaml": rule}
        home = load_home(write_home(tmp_path, files=files), {}, at(f"{today} 12:00").date())
        assert all(problem.severity == "warning" for problem in home.problems)
        return [str(problem.message) for problem in home.problems]

    assert told("market-day", "2027-05-15") == []
    assert told("market-day", "2027-05-16") == ['"market-day" has no date in the year from 2027-05-16 on']
    assert told("diwali", "2035-01-01") == []
    assert told("diwali", "2036-01-01") == ['"diwali" has no date in the year from 2036-01-01 on']
    assert told("maple-day", "2026-01-01") == ['"maple-day" has no date in US, where you are']
    assert told("bonfire-night", "2026-01-01") == ['"bonfire-night" has no date in US, where you are']


def test_a_home_elsewhere_is_asked_for_its_own_country(tmp_path: Path) -> None:
    rule = "id: r\ntrigger:\n  festival: thanksgiving\nactions:\n  - email: hello\n"
    config = CONFIG.replace("country: US", "country: GB")
    (problem,) = load_home(write_home(tmp_path, config=config, files={"rules/r.yaml": rule}), {}).problems
    assert str(problem.message) == '"thanksgiving" has no date in GB, where you are'
    assert str(problem.hint) == "it is known in CA, US; give it a date in config/calendar.yaml"
