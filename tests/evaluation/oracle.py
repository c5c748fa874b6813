"""What the rule language means, in plain Python: slow, and written from its reference, not from the engine.

A rule is the plain data of its YAML. ``decide`` gives the matches of one run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any

from oracle_world import DAY, Guest, Match, Order, World, begins, birthday_in, day_of, exact, fits, passes, shift


@dataclass
class Seen:
    """One guest as seen at one moment."""

    world: World
    guest: Guest
    now: datetime
    topic: str | None = None

    @property
    def today(self) -> date:
        return day_of(self.now, self.guest)

    def day(self, order: Order) -> date:
        return day_of(order.at, self.guest)

    def orders(self, filters: Any = None) -> list[Order]:
        """The orders that count and pass the filters, the first one first."""
        filters = filters if isinstance(filters, dict) else {}
        mine = self.world.orders_of[self.guest.id]
        return [order for order in mine if order.net(self.now) is not None and self.passes(order, filters)]

    def passes(self, order: Order, filters: dict[str, Any]) -> bool:
        for word, newer in (("within", True), ("before", False)):
            if word in filters:
                span = exact(filters[word])
                is_newer = (
                    order.at > self.now - span if span else self.day(order) > shift(self.today, filters[word], -1)
                )
                if is_newer != newer:
                    return False
        if "since" in filters and self.day(order) < date.fromisoformat(filters["since"]):
            return False
        if "store" in filters and not fits(filters["store"], *self.world.stores.get(order.store or 0, ())):
            return False
        if "channel" in filters and not fits(filters["channel"], order.channel):
            return False
        return self.holds_item(order, {word: filters[word] for word in ("product", "category") if word in filters})

    @staticmethod
    def holds_item(order: Order, asked: dict[str, Any]) -> bool:
        place = {"product": 0, "category": 1}
        wanted, unwanted = {}, {}
        for word, test in asked.items():
            tests = test if isinstance(test, dict) else {"one_of": test}
            for how, names in tests.items():
                (unwanted if how in {"is_not", "none_of"} else wanted)[word] = names
        if any(fits(names, item[place[word]]) for item in order.items for word, names in unwanted.items()):
            return False
        return not wanted or any(all(fits(n, item[place[w]]) for w, n in wanted.items()) for item in order.items)

    def fact(self, word: str, asked: Any) -> Fraction | None:
        """A number over the guest's orders; None: nothing is known."""
        orders = self.orders(asked)
        of_items = isinstance(asked, dict) and bool({"product", "category"} & set(asked))
        if of_items and not any(order.items for order in self.orders()):
            return None
        match word:
            case "orders":
                return Fraction(len(orders))
            case "visits":
                return Fraction(len({self.day(order) for order in orders}))
            case "spend":
                return Fraction(sum(order.net(self.now) or 0 for order in orders), 100)
            case _:
                return Fraction((self.today - self.day(orders[-1])).days) if orders else None

    def store(self) -> int | None:
        """The guest's own store, else that of most visits in 180 days, the latest of several."""
        orders = self.orders()
        if self.guest.store or not orders:
            return self.guest.store
        lately = [o for o in orders if o.store and (self.day(orders[-1]) - self.day(o)).days < 180]
        days = {store: {self.day(o) for o in lately if o.store == store} for store in {o.store for o in lately}}
        last = {o.store: (o.at, o.store) for o in lately}
        return max(days, key=lambda store: (len(days[store]), last[store]), default=None)

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
        return "no_consent" if marketing and (not said or max(said)[2] != "yes") else None

    def meets(self, conditions: dict[str, Any]) -> bool:
        return all(self.holds(word, asked) for word, asked in conditions.items())

    def holds(self, word: str, asked: Any) -> bool:  # noqa: PLR0911 (one a word)
        guest = self.guest
        match word:
            case "any" | "all" | "none":
                met = [self.meets(member) for member in asked]
                return {"any": any(met), "all": all(met), "none": not any(met)}[word]
            case "segment":
                return self.meets(self.world.segments[asked]["conditions"])
            case "orders" | "visits" | "spend" | "days_since_order":
                return passes(self.fact(word, asked), asked)
            case "points":
                lots = (
                    n
                    for who, at, n, expires in self.world.points
                    if who == guest.id and at <= self.now and (not expires or expires > self.now)
                )
                return passes(Fraction(sum(lots)), asked)
            case "tier" | "city":
                return fits(asked, getattr(guest, word))
            case "language":
                plain = (guest.language or "").split("-")[0]
                return fits(asked, *([guest.language, plain] if guest.language else []))
            case "tag":
                return fits(asked, *guest.tags)
            case "store":
                return fits(asked, *self.world.stores.get(self.store() or 0, ()))
            case _:  # reachable
                by = {"email": self.block(guest.email) is None, "sms": self.block(guest.sms) is None}
                return {**by, "any": any(by.values()), "none": not any(by.values())}[asked]

    # -- triggers: occasion, opens, closes -----------------------------------------------------------------------------

    def occasions(self, word: str, given: Any) -> Iterator[tuple[int, datetime, datetime]]:
        first = {
            "lapsed": "after",
            "at_risk": "times",
            "birthday": "days_before",
            "joined": "ago",
            "low_rating": "at_most",
        }
        given = given if isinstance(given, dict) else {} if given is None else {first[word]: given}
        yield from getattr(self, word)(given)

    def days(self, occasion: int, opens: date, closes: date) -> Iterator[tuple[int, datetime, datetime]]:
        yield occasion, begins(opens, self.guest), begins(closes, self.guest)

    def lapsed(self, given: dict[str, Any]) -> Iterator[tuple[int, datetime, datetime]]:
        orders = self.orders(given)
        if orders:
            opens = shift(self.day(orders[-1]), given.get("after", "90 days"))
            closes = shift(self.day(orders[-1]), given["up_to"]) if "up_to" in given else opens + 30 * DAY
            yield from self.days(orders[-1].id, opens, closes)

    def at_risk(self, given: dict[str, Any]) -> Iterator[tuple[int, datetime, datetime]]:
        orders = self.orders()
        visits = sorted({self.day(order) for order in orders})
        if len(visits) < given.get("min_visits", 5):
            return
        gaps = [(after - before).days for before, after in pairwise(visits)][-10:]
        usual = Fraction(sum(gaps), len(gaps)) * Fraction(str(given.get("times", 3)))
        earliest = shift(visits[-1], given.get("at_least", "10 days"))
        opens = max(earliest, visits[-1] + (int(usual) + 1) * DAY)
        closes = shift(visits[-1], given["up_to"]) if "up_to" in given else earliest + 60 * DAY
        yield from self.days(orders[-1].id, opens, closes)

    def birthday(self, given: dict[str, Any]) -> Iterator[tuple[int, datetime, datetime]]:
        if self.guest.birthday is None:
            return
        for year in range(self.now.year - 3, self.now.year + 2):
            day = birthday_in(
                year, *divmod(self.guest.birthday, 100), lunar=self.guest.lunar, leap=given.get("leap_day")
            )
            opens = day - given.get("days_before", 0) * DAY
            yield from self.days(year, opens, opens + 2 * DAY)

    def joined(self, given: dict[str, Any]) -> Iterator[tuple[int, datetime, datetime]]:
        orders = self.orders()
        at = self.guest.joined or (orders[0].at if orders else None)
        if at is not None and at <= self.now:
            opens = shift(day_of(at, self.guest), given.get("ago", "0 days"))
            yield from self.days(0, opens, shift(opens, given.get("within", "7 days")))

    def ordered(self, given: dict[str, Any]) -> Iterator[tuple[int, datetime, datetime]]:
        orders = self.orders(given)
        visits = sorted({self.day(order) for order in orders})
        for order in orders:
            nth = visits.index(self.day(order)) + 1
            is_first = next(each for each in orders if self.day(each) == self.day(order)) is order
            if "count" in given and (not is_first or nth != given["count"]):
                continue
            if "every" in given and (not is_first or nth % given["every"]):
                continue
            ago = given.get("ago", "0 minutes")
            if (span := exact(ago)) is not None:
                yield order.id, order.at + span, order.at + span + 3 * DAY
            else:
                yield from self.days(order.id, shift(self.day(order), ago), shift(self.day(order), ago) + 3 * DAY)

    def low_rating(self, given: dict[str, Any]) -> Iterator[tuple[int, datetime, datetime]]:
        for number, who, at, score, source in self.world.ratings:
            if who == self.guest.id and score <= given.get("at_most", 2) and fits(given.get("source", "*"), source):
                within = given.get("within", "3 days")
                yield number, at, at + (exact(within) or (shift(date(2025, 1, 1), within) - date(2025, 1, 1)))


# -- one run -----------------------------------------------------------------------------------------------------------


def decide(  # noqa: PLR0912 (the order of the verdicts is told in one place)
    world: World, rule: dict[str, Any], now: datetime, past: Iterable[Match], watermark: datetime | None
) -> list[Match]:
    """The matches of a rule at a moment: who, on which occasion, with which verdict and reason."""
    ((word, given),) = rule["trigger"].items()
    earlier = [match for match in past if match.rule == rule["id"]]
    known = {(match.guest, match.occasion) for match in earlier}
    marketing = rule.get("purpose") != "service"
    again = rule.get("limits", {}).get(
        "again_after", {"lapsed": _after(given), "at_risk": "60 days", "low_rating": "7 days"}.get(word)
    )
    found = []
    for guest in world.guests:
        seen = Seen(world, guest, now, rule.get("topic"))
        for occasion, opens, closes in seen.occasions(word, given):
            missed = watermark is not None and watermark < opens < closes <= now
            if (
                (missed or opens <= now < closes)
                and (guest.id, occasion) not in known
                and seen.meets(rule.get("conditions", {}))
            ):
                found.append((seen, occasion, closes, missed))
    found.sort(key=lambda each: (each[0].guest.id, each[2], each[1]))
    steps = [next(iter(step)) for step in rule["actions"]]
    messages = [step for step in steps if step in {"email", "sms"}]
    used: dict[int, int] = {}
    acted: set[int] = set()
    matches = []
    for seen, occasion, closes, missed in found:
        guest, reason = seen.guest, None
        if missed:
            reason = "expired"
        elif again and any(_too_soon(seen, match, again) for match in earlier):
            reason = "again_too_soon"
        elif marketing and world.exclude and Seen(world, guest, now, rule.get("topic")).meets(world.exclude):
            reason = "excluded"
        else:
            blocks = {}
            for channel in ("email", "sms"):
                endpoint = getattr(guest, channel)
                blocks[channel] = seen.block(endpoint, marketing=marketing)
                if blocks[channel] is None and used.setdefault(endpoint, guest.id) != guest.id:
                    blocks[channel] = "duplicate_endpoint"
            if messages and "alert" not in steps and all(blocks[channel] for channel in messages):
                reason = blocks[messages[0]]
            elif again and guest.id in acted:
                reason = "again_too_soon"
            else:
                acted.add(guest.id)
        verdict = "refused" if reason else "control" if bucket(guest.id, rule["id"]) < _share(rule) else "act"
        matches.append(Match(rule["id"], guest.id, occasion, verdict, reason, closes, now, guest.email, guest.sms))
    return matches


def _after(given: Any) -> str:
    return (given.get("after", "90 days") if isinstance(given, dict) else given) or "90 days"


def _share(rule: dict[str, Any]) -> int:
    return int(rule.get("holdout", "0%").rstrip("%")) * 100


def _too_soon(seen: Seen, match: Match, again: str) -> bool:
    guest = seen.guest
    same = (
        match.guest == guest.id
        or (guest.email and match.email == guest.email)
        or (guest.sms and match.sms == guest.sms)
    )
    if not same or match.verdict == "refused":
        return False
    span = exact(again)
    return seen.now < match.at + span if span else seen.today < shift(day_of(match.at, guest), again)


def bucket(guest: int, rule: str) -> int:
    prime, digest = 2**31 - 1, hashlib.sha256(rule.encode()).digest()
    factor, shifted = int.from_bytes(digest[:8]) % (prime - 1) + 1, int.from_bytes(digest[8:16]) % prime
    x = (guest % prime * factor + shifted) % prime
    return (x * x % prime + shifted) % prime * 16807 % prime % 10_000
