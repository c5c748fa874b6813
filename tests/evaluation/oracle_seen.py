"""One guest as seen at one moment, in plain Python: orders, numbers over them, store, consent.

Written from the language's reference, not from the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from oracle_calendar import birthday_in
from oracle_law import worth_of_implied
from oracle_world import DAY, FOUR, Entry, Guest, Order, World, day_of, exact, fits, named, passes, shift

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass
class Seen:
    """One guest as seen at one moment.

    ``watermark``: the rule's last evaluation; ``match_at``: when the match was made, in what is asked after it.
    """

    world: World
    guest: Guest
    now: datetime
    topic: str | None = None
    watermark: datetime | None = None
    match_at: datetime | None = None

    @property
    def today(self) -> date:
        return day_of(self.now, self.guest)

    def day(self, order: Order) -> date:
        return day_of(order.at, self.guest)

    # -- orders ----------------------------------------------------------------------------------------------------------

    def orders(self, filters: Any = None) -> list[Order]:
        """The orders that count and pass the filters, the first one first."""
        filters = filters if isinstance(filters, dict) else {}
        mine = self.world.orders_of[self.guest.id]
        return [order for order in mine if order.net(self.now) is not None and self.passes(order, filters)]

    def in_period(self, at: datetime, period: dict[str, Any]) -> bool:
        """Whether a moment lies in ``within``, ``before`` and ``since``, and not ahead."""
        if at > self.now:
            return False
        for word, newer in (("within", True), ("before", False)):
            if word in period:
                span = exact(period[word])
                is_newer = (
                    at > self.now - span if span else day_of(at, self.guest) > shift(self.today, period[word], -1)
                )
                if is_newer != newer:
                    return False
        if period.get("since") == "match":
            assert self.match_at is not None
            return at > self.match_at
        return "since" not in period or day_of(at, self.guest) >= date.fromisoformat(period["since"])

    def passes(self, order: Order, filters: dict[str, Any]) -> bool:
        """Whether an order passes the order filters."""
        tests = {
            "store": lambda asked: fits(asked, *self.world.stores.get(order.store or 0, ())),
            "channel": lambda asked: fits(asked, order.channel),
            "weekday": lambda asked: self.weekday(order) in days_named(asked),
            "hours": lambda asked: self.at_hours(order, asked),
            "total": lambda asked: passes(Fraction(order.net(self.now) or 0, 100), asked),
        }
        if not self.in_period(order.at, filters):
            return False
        if not all(test(filters[word]) for word, test in tests.items() if word in filters):
            return False
        return self.holds_item(order, {word: filters[word] for word in ("product", "category") if word in filters})

    def clock(self, order: Order) -> datetime:
        """The order's time on the clock of the store, else of the home."""
        zone = self.world.store_zones.get(order.store or 0, self.world.zone)
        return order.at.astimezone(ZoneInfo(zone))

    def weekday(self, order: Order) -> str:
        """The weekday of the business day on that clock."""
        at = self.clock(order)
        return WEEKDAYS[(at.date() if at.time() >= FOUR else at.date() - DAY).weekday()]

    def at_hours(self, order: Order, hours: str) -> bool:
        """Whether it was placed at these hours; they may pass midnight."""
        clock = self.clock(order).time()
        opens, closes = (time.fromisoformat(each) for each in hours.split("-"))
        return opens <= clock < closes if opens < closes else clock >= opens or clock < closes

    @staticmethod
    def holds_item(order: Order, asked: dict[str, Any]) -> bool:
        """Whether no item is unwanted, and one of them is all that is wanted."""
        place = {"product": 0, "category": 1}
        tests = [(place[word], *named(test)) for word, test in asked.items()]
        if any(fits(unwanted, item[at]) for item in order.items for at, _, unwanted in tests):
            return False
        wants = [(at, wanted) for at, wanted, _ in tests if wanted is not None]
        return not wants or any(all(fits(wanted, item[at]) for at, wanted in wants) for item in order.items)

    def knows(self, filters: Any) -> bool:
        """Whether the data can answer: a guest none of whose orders carry items has no products and no categories."""
        of_items = isinstance(filters, dict) and bool({"product", "category"} & set(filters))
        return not of_items or any(order.items for order in self.orders())

    # -- facts -----------------------------------------------------------------------------------------------------------

    def fact(self, word: str, asked: Any) -> Fraction | None:
        """A number over the guest's orders; None: nothing is known."""
        if not self.knows(asked):
            return None
        orders = self.orders(asked)
        spent = Fraction(sum(order.net(self.now) or 0 for order in orders), 100)
        visits = sorted({self.day(order) for order in orders})
        numbers: dict[str, Callable[[], Fraction | int | None]] = {
            "orders": lambda: len(orders),
            "visits": lambda: len(visits),
            "spend": lambda: spent,
            "average_order": lambda: spent / len(orders) if orders else None,
            "mean_gap": lambda: mean_gap(visits),
            "refunds": lambda: self.refunds(asked if isinstance(asked, dict) else {}),
            "days_since_order": lambda: (self.today - visits[-1]).days if visits else None,
        }
        found = numbers[word]()
        return None if found is None else Fraction(found)

    def refunds(self, filters: dict[str, Any]) -> int:
        """How many orders something was given back of, wholly or in part."""
        mine = self.world.orders_of[self.guest.id]
        return sum(any(at <= self.now for at, _ in order.refunds) for order in mine if self.passes(order, filters))

    def store(self) -> int | None:
        """The guest's own store, else that of most visits in 180 days, the latest of several."""
        orders = self.orders()
        if self.guest.store or not orders:
            return self.guest.store
        lately = [o for o in orders if o.store and (self.day(orders[-1]) - self.day(o)).days < 180]
        days = {store: {self.day(o) for o in lately if o.store == store} for store in {o.store for o in lately}}
        last = {o.store: (o.at, o.store) for o in lately}
        return max(days, key=lambda store: (len(days[store]), last[store]), default=None)

    def country(self) -> str:
        """The country of the guest's store, else the home's."""
        return self.world.store_countries.get(self.store() or 0, self.world.country)

    def points(self, ledger: str = "points") -> int:
        """What is left of the lots that live. A use takes of those that run out first, and never more than there is."""
        return sum(left for _, left in self.lots(ledger))

    def lots(self, ledger: str = "points", *, dead: bool = False) -> list[tuple[Entry, int]]:
        """The lots that live, and how much of each is left; ``dead``: also those that ran out with something left."""
        left: dict[Entry, int] = {}
        mine = [e for e in self.world.points if (e.guest, e.ledger) == (self.guest.id, ledger) and e.at <= self.now]
        # At one and the same second, what comes in comes before what is taken.
        for entry in sorted(mine, key=lambda each: (each.at, each.points < 0, each.id)):
            if entry.points > 0:
                left[entry] = entry.points
                continue
            wanted = -entry.points
            live = [lot for lot in left if _lives(lot.expires, entry.at)]
            for lot in sorted(live, key=lambda each: (each.expires is None, each.expires or each.at, each.at, each.id)):
                taken = min(wanted, left[lot])
                left[lot] -= taken
                wanted -= taken
        return [(lot, remains) for lot, remains in left.items() if remains and (dead or _lives(lot.expires, self.now))]

    def age(self) -> int | None:
        """Completed years; who was born on 29 February gets older on 28 February of other years. A lunar year is unknown."""
        born, md = self.guest.birth_year, self.guest.birthday
        if born is None or md is None or self.guest.lunar:
            return None
        return sum(self.birthday(year, None) <= self.today for year in range(born + 1, self.today.year + 1))

    def birthday(self, year: int, leap: str | None) -> date:
        assert self.guest.birthday is not None
        return birthday_in(year, *divmod(self.guest.birthday, 100), lunar=self.guest.lunar, leap=leap)

    def joined_at(self) -> datetime | None:
        """When the guest joined: as told, else with the first order; None where that lies ahead."""
        orders = self.orders()
        at = self.guest.joined or (orders[0].at if orders else None)
        return at if at is not None and at <= self.now else None

    def block(self, endpoint: int | None, *, marketing: bool = True) -> str | None:
        if endpoint is None:
            return "no_endpoint"
        if endpoint in self.world.suppressed:
            return "suppressed"
        said = [
            (at, number, state)
            for number, (whose, topic, state, at) in enumerate(self.world.consents)
            if whose == endpoint and topic in {None, self.topic}
        ]
        if not marketing:
            return None
        # What the guest said goes before what is implied, whichever came first.
        at, _, word = max(said, key=lambda each: (each[2] != "implied", each), default=(self.now, 0, "no"))
        if word == "implied":
            orders = self.orders()
            channel = "email" if endpoint == self.guest.email else "sms"
            return worth_of_implied(
                self.world, self.guest, self.now, channel, noted=at, last_order=orders[-1].at if orders else None
            )
        return None if word == "yes" else "no_consent"


def _lives(expires: datetime | None, now: datetime) -> bool:
    return expires is None or expires > now


def days_named(asked: Any) -> set[str]:
    """The days of the week that a word, or a list of them, stands for."""
    sets = {"weekdays": WEEKDAYS[:5], "weekend": WEEKDAYS[5:]}
    return {day for name in (asked if isinstance(asked, list) else [asked]) for day in sets.get(name, (name,))}


def mean_gap(visits: list[date]) -> Fraction | None:
    """The mean of the last ten gaps between visits."""
    gaps = [(after - before) // DAY for before, after in pairwise(visits)][-10:]
    return Fraction(sum(gaps), len(gaps)) if gaps else None
