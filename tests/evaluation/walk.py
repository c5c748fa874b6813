"""A café's weeks at random, in each step of which what a run decides is held against one that looks at everybody."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from small_world import BERLIN, CHICAGO, CONFIG, Cafe, at, home_of, rule_of
from sqlalchemy import Engine, select, update

from engine.database.facts import rebuild, recompute
from engine.database.facts_delta import apply_delta
from engine.database.tables import customers, matches, orders, rules
from engine.evaluation import runner
from engine.language.rule import Rule
from engine.vocabulary.home import Home

BEGIN = at("2026-05-04 10:00")
SEGMENTS = (
    "best:\n  conditions:\n    any:\n      - tier: gold\n      - spend:\n          within: 60 days\n          at_least: 30\n",
    "best:\n  conditions:\n    visits:\n      at_least: 2\n",
)
TRIGGERS = (
    "lapsed:\n    after: {days} days\n    up_to: {more} days",
    "lapsed:\n    after: {days} days\n    up_to: {more} days\n    total:\n      at_least: 10",
    "at_risk:\n    times: {times}\n    min_visits: 3\n    at_least: {few} days\n    up_to: {more} days",
    "every:\n    period: week\n    on: {day}",
    "every: month",
    "on_date: 2026-05-{date:02}",
    "joined: {few} days",
    "ordered:\n    count: 2",
)
CONDITIONS = (
    "orders:\n    at_least: 2",
    "orders:\n    within: 30 days\n    at_least: 1",
    "visits:\n    within: 40 days\n    at_most: 2",
    "spend:\n    within: 60 days\n    at_least: 25",
    "points:\n    less_than: 100",
    "points:\n    at_least: 50",
    "segment: best",
    "none:\n    - segment: best",
    "none:\n    - orders:\n        within: 20 days\n        at_least: 1",
    "days_since_order:\n    at_least: 12",
    "tier: gold",
    "any:\n    - tier: gold\n    - city: Springfield",
    "average_order:\n    at_least: 12",
)


@dataclass
class Walk:
    """A café over some weeks, and rules that change."""

    dice: random.Random
    cafe: Cafe
    level: pytest.MonkeyPatch
    now: datetime = BEGIN
    guests: list[int] = field(default_factory=list)
    placed: list[tuple[int, int]] = field(default_factory=list)  #: order and guest
    written: list[str] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)
    home: Home = field(default_factory=lambda: home_of(CONFIG, SEGMENTS[0]))

    def a_rule(self, number: int) -> str:
        few = self.dice.randint(1, 8)
        days = {"days": few + self.dice.randint(0, 20), "few": few, "times": self.dice.choice((1, 1.5, 3))}
        days |= {"more": days["days"] + self.dice.randint(1, 25), "date": self.dice.randint(4, 31)}
        trigger = self.dice.choice(TRIGGERS).format(**days, day=self.dice.choice(("mon", "wed", "sun")))
        asked = self.dice.sample(CONDITIONS, self.dice.randint(0, 2))
        kinds = {each.split(":")[0]: each for each in asked}
        conditions = "conditions:\n" + "".join(f"  {each}\n" for each in kinds.values()) if kinds else ""
        return f"id: r{number}\ntrigger:\n  {trigger}\n{conditions}limits:\n  again_after: 1 day\n"

    def happens(self) -> None:
        """Something of the café's day is written, as importers write it."""
        what = self.dice.choice((
            self.joins, self.orders, self.orders, self.orders, self.late_order, self.gives_back, self.points,
            self.tier, self.edits, self.pauses, self.other_segment, self.moves,
        ))  # fmt: skip
        what()

    def joins(self) -> None:
        joined = self.now - timedelta(hours=self.dice.randint(-80, 200))
        zone = self.dice.choice((CHICAGO, BERLIN))
        self.guests.append(self.cafe.guest(zone=zone, joined=self.dice.choice((joined, None)), city="Springfield"))
        self.anew(self.guests[-1])

    def orders(self) -> None:
        """Orders of the last hours, taken in by the delta, one of them perhaps of a time to come."""
        with self.cafe.db.connect() as conn:
            last = conn.scalar(select(orders.c.id).order_by(orders.c.id.desc()).limit(1)) or 0
        for guest in self.dice.sample(self.guests, self.dice.randint(1, 3)):
            self.order(guest, self.now - timedelta(hours=self.dice.randint(-20, 30)))
        with self.cafe.db.begin() as conn:
            apply_delta(conn, after_id=last, as_of=self.now)

    def late_order(self) -> None:
        """An order of long ago is in a file only now."""
        guest = self.dice.choice(self.guests)
        self.order(guest, self.now - timedelta(hours=self.dice.randint(30, 1500)))
        self.anew(guest)

    def order(self, guest: int, when: datetime) -> None:
        self.placed.append((self.cafe.order(guest, when, self.dice.choice((500, 1000, 3000))), guest))

    def gives_back(self) -> None:
        if self.placed:
            order, guest = self.dice.choice(self.placed)
            self.cafe.refund(order, self.now + timedelta(hours=self.dice.randint(-40, 40)))
            self.anew(guest)

    def points(self) -> None:
        guest = self.dice.choice(self.guests)
        ends = self.now + timedelta(hours=self.dice.randint(1, 300))
        self.cafe.points(guest, self.now, self.dice.choice((40, 90, 200)), self.dice.choice((ends, None)))
        self.anew(guest)

    def tier(self) -> None:
        guest, tier = self.dice.choice(self.guests), self.dice.choice(("gold", "silver"))
        self.customer(guest, tier=tier, tier_key=tier)

    def moves(self) -> None:
        city = self.dice.choice(("springfield", "elsewhere"))
        self.customer(self.dice.choice(self.guests), city_key=city)

    def customer(self, guest: int, **values: Any) -> None:
        with self.cafe.db.begin() as conn:
            conn.execute(update(customers).where(customers.c.id == guest).values(**values))
        self.anew(guest)

    def anew(self, guest: int) -> None:
        with self.cafe.db.begin() as conn:
            recompute(conn, [guest], self.now)

    def edits(self) -> None:
        number = self.dice.randrange(len(self.written))
        self.written[number] = self.a_rule(number)

    def pauses(self) -> None:
        self.paused ^= {self.dice.randrange(len(self.written))}

    def other_segment(self) -> None:
        self.home = home_of(CONFIG, self.dice.choice(SEGMENTS))

    def made(self) -> tuple[Rule, ...]:
        read = [rule_of(text, self.home) for number, text in enumerate(self.written) if number not in self.paused]
        return tuple(read)

    def goes(self, steps: int, rules_at_once: int) -> None:
        for _ in range(12):
            self.joins()
        for guest in self.guests:
            for _ in range(self.dice.randint(0, 5)):
                self.order(guest, self.now - timedelta(hours=self.dice.randint(1, 1400)))
        with self.cafe.db.begin() as conn:
            rebuild(conn, self.now)
        self.written = [self.a_rule(number) for number in range(rules_at_once)]
        for step in range(steps):
            self.looks(f"step {step}")
            for _ in range(self.dice.randint(0, 5)):
                self.happens()
            self.now += self.dice.choice(
                (timedelta(minutes=15), timedelta(days=1), timedelta(days=1), timedelta(days=5))
            )

    def looks(self, about: str) -> None:
        """What a run decides is what one decides that looks at everybody."""
        made = self.made()
        with self.level.context() as patch:
            patch.setattr(runner._Evaluation, "_seen_tick", lambda *_: None)
            wanted = decided(self.cafe.db, self.home, made, self.now, dry_run=True)
        assert decided(self.cafe.db, self.home, made, self.now, workers=3) == wanted, (
            f"{about}, {self.now}: {self.written}"
        )


def decided(db: Engine, home: Home, made: tuple[Rule, ...], now: datetime, **options: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}

    def look(conn: Any, run: int, _: Any) -> None:
        asked = select(rules.c.rule, matches).join(rules, rules.c.id == matches.c.rule_id)
        for row in conn.execute(asked.where(matches.c.run_id == run)):
            found[row.rule, row.customer_id, row.occasion] = (row.verdict, row.reason, row.closes)

    result = runner.run_due(db, replace(home, rules=made), now, look=look, **options)
    assert result.balanced, [(rule.rule, rule.problems, rule.bug) for rule in result.rules if rule.problems]
    return found
