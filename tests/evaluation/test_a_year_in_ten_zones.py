"""A year of a small chain in ten zones, as it might be run: at odd hours, with pauses of weeks, with runs that die.

Data come day by day, and the facts are kept up as they come. After each run the matches are those of the oracle, which is
told the data and the times of the runs; at the end each occasion is there exactly once, or is listed as expired.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oracle import decide
from oracle_seen import Seen
from oracle_triggers import occasions
from oracle_world import DAY, Match, World
from random_cafes import MENU, Dice, a_guest, an_order, cafe_config, happenings
from random_rules import read
from small_world import home_of
from sqlalchemy import Engine, select
from store_cafe import store_guests, store_news

from engine.database.engines import open_db
from engine.database.facts import rebuild, recompute
from engine.database.tables import matches, rules
from engine.evaluation.runner import run_due
from engine.vocabulary.home import Home
from engine.vocabulary.triggers import TRIGGERS

BEGIN = datetime(2027, 9, 1, tzinfo=UTC)  # 29 February 2028 lies within
#: Store: zone and country. Both hemispheres, with and without daylight saving, half and quarter hours.
PLACES = {
    1: ("America/Chicago", "US"), 2: ("America/St_Johns", "CA"), 3: ("Europe/Berlin", "DE"), 4: ("Asia/Kolkata", "IN"),
    5: ("Asia/Kathmandu", "NP"), 6: ("Australia/Lord_Howe", "AU"), 7: ("Pacific/Auckland", "NZ"),
    8: ("America/Santiago", "CL"), 9: ("Africa/Cairo", "EG"), 10: ("Asia/Shanghai", "CN"),
}  # fmt: skip
SEGMENTS = {"lively": {"conditions": {"visits": {"within": "20 days", "at_least": 3}}}}

#: One rule or several for each trigger. Those in ``LISTED`` have no conditions: nothing that fires may be missing.
WRITTEN: dict[str, list[Any]] = {
    "lapsed": ["20 days", {"after": "1 month", "up_to": "40 days", "category": "Coffee"}],
    "at_risk": [{"times": 2, "min_visits": 3, "at_least": "5 days"}],
    "birthday": [None, {"days_before": 7, "leap_day": "mar1", "late": "3 days"}],
    "anniversary": [{"of": ["joined", "wedding"]}, {"of": "wedding", "leap_day": "mar1", "days_before": 1}],
    "joined": [{"ago": "1 day", "within": "1 month"}],
    "ordered": [None, {"every": 2, "ago": "10 days"}, {"count": 3, "ago": "2 hours", "late": "1 day"}],
    "rated": [{"at_least": 4}],
    "low_rating": [{"at_most": 2, "within": "36 hours"}],
    "reached": [{"visits": 5, "every": True}, {"spend": 20, "per": "month"}, {"points": 100}],
    "expiring": [{"what": "points", "within": "5 days", "at_least": 20}],
    "tier_changed": [None],
    "referred": [{"orders": 2}],
    "enters": ["lively"],
    "festival": [{"name": "lunar-new-year", "days_before": 3}, {"name": "christmas", "late": "1 week"}],
    "on_date": ["2028-02-29", {"date": "2027-12-31", "late": "1 day"}],
    "every": [{"period": "month", "on": 31}, {"period": "week", "on": "sun", "late": "2 days"}],
    "event": [{"name": "rain"}],
}
#: Each rule has a schedule of its own: this share of them is looked at in one run.
DUE = 0.2
LISTED = ("birthday", "anniversary", "on_date", "every", "festival", "ordered", "rated", "low_rating", "event")


def the_rules(home: Home) -> list[dict[str, Any]]:
    """The rules of the year; every second one asks something of the guest as well."""
    written = []
    for word, settings in WRITTEN.items():
        for number, given in enumerate(settings if word in TRIGGERS else []):
            rule = {
                "id": f"{word.replace('_', '-')}-{number}",
                "trigger": {word: given},
                "schedule": "every 15 minutes",
            }
            written.append({**rule, "actions": [{"alert": "hello"}], "purpose": "service"})
    asking = {"actions": [{"email": "hello"}], "conditions": {"visits": {"within": "3 months", "at_least": 1}}}
    written += [{**rule, **asking, "id": f"asking-{rule['id']}", "purpose": "marketing"} for rule in written[::9]]
    for rule in written:
        assert read(rule, home.around)[0] is not None, rule
    return written


def a_chain(dice: Dice, days: int) -> World:
    """A café in each zone with guests, and what happens to them in so many days."""
    dice.begin, dice.days = BEGIN, days
    world = World(
        stores={number: (f"Café {number}", f"S-{number}") for number in PLACES},
        store_zones={number: zone for number, (zone, _) in PLACES.items()},
        store_countries={number: country for number, (_, country) in PLACES.items()},
        segments=SEGMENTS,
        attribute_types={"wedding": "date"},
    )
    for number in range(1, 21):
        place = (number - 1) % len(PLACES) + 1
        guest = replace(a_guest(dice, number), zone=PLACES[place][0], store=place)
        joined = dice.sometimes(0.5, dice.moment())
        birthday = dice.choice((101, 229, 229, 301, 310, 402, 905, 1004, 1101, 1226, 1230))
        referred_by = dice.sometimes(0.4, dice.choice([each for each in range(1, 21) if each != number]))
        world.guests.append(replace(guest, joined=joined, birthday=birthday, referred_by=referred_by))
    for guest in world.guests:
        at, pace = dice.moment(days // 2), dice.choice((30, 90, 300, 900))
        while at < BEGIN + days * DAY and len(world.orders) < 40 * guest.id:
            order = an_order(dice, len(world.orders) + 1, guest.id, 1)
            refunds = [(at + (when - order.at), amount) for when, amount in order.refunds]
            world.orders.append(replace(order, at=at, store=guest.store, refunds=refunds, items=(dice.choice(MENU),)))
            at += timedelta(hours=dice.randrange(1, 2 * pace), seconds=dice.choice((0, 0, 1)))
    for number in range(1, days // 6):
        who = dice.choice(world.guests).id
        world.ratings.append((number, who, dice.moment(), dice.choice((1.0, 2.0, 4.5)), "google"))
    happenings(dice, world)
    world.coupons.clear()
    return world


def run_times(dice: Dice, days: int) -> Iterator[datetime]:
    """At random hours, after a day or two or after pauses of up to 40 days."""
    now = BEGIN + 3 * DAY
    while now < BEGIN + days * DAY:
        yield now
        pause = dice.choice((1, 2, 3, 7, 20, 40))
        now += timedelta(days=pause, hours=dice.randrange(-12, 12), minutes=dice.randrange(60))


class Year:
    """The year as the database sees it, beside what the oracle says."""

    def __init__(self, dice: Dice, days: int) -> None:
        self.dice = dice
        self.world = a_chain(dice, days)
        self.home = home_of(cafe_config(None), json.dumps(SEGMENTS))
        self.written = the_rules(self.home)
        self.past: list[Match] = []
        self.seen_until: dict[str, datetime] = {}
        self.first_seen: dict[str, datetime] = {}
        self.told_until = datetime(2000, 1, 1, tzinfo=UTC)
        self.runs: list[datetime] = []

    def start(self, db: Engine) -> None:
        with db.begin() as conn:
            store_guests(conn, self.world)
            rebuild(conn, BEGIN)

    def tell(self, db: Engine, now: datetime) -> None:
        """Bring the data up to ``now``, day by day; the facts follow as they do with an import."""
        while self.told_until < now:
            until = min(max(self.told_until, BEGIN) + DAY, now)
            with db.begin() as conn:
                recompute(conn, store_news(conn, self.world, self.told_until, until), until)
            self.told_until = until

    def evaluate(self, db: Engine, now: datetime) -> None:
        """Run once; now and then the process dies after some rules, and starts again a little later."""
        if self.dice.random() < 0.15:
            some = self.written[: self.dice.randrange(len(self.written))]
            self.look(db, some, now)
            now += timedelta(minutes=self.dice.randrange(1, 90))
            self.tell(db, now)
        self.look(db, [rule for rule in self.written if self.dice.random() < DUE], now)

    def look(self, db: Engine, written: list[dict[str, Any]], now: datetime) -> None:
        made = tuple(rule for rule, _ in (read(each, self.home.around) for each in written) if rule is not None)
        result = run_due(db, replace(self.home, rules=made), now)
        assert result.balanced, [(rule.rule, rule.problems, rule.bug) for rule in result.rules if rule.problems]
        expected = [
            m for rule in written for m in decide(self.world, rule, now, self.past, self.seen_until.get(rule["id"]))
        ]
        with db.connect() as conn:
            found = conn.execute(
                select(rules.c.rule, matches)
                .join(rules, rules.c.id == matches.c.rule_id)
                .where(matches.c.run_id == result.run)
            ).all()
        answer = {(m.rule, m.customer_id, m.occasion): (m.verdict, m.reason, m.closes) for m in found}
        wanted = {(m.rule, m.guest, m.occasion): (m.verdict, m.reason, m.closes) for m in expected}
        differing = {
            k: (answer.get(k), wanted.get(k)) for k in answer.keys() | wanted.keys() if answer.get(k) != wanted.get(k)
        }
        assert not differing, f"at {now}, after {self.runs[-3:]}: {differing}"
        self.past.extend(expected)
        self.seen_until |= {rule["id"]: now for rule in written}
        self.first_seen = {rule["id"]: now for rule in written} | self.first_seen
        self.runs.append(now)


@pytest.mark.parametrize("days", [366])
def test_each_occasion_of_a_year_is_there_once_or_listed_as_expired(db: Engine, days: int) -> None:
    dice = Dice(days)
    days = days if db.dialect.name == "sqlite" else days // 6
    year = Year(dice, days)
    year.start(db)
    for now in run_times(dice, days):
        again = open_db(db.url.render_as_string(hide_password=False))  # each run is a process of its own
        year.tell(again, now)
        year.evaluate(again, now)
        again.dispose()
    _nothing_is_missing(year)
    assert {match.verdict for match in year.past} == {"act", "refused"}
    assert any(match.reason == "expired" for match in year.past)


def _nothing_is_missing(year: Year) -> None:
    """Of the triggers whose occasions nobody takes back: what opened between the first run and the last is there, once."""
    for rule in year.written:
        ((word, given),) = rule["trigger"].items()
        if (
            word not in LISTED
            or "conditions" in rule
            or rule["id"] not in year.first_seen
            or (isinstance(given, dict) and {"every", "count"} & set(given))
        ):
            continue  # which visit is the third is another one once the first is refunded
        first, last = year.first_seen[rule["id"]], year.seen_until[rule["id"]]
        there = [(match.guest, match.occasion) for match in year.past if match.rule == rule["id"]]
        assert len(there) == len(set(there))
        for guest in year.world.guests:
            for occasion, opens, _ in occasions(Seen(year.world, guest, last), word, given):
                joined, orders = guest.joined, Seen(year.world, guest, opens).orders()
                is_there = joined is None or joined <= opens or bool(orders)
                if first < opens <= last and is_there:
                    assert (guest.id, occasion) in there, (rule["id"], guest, occasion, opens)
