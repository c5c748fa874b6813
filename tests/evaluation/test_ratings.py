"""``rated`` and ``low_rating``: which ratings fire, at their boundaries."""

from __future__ import annotations

from datetime import timedelta

from small_world import Cafe, at

NOW = at("2026-05-04 10:00")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def rated(**settings: object) -> str:
    return "trigger:\n  rated:\n" + "".join(f"    {word}: {value}\n" for word, value in settings.items())


def test_any_rating_fires_for_three_days_from_its_second_on(cafe: Cafe) -> None:
    ages = {age: cafe.guest() for age in (-SECOND, timedelta(0), 3 * DAY - SECOND, 3 * DAY)}
    for age, guest in ages.items():
        cafe.rating(guest, NOW - age, 3)
    cafe.rating(None, NOW, 3)
    cafe.guest()
    assert cafe.who("trigger:\n  rated:\n", NOW) == {ages[timedelta(0)], ages[3 * DAY - SECOND]}


def test_both_bounds_are_included_and_a_plain_value_is_the_highest(cafe: Cafe) -> None:
    guests = {score: cafe.guest() for score in (1, 2, 3.5, 4, 5)}
    for score, guest in guests.items():
        cafe.rating(guest, NOW, score)

    def scores(rule: str) -> set[float]:
        found = cafe.who(rule, NOW)
        return {score for score, guest in guests.items() if guest in found}

    assert scores(rated(at_least=2, at_most=4)) == {2, 3.5, 4}
    assert scores(rated(at_least=4)) == {4, 5}
    assert scores("trigger:\n  rated: 2\n") == scores("trigger:\n  low_rating: 2\n") == {1, 2}
    assert scores("trigger:\n  low_rating:\n    at_least: 2\n") == {2}


def test_each_of_several_ratings_at_once_is_a_match_of_its_own(cafe: Cafe) -> None:
    guest = cafe.guest()
    both = {cafe.rating(guest, NOW, 5), cafe.rating(guest, NOW, 4)}
    cafe.verdicts(rated(at_least=4), NOW)
    assert {(row.rating_id, row.occasion, row.verdict) for row in cafe.matches} == {
        (each, each, "act") for each in both
    }


def test_what_came_in_and_grew_old_in_a_pause_is_listed_once(cafe: Cafe) -> None:
    rule, guest = rated(at_least=4), cafe.guest()
    assert cafe.verdicts(rule, NOW) == {}
    cafe.rating(guest, NOW + DAY, 5)
    late = NOW + 5 * DAY
    assert cafe.verdicts(rule, late) == {guest: ("refused", "expired")}
    assert cafe.verdicts(rule, late + DAY) == {}
