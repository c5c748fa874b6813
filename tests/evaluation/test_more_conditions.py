"""The conditions on a guest's calendar, rank, favourites, ratings, coupons, messages, events and own columns."""

from __future__ import annotations

from datetime import timedelta

import pytest
from earlier import coupon, event, sent
from small_world import BERLIN, CONFIG, Cafe, at, home_of, rule_of
from sqlalchemy import Engine

from engine.language.yamlfile import parse
from engine.vocabulary.validate import rule_from

NOW = at("2026-05-31 12:00")
LUNCH, COFFEE = ("Soup", "Lunch"), ("Latte", "Coffee")
DAY = timedelta(days=1)


def test_age_is_in_whole_years_by_the_guests_own_day(cafe: Cafe) -> None:
    today = cafe.guest(birthday=531, birthday_year=2008)
    tomorrow = cafe.guest(birthday=601, birthday_year=2008)
    cafe.guest(birthday=531)  # no year
    cafe.guest(birthday=531, birthday_year=2008, birthday_calendar="lunar")
    nobody = cafe.guest()
    assert cafe.meets("age: 18", NOW) == {today}
    assert cafe.meets("age: 17", NOW) == {tomorrow}
    assert cafe.meets("age: 18", at("2026-06-01 03:59")) == {today}  # the day begins at four
    assert cafe.meets("age: 18", at("2026-06-01 04:00")) == {today, tomorrow}
    assert cafe.meets("age:\n  at_most: 99", NOW) == {today, tomorrow}
    assert nobody in cafe.meets("age:\n  is_not: 18", NOW)


def test_whoever_was_born_on_a_leap_day_is_older_on_the_28th_of_common_years(cafe: Cafe) -> None:
    leapling = cafe.guest(birthday=229, birthday_year=2008)
    assert cafe.meets("age: 17", at("2026-02-27 12:00")) == {leapling}
    assert cafe.meets("age: 18", at("2026-02-28 12:00")) == {leapling}
    assert cafe.meets("age: 19", at("2028-02-28 12:00")) == {leapling}
    assert cafe.meets("age: 20", at("2028-02-29 12:00")) == {leapling}


def test_joined_days_count_from_the_day_of_joining_or_the_first_order(cafe: Cafe) -> None:
    by_age = {days: cafe.guest(joined=NOW - timedelta(days=days)) for days in (0, 89, 90, 91)}
    first_order = cafe.guest()
    cafe.order(first_order, NOW - timedelta(days=90))
    later, nobody = cafe.guest(joined=NOW + DAY), cafe.guest()
    assert cafe.meets("joined_days: 90", NOW) == {by_age[90], first_order}
    assert cafe.meets("joined_days:\n  less_than: 90", NOW) == {by_age[0], by_age[89]}
    assert cafe.meets("joined_days:\n  is_not: 90", NOW) == {*by_age.values(), later, nobody} - {by_age[90]}


def test_the_birthdays_month(cafe: Cafe) -> None:
    may, june, december = cafe.guest(birthday=501), cafe.guest(birthday=630), cafe.guest(birthday=1231)
    cafe.guest()
    lunar = cafe.guest(birthday=505, birthday_calendar="lunar")  # 19 June 2026, 8 June 2027
    thirtieth = cafe.guest(birthday=430, birthday_calendar="lunar")  # the 29th in 2026: 14 June
    assert cafe.meets("birthday_month: this", NOW) == {may}
    assert cafe.meets("birthday_month: next", NOW) == {june, lunar, thirtieth}
    assert cafe.meets("birthday_month:\n  - 12\n  - this", NOW) == {may, december}
    assert cafe.meets("birthday_month: next", at("2026-11-30 12:00")) == {december}
    assert cafe.meets("birthday_month: this", at("2027-01-01 03:00")) == {december}
    assert cafe.meets("birthday_month: 6", NOW) == {june, lunar, thirtieth}


def test_gender_is_compared_without_case(cafe: Cafe) -> None:
    woman, other = cafe.guest(gender="Écrivaine"), cafe.guest()
    assert cafe.meets("gender: ÉCRIVAINE", NOW) == {woman}
    assert cafe.meets("gender:\n  is_not: écrivaine", NOW) == {other}


@pytest.fixture
def typed(db: Engine) -> Cafe:
    types = "attributes:\n  seats: number\n  child_birthday: date\n  vegan: yes_no\n"
    return Cafe(db, home=home_of(CONFIG + types))


def test_attributes_by_their_type(typed: Cafe) -> None:
    some = {"seats": 4, "child_birthday": "2020-05-01", "vegan": True, "stufe": "Größe", "note": "4"}
    one = typed.guest(attributes=some)
    two = typed.guest(
        attributes={"seats": 2.5, "child_birthday": "0000-05-01", "vegan": False, "stufe": "klein", "note": None}
    )
    odd = typed.guest(attributes={"seats": "four", "child_birthday": "soon"})  # of a time before they had a type
    nobody = typed.guest()
    assert typed.meets("attribute.seats:\n  at_least: 2.5", NOW) == {one, two}
    assert typed.meets("attribute.seats: [4, 5]", NOW) == {one}
    assert typed.meets("attribute.seats:\n  is_not: 4", NOW) == {two, odd, nobody}
    assert typed.meets("attribute.child_birthday:\n  at_most: 2020-05-01", NOW) == {one}
    assert typed.meets("attribute.child_birthday:\n  between: [2020-05-02, 2030-01-01]", NOW) == set()
    assert typed.meets("attribute.child_birthday:\n  is_not: 2020-05-01", NOW) == {two, odd, nobody}
    assert typed.meets("attribute.vegan: yes", NOW) == {one}
    assert typed.meets("attribute.vegan: false", NOW) == {two}
    assert typed.meets("attribute.Stufe: GRÖSSE", NOW) == {one}
    assert typed.meets('attribute.Stufe: "k*"', NOW) == {two}
    assert typed.meets("attribute.note: 4", NOW) == {one}
    assert typed.meets("attribute.nowhere:\n  none_of: [a, b]", NOW) == {one, two, odd, nobody}


def test_average_order_refunds_and_mean_gap(cafe: Cafe) -> None:
    regular = cafe.guest()
    placed = [
        cafe.order(regular, NOW - timedelta(days=days), total) for days, total in ((3, 1000), (10, 1500), (24, 500))
    ]
    once = cafe.guest()
    cafe.order(once, NOW - 3 * DAY, 1000)
    nobody = cafe.guest()
    assert cafe.meets("average_order: 10", NOW) == {regular, once}
    assert cafe.meets("average_order:\n  within: 11 days\n  equals: 12.5", NOW) == {regular}
    assert cafe.meets("average_order:\n  is_not: 10", NOW) == {nobody}
    assert cafe.meets("mean_gap: 10.5", NOW) == {regular}
    assert cafe.meets("mean_gap:\n  within: 11 days\n  equals: 7", NOW) == {regular}
    assert cafe.meets("mean_gap:\n  at_least: 0", NOW) == {regular}
    cafe.refund(placed[0], NOW - 2 * DAY, 400)
    cafe.refund(placed[1], NOW - 2 * DAY)
    cafe.refund(placed[2], NOW + DAY)  # not known yet
    assert cafe.meets("refunds: 2", NOW) == {regular}
    assert cafe.meets("refunds:\n  within: 9 days\n  equals: 1", NOW) == {regular}
    assert cafe.meets("refunds: 0", NOW) == {once, nobody}
    assert cafe.meets("average_order: 5.5", NOW) == {regular}  # 6.00 is left of the first, nothing of the second
    assert cafe.meets("mean_gap: 21", NOW) == {regular}


def test_mean_gap_with_filters_looks_at_the_last_ten_gaps(cafe: Cafe) -> None:
    guest = cafe.guest()
    for days in (*range(1, 12), 200):
        cafe.order(guest, NOW - timedelta(days=days), channel="takeaway")
    assert cafe.meets("mean_gap: 1", NOW) == {guest}
    assert cafe.meets("mean_gap:\n  channel: takeaway\n  equals: 1", NOW) == {guest}


def test_the_favourite_is_what_most_visits_have_and_of_several_the_latest(cafe: Cafe) -> None:
    mill, quay = cafe.store("Mill Lane", key="ÄÖ-1"), cafe.store("Quay")
    guest, nobody = cafe.guest(), cafe.guest()
    cafe.order(guest, at("2026-05-01 10:00"), items=(COFFEE, LUNCH), store=mill)  # a Friday
    cafe.order(guest, at("2026-05-02 10:00"), items=(COFFEE,), store=quay)
    cafe.order(guest, at("2026-05-02 11:00"), items=(LUNCH,), store=quay)
    cafe.order(guest, at("2026-05-02 12:00"), items=(LUNCH,))
    met = [
        ("of: category\n  equals: lunch", {guest}),  # two days each, lunch was later
        ("of: category\n  equals: coffee", set()),
        ("of: category\n  before: 30 days\n  equals: lunch", {guest}),
        ("of: product\n  one_of: [latte, soup]", {guest}),
        ("of: product\n  is_not: soup", {nobody}),
        ("of: store\n  equals: quay", {guest}),
        ("of: store\n  before: 30 days\n  equals: äö-1", {guest}),
        ("of: store\n  none_of: [quay]", {nobody}),
        ("of: weekday\n  equals: sat", {guest}),
        ("of: weekday\n  is_not: weekend", {nobody}),
    ]
    for asked, wanted in met:
        assert cafe.meets(f"favourite:\n  {asked}", NOW) == wanted, asked


def test_weekday_and_hours_go_by_the_stores_clock_and_its_business_day(cafe: Cafe) -> None:
    guest = cafe.guest(zone=BERLIN)
    cafe.order(guest, at("2026-05-02 23:30"), 500)  # Saturday in Chicago, Sunday morning in Berlin
    night = cafe.guest()
    cafe.order(night, at("2026-05-03 01:30"), 2000)  # Saturday's night
    for asked, wanted in [
        ("weekday: sat", {guest, night}),
        ("weekday: sun", set()),
        ("weekday: [fri, weekend]", {guest, night}),
        ("weekday: weekdays", set()),
        ("hours: 22:00-02:00", {guest, night}),
        ("hours: 23:30-23:31", {guest}),
        ("hours: 22:00-23:30", set()),
        ("hours: 00:00-24:00", {guest, night}),
        ("total: 5", {guest}),
        ("total:\n    more_than: 5", {night}),
    ]:
        assert cafe.meets(f"orders:\n  {asked}\n  at_least: 1", NOW) == wanted, asked


def test_hours_when_the_clock_is_put_back(cafe: Cafe) -> None:
    first, second = cafe.guest(), cafe.guest()
    cafe.order(first, at("2025-11-02 00:30") + timedelta(hours=1))
    cafe.order(second, at("2025-11-02 00:30") + timedelta(hours=2))  # half past one once more
    assert cafe.meets("orders:\n  hours: 01:30-01:31\n  weekday: sat\n  at_least: 1", NOW) == {first, second}


def test_rank_takes_ties_in_and_leaves_out_whoever_has_none(cafe: Cafe) -> None:
    mill, quay = cafe.store("Mill Lane"), cafe.store("Quay")
    spent = {}
    for number, total in enumerate((100, 200, 300, 300, 400, 500, 600, 700, 800, 900)):
        guest = cafe.guest(store_id=mill if number < 5 else quay, city="A" if number % 2 else None)
        spent[number] = guest
        cafe.order(guest, NOW - timedelta(days=number), total)
    cafe.guest(store_id=mill)
    g = spent
    for asked, wanted in [
        ("of: spend\n  top: 10%", {g[9]}),
        ("of: spend\n  top: 11%", {g[9], g[8]}),  # a share of a guest is one more
        ("of: spend\n  top: 1%", {g[9]}),
        ("of: spend\n  bottom: 30%", {g[0], g[1], g[2], g[3]}),  # the third and the fourth tie
        ("of: spend\n  top: 7", {g[9], g[8], g[7], g[6], g[5], g[4], g[3], g[2]}),
        ("of: spend\n  top: 100%", {*g.values()}),
        ("of: spend\n  top: 1\n  per: store", {g[4], g[9]}),
        ("of: spend\n  bottom: 1\n  per: city", {g[1]}),
        ("of: spend\n  within: 5 days\n  top: 1", {g[4]}),
        ("of: average_order\n  top: 1", {g[9]}),
        ("of: days_since_order\n  top: 1", {g[9]}),
        ("of: days_since_order\n  bottom: 20%", {g[0], g[1]}),
        ("of: days_since_order\n  within: 5 days\n  top: 1", {g[4]}),
        ("of: orders\n  top: 1", {*g.values()}),
        ("of: points\n  top: 1", set()),
    ]:
        assert cafe.meets(f"rank:\n  {asked}", NOW) == wanted, asked


def test_ranks_of_points_and_two_ranks_at_once(cafe: Cafe) -> None:
    rich, poor = cafe.guest(zone=BERLIN), cafe.guest()
    cafe.points(rich, NOW - DAY, 100)
    cafe.points(poor, NOW - DAY, 10)
    assert cafe.meets("rank:\n  of: points\n  top: 1", NOW) == {rich}
    assert cafe.meets(
        "any:\n  - rank:\n      of: points\n      bottom: 1\n  - rank:\n      of: points\n      top: 1", NOW
    ) == {
        rich,
        poor,
    }


def test_ratings_and_their_scores(cafe: Cafe) -> None:
    guest, nobody = cafe.guest(), cafe.guest()
    cafe.rating(guest, at("2026-05-01 03:59"), 5, "Übersicht")  # still the last of April
    cafe.rating(guest, at("2026-05-30 12:00"), 2)
    cafe.rating(guest, at("2026-05-30 12:00"), 3)  # the later row of one moment
    cafe.rating(guest, NOW + DAY, 1)
    for asked, wanted in [
        ("ratings: 3", {guest}),
        ("ratings: 0", {nobody}),
        ("ratings:\n  since: 2026-05-01\n  equals: 2", {guest}),
        ("ratings:\n  since: 2026-04-30\n  equals: 3", {guest}),
        ("ratings:\n  within: 31 days\n  equals: 2", {guest}),
        ("ratings:\n  within: 32 days\n  equals: 3", {guest}),
        ("ratings:\n  before: 31 days\n  equals: 1", {guest}),
        ("ratings:\n  before: 32 days\n  equals: 0", {guest, nobody}),
        ("ratings:\n  within: 24 hours\n  equals: 0", {guest, nobody}),
        ("ratings:\n  source: ÜBERSICHT\n  equals: 1", {guest}),
        ("last_rating: 3", {guest}),
        ("last_rating:\n  source: übersicht\n  equals: 5", {guest}),
        ("last_rating:\n  is_not: 3", {nobody}),
        ("average_rating:\n  within: 2 days\n  equals: 2.5", {guest}),
        ("average_rating:\n  at_most: 5", {guest}),
    ]:
        assert cafe.meets(asked, NOW) == wanted, asked


def test_points_of_another_ledger_and_what_came_in(cafe: Cafe) -> None:
    guest, nobody = cafe.guest(), cafe.guest()
    cafe.points(guest, NOW - 40 * DAY, 100)
    cafe.points(guest, NOW - 5 * DAY, 30, NOW - DAY)
    cafe.points(guest, NOW - 4 * DAY, -20)
    for asked, wanted in [
        ("points:\n  within: 30 days\n  equals: 30", {guest}),  # given, whatever became of it
        ("points:\n  before: 30 days\n  equals: 100", {guest}),
        ("points:\n  within: 3 days\n  equals: 0", {guest, nobody}),
        ("points:\n  ledger: stamps\n  equals: 0", {guest, nobody}),
    ]:
        assert cafe.meets(asked, NOW) == wanted, asked


def test_coupons_by_state_and_when_they_came_to_it(cafe: Cafe) -> None:
    live, endless, used, run_out, taken, nobody = (cafe.guest() for _ in range(6))
    coupon(cafe, live, NOW - 10 * DAY)
    coupon(cafe, endless, NOW - 10 * DAY, valid_until=None)
    coupon(cafe, used, NOW - 10 * DAY, redeemed_at=NOW - DAY)
    coupon(cafe, run_out, NOW - 20 * DAY, valid_until=NOW)
    coupon(cafe, taken, NOW - 10 * DAY, revoked_at=NOW - 2 * DAY)
    coupon(cafe, nobody, NOW - 10 * DAY, issued_at=None, valid_until=None)  # held: it has no code yet
    everybody = {live, endless, used, run_out, taken}
    for asked, wanted in [
        ("at_least: 1", everybody),
        ("within: 11 days\n  at_least: 1", everybody - {run_out}),
        ("state: live\n  at_least: 1", {live, endless}),
        ("state: redeemed\n  within: 2 days\n  at_least: 1", {used}),
        ("state: redeemed\n  before: 2 days\n  at_least: 1", set()),
        ("state: expired\n  at_least: 1", {run_out}),
        ("state: revoked\n  at_least: 1", {taken}),
        ("offer: treat\n  equals: 0", {nobody}),
    ]:
        assert cafe.meets(f"coupons:\n  {asked}", NOW) == wanted, asked
    assert cafe.meets("coupons:\n  state: live\n  at_least: 1", NOW - 5 * DAY) == everybody


def test_messages_by_rule_channel_and_state(cafe: Cafe) -> None:
    guest, other = cafe.guest(), cafe.guest()
    sent(cafe, guest, "email", NOW - 10 * DAY, rule="welcome")
    sent(cafe, guest, "sms", NOW - DAY, rule="win-back", state="uncertain")
    sent(cafe, guest, "email", NOW - DAY, endpoint_id=None)  # to the staff
    sent(cafe, guest, "coupon", NOW - DAY)
    sent(cafe, other, "email", NOW - DAY, state="blocked", handed_at=None)
    sent(cafe, other, "email", NOW + DAY, state="pending", handed_at=None, finished_at=None)
    for asked, wanted in [
        ("at_least: 1", {guest}),
        ("equals: 2", {guest}),
        ("within: 7 days\n  equals: 1", {guest}),
        ("channel: email\n  equals: 1", {guest}),
        ("rule: [welcome, win-back]\n  equals: 2", {guest}),
        ("rule: win-back\n  channel: email\n  equals: 0", {guest, other}),
        ("state: blocked\n  at_least: 1", {other}),
        ("state: waiting\n  at_least: 1", {other}),
    ]:
        assert cafe.meets(f"messages:\n  {asked}", NOW) == wanted, asked


def test_events_by_name_and_what_their_columns_say(cafe: Cafe) -> None:
    guest, other = cafe.guest(), cafe.guest()
    event(cafe, guest, NOW - DAY, "Café Tasting", kind="Weiß", seats=2)
    event(cafe, guest, NOW - 40 * DAY, "tour")
    event(cafe, None, NOW - DAY, "rain")
    event(cafe, other, NOW + DAY, "tour")
    for asked, wanted in [
        ("at_least: 1", {guest}),
        ("name: CAFÉ tasting\n  equals: 1", {guest}),
        ("name: [tour, rain]\n  within: 30 days\n  equals: 0", {guest, other}),
        ('where:\n    kind: "WEISS"\n    seats: "2"\n  at_least: 1', {guest}),
        ("where:\n    Kind:\n      is_not: weiß\n  at_least: 1", {guest}),
        ("where:\n    Nothing: x\n  equals: 0", {guest, other}),
    ]:
        assert cafe.meets(f"events:\n  {asked}", NOW) == wanted, asked


@pytest.mark.parametrize(
    "later",
    [
        "stop_if:\n  rank:\n    of: spend\n    top: 1\n",
        "stop_if:\n  segment: champions\n",
        "stop_if:\n  none:\n    - segment: all-of-them\n",
        "actions:\n  - email:\n      template: hello\n      only_if:\n        any:\n          - segment: champions\n",
    ],
)
def test_what_compares_all_guests_is_not_asked_for_each_message(later: str) -> None:
    ranked = "champions:\n  conditions:\n    rank:\n      of: spend\n      top: 10%\n"
    home = home_of(segments=f"{ranked}all-of-them:\n  conditions:\n    any:\n      - segment: champions\n")
    rest = "" if "actions" in later else "actions:\n  - email: hello\n"
    document, _ = parse(f"id: r\ntrigger:\n  birthday:\n{rest}{later}", "rules/r.yaml")
    assert document is not None
    assert [problem.code for problem in rule_from(document, home.around)[1]] == ["rank-later"]
    assert rule_of("trigger:\n  birthday:\nconditions:\n  segment: all-of-them\n", home)
