"""A version of a rule that a journey keeps is read again whatever has left the home since."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examples_world import NOW
from small_world import CONFIG, Cafe, home_of, rule_of
from sqlalchemy import Connection
from test_examples import PLACED, starter, whole

from engine.dispatch.journeys import Journeys
from engine.evaluation.register import register, version_row
from engine.evaluation.stop import why_stopped
from engine.language.calendarfile import Calendar
from engine.language.loyalty import Loyalty
from engine.language.rule import Rule
from engine.vocabulary.home import Home


def without_everything(home: Home) -> Home:
    """The home after its owner has tidied up."""
    config = replace(home.config, topics=(), contacts={}, webhooks={}, attributes={})
    empty = replace(home, config=config, offers={}, templates={}, segments={}, segment_data={})
    return replace(empty, rules=(), exclude=(), loyalty=Loyalty(), calendar=Calendar())


def kept(conn: Connection, home: Home, rule: Rule) -> int:
    """Write a version down, as a match does."""
    rows = register(conn, replace(home, rules=(rule,)), NOW)
    return version_row(conn, rule, rows[rule.id].id, NOW, home)


def told(rule: Rule) -> tuple[object, ...]:
    steps = [(each.number, each.word, each.branches, len(each.only_if)) for each in rule.steps]
    return rule.purpose, rule.topic, rule.trigger.sentence(), steps, [each.sentence() for each in rule.stop_if]


def test_every_example_is_read_and_asked_about_in_a_home_that_has_lost_all_it_names(cafe: Cafe) -> None:
    cafe.home = starter()
    guest, empty = cafe.guest(), without_everything(cafe.home)
    cafe.run("trigger:\n  birthday:\n", now=NOW)
    for section, word in PLACED:
        text = whole(section, word)
        later = "stop_if:" not in text and word != "rank"  # who compares all guests asks under conditions alone
        asked = text.replace("\nconditions:\n", "\nstop_if:\n") if later else text
        rule = rule_of(asked, cafe.home)
        with cafe.db.begin() as conn:
            again = Journeys(empty).rule(conn, kept(conn, cafe.home, rule))
            assert told(again) == told(rule), word
            for step in again.steps:
                why_stopped(
                    conn, empty, again, customer_id=guest, matched_at=NOW, as_of=NOW, step=step.number
                )  # fmt: skip


@pytest.mark.parametrize("first", ["number", "date"])
def test_an_owners_column_is_compared_as_it_was_declared(cafe: Cafe, first: str) -> None:
    value, bound = (12, "9") if first == "number" else ("2026-05-01", "2026-04-30")
    cafe.home = home_of(f"{CONFIG}attributes:\n  seats: {first}\n")
    guest = cafe.guest(attributes={"seats": value}, attribute_keys={"seats": str(value)})
    rule = rule_of(f"trigger:\n  birthday:\nstop_if:\n  attribute.seats:\n    at_least: {bound}\n", cafe.home)
    cafe.run(rule, now=NOW)
    with cafe.db.begin() as conn:
        again = Journeys(without_everything(cafe.home)).rule(conn, kept(conn, cafe.home, rule))
        assert why_stopped(conn, cafe.home, again, customer_id=guest, matched_at=NOW, as_of=NOW) == "stop_if"


def test_a_segment_is_kept_as_it_was_evaluated_with_last(cafe: Cafe) -> None:
    first, second = (f"fans:\n  conditions:\n    points:\n      at_least: {number}\n" for number in (1, 5))
    cafe.home = home_of(CONFIG, first)
    guest = cafe.guest()
    cafe.points(guest, NOW, 3)
    rule = rule_of("trigger:\n  birthday:\nstop_if:\n  segment: fans\n", cafe.home)
    cafe.run(rule, now=NOW)
    for home, why in ((cafe.home, "stop_if"), (home_of(CONFIG, second), None)):
        with cafe.db.begin() as conn:
            again = Journeys(without_everything(home)).rule(conn, kept(conn, home, rule))
            gone = without_everything(home)
            assert why_stopped(conn, gone, again, customer_id=guest, matched_at=NOW, as_of=NOW) == why
