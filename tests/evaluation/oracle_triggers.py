"""What the triggers of the language mean, in plain Python: each occasion, when it opens and when it closes."""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any
from zlib import crc32

from oracle_calendar import festival_in
from oracle_conditions import is_such, meets
from oracle_seen import WEEKDAYS, Seen
from oracle_tiers import changes_of, falls, rank_of
from oracle_world import DAY, Event, begins, day_of, exact, fits, shift

Given = dict[str, Any]
Occasions = Iterator[tuple[int, datetime, datetime]]  #: key, opens, closes

#: The setting that a plain value stands for.
FIRST = {
    "lapsed": "after", "at_risk": "times", "birthday": "days_before", "anniversary": "of", "joined": "ago",
    "ordered": "count", "tier_changed": "to", "reached": "orders", "rated": "at_most", "low_rating": "at_most", "referred": "orders",
    "enters": "segment", "festival": "name", "on_date": "date", "every": "period", "event": "name", "expiring": "what",
}  # fmt: skip


def occasions(seen: Seen, word: str, given: Any) -> Occasions:
    """Give every occasion of a trigger, open or not."""
    given = given if isinstance(given, dict) else {} if given is None else {FIRST[word]: given}
    yield from TRIGGERS[word](seen, given)


def _days(seen: Seen, occasion: int, opens: date, closes: date) -> Occasions:
    yield occasion, begins(opens, seen.guest), begins(closes, seen.guest)


def _after(day: date, given: Given, otherwise: str) -> date:
    """The day on which what opened on ``day`` closes."""
    return shift(day, given.get("late", otherwise))


def _later(at: datetime, length: str) -> datetime:
    """A moment later by exact hours, or by as many days of 24 hours as the calendar's length has."""
    return at + (exact(length) or (shift(date(2025, 1, 1), length) - date(2025, 1, 1)))


def _number(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


# -- of orders ---------------------------------------------------------------------------------------------------------


def lapsed(seen: Seen, given: Given) -> Occasions:
    orders = seen.orders(given)
    if orders:
        opens = shift(seen.day(orders[-1]), given.get("after", "90 days"))
        closes = shift(seen.day(orders[-1]), given["up_to"]) if "up_to" in given else opens + 30 * DAY
        yield from _days(seen, orders[-1].id, opens, closes)


def at_risk(seen: Seen, given: Given) -> Occasions:
    orders = seen.orders()
    visits = sorted({seen.day(order) for order in orders})
    if len(visits) < given.get("min_visits", 5):
        return
    gaps = [(after - before).days for before, after in pairwise(visits)][-10:]
    usual = Fraction(sum(gaps), len(gaps)) * Fraction(str(given.get("times", 3)))
    earliest = shift(visits[-1], given.get("at_least", "10 days"))
    opens = max(earliest, visits[-1] + (int(usual) + 1) * DAY)
    closes = shift(visits[-1], given["up_to"]) if "up_to" in given else earliest + 60 * DAY
    yield from _days(seen, orders[-1].id, opens, closes)


def ordered(seen: Seen, given: Given) -> Occasions:
    orders = seen.orders(given)
    visits = sorted({seen.day(order) for order in orders})
    count = 1 if given.get("count") == "first" else given.get("count")
    for order in orders:
        nth = visits.index(seen.day(order)) + 1
        is_first = next(each for each in orders if seen.day(each) == seen.day(order)) is order
        if count is not None and (not is_first or nth != count):
            continue
        if "every" in given and (not is_first or nth % given["every"]):
            continue
        yield from _fired(seen, order.id, order.at, given)


def _fired(seen: Seen, key: int, at: datetime, given: Given, late: str = "3 days") -> Occasions:
    """What fired at a moment: open at once, or ``ago`` after it, for three days."""
    late, ago = given.get("late", late), given.get("ago", "0 minutes")
    if (span := exact(ago)) is not None:
        yield key, at + span, _later(at + span, late)
    else:
        opens = shift(day_of(at, seen.guest), ago)
        yield from _days(seen, key, opens, shift(opens, late))


# -- of the calendar ---------------------------------------------------------------------------------------------------


def _years(seen: Seen) -> range:
    return range(seen.now.year - 3, seen.now.year + 3)


def birthday(seen: Seen, given: Given) -> Occasions:
    if seen.guest.birthday is None:
        return
    for year in _years(seen):
        opens = seen.birthday(year, given.get("leap_day")) - given.get("days_before", 0) * DAY
        yield from _days(seen, year, opens, _after(opens, given, "2 days"))


def joined(seen: Seen, given: Given) -> Occasions:
    at = seen.joined_at()
    if at is not None:
        opens = shift(day_of(at, seen.guest), given.get("ago", "0 days"))
        yield from _days(seen, 0, opens, shift(opens, given.get("within", "7 days")))


def anniversary(seen: Seen, given: Given) -> Occasions:
    """The yearly return of the day of joining, or of attributes that are dates; what began this year has no return."""
    of = given.get("of", "joined")
    for name in of if isinstance(of, list) else [of]:
        at = seen.joined_at()
        day = (at and day_of(at, seen.guest)) if name == "joined" else _date(seen.guest.attributes.get(name))
        if day is None:
            continue
        for year in _years(seen):
            if year > day.year:
                back = _in_year(day, year, given.get("leap_day")) - given.get("days_before", 0) * DAY
                key = year * 2**32 + (0 if name == "joined" else crc32(name.encode()))
                yield from _days(seen, key, back, _after(back, given, "2 days"))


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _in_year(day: date, year: int, leap: str | None) -> date:
    if (day.month, day.day) == (2, 29) and leap == "mar1" and not calendar.isleap(year):
        return date(year, 3, 1)
    return date(year, day.month, min(day.day, calendar.monthrange(year, day.month)[1]))


def festival(seen: Seen, given: Given) -> Occasions:
    for year in _years(seen):
        day = festival_in(given["name"], seen.country(), year)
        if day is not None:
            opens = day - given.get("days_before", 0) * DAY
            key = year * 2**32 + crc32(given["name"].encode())
            yield from _days(seen, key, opens, _after(opens, given, "2 days"))


def on_date(seen: Seen, given: Given) -> Occasions:
    day = date.fromisoformat(given["date"])
    yield from _days(seen, _number(day), day, _after(day, given, "2 days"))


def every(seen: Seen, given: Given) -> Occasions:
    """Once a period, for all who had joined before the day on which it began; without ``late`` open until the next one begins."""
    at = seen.guest.joined or seen.joined_at()
    starts = period_starts(given["period"], given.get("on"), seen.today.year)
    for start, following in pairwise(starts):
        if at is None or day_of(at, seen.guest) < start:
            closes = min(following, shift(start, given["late"])) if "late" in given else following
            yield from _days(seen, _number(period_of(given["period"], start)), start, closes)


def period_of(period: str, day: date) -> date:
    """The Monday, or the first of the month, the quarter or the year, in which a day lies."""
    if period in {"day", "week"}:
        return day - (day.weekday() if period == "week" else 0) * DAY
    return day.replace(day=1, month={"month": day.month, "quarter": (day.month + 2) // 3 * 3 - 2, "year": 1}[period])


@cache
def period_starts(period: str, on: Any, year: int) -> list[date]:
    """The days on which a day, week, month, quarter or year begins for a rule, around a year."""
    since = date(year - 2, 1, 1)
    days = [since + number * DAY for number in range(4 * 366)]
    if period == "day":
        return days
    if period == "week":
        return [day for day in days if WEEKDAYS[day.weekday()] == (on or "mon")]
    months = {"month": range(1, 13), "quarter": (1, 4, 7, 10), "year": (1,)}[period]
    day_of_month = on or 1
    if isinstance(on, str):
        month, day_of_month = (int(each) for each in on.split("-"))
        months = (month,)
    return [
        day for day in days
        if day.month in months and day.day == min(day_of_month, calendar.monthrange(day.year, day.month)[1])
    ]  # fmt: skip


# -- of what happened --------------------------------------------------------------------------------------------------


def rated(seen: Seen, given: Given) -> Occasions:
    for number, who, at, score, source in seen.world.ratings:
        fitting = given.get("at_least", 0) <= score <= given.get("at_most", 10**9)
        if who == seen.guest.id and fitting and fits(given.get("source", "*"), source):
            yield number, at, _later(at, given.get("within", "3 days"))


def low_rating(seen: Seen, given: Given) -> Occasions:
    yield from rated(seen, {"at_most": 2, **given})


def event(seen: Seen, given: Given) -> Occasions:
    """Of the guest; of a store: for each guest of it; of neither: for each guest."""
    for each in seen.world.events:
        if concerns(seen, each) and is_such(each, given):
            yield from _fired(seen, each.id, each.at, given)


def concerns(seen: Seen, each: Event) -> bool:
    if each.guest is not None:
        return each.guest == seen.guest.id
    return each.store is None or each.store == seen.store()


def referred(seen: Seen, given: Given) -> Occasions:
    """A friend has ordered that often: on the day of that order."""
    for friend in seen.world.guests:
        if friend.referred_by == seen.guest.id != friend.id:
            theirs = Seen(seen.world, friend, seen.now).orders()
            if len(theirs) >= given.get("orders", 1):
                at = theirs[given.get("orders", 1) - 1].at
                yield friend.id, at, _later(at, given.get("late", "7 days"))


def tier_changed(seen: Seen, given: Given) -> Occasions:
    """Without tiers in config/loyalty.yaml a change is what was told of, and goes neither up nor down."""
    planned = seen.world.plan is not None
    told = [(day_of(at, seen.guest), old, new) for who, at, old, new in seen.world.tier_changes if who == seen.guest.id]
    for day, before, after in changes_of(seen, seen.today) if planned else told:
        fitting = all(fits(given[word], tier) for word, tier in (("from", before), ("to", after)) if word in given)
        if fitting and "direction" in given:
            fitting = planned and (rank_of(seen, after) > rank_of(seen, before)) == (given["direction"] == "up")
        if fitting:
            yield from _days(seen, _number(day), day, _after(day, given, "7 days"))


def enters(seen: Seen, given: Given) -> Occasions:
    """In the segment now, and not at the rule's last evaluation; a rule never evaluated has seen nobody enter."""
    if seen.watermark is None:
        return
    asked = {"segment": given["segment"]}
    before = Seen(seen.world, seen.guest, seen.watermark, seen.topic)
    joined = seen.guest.joined
    was_there = (joined is None or joined <= seen.watermark) and meets(before, asked)
    if meets(seen, asked) and not was_there:
        yield from _days(seen, _number(seen.today), seen.today, _after(seen.today, given, "2 days"))


def reached(seen: Seen, given: Given) -> Occasions:
    """The order, or the lot of points, with which the total reaches the mark; of several such times the last one."""
    fact = next(word for word in TOTALS if word in given)
    scale = 100 if fact == "spend" else 1
    mark = int(Fraction(str(given[fact])) * scale)
    crossed: dict[int, datetime] = {}
    for at, period, before, after in _steps(seen, fact, given):
        multiple = (before // mark + 1) * mark if given.get("every") else mark
        if before < multiple <= after:
            crossed[(TOTALS.index(fact) + 1) * 10**18 + multiple * 10**7 + period] = at
    for key, at in crossed.items():
        yield key, at, _later(at, given.get("late", "7 days"))


def _steps(seen: Seen, fact: str, given: Given) -> Iterator[tuple[datetime, int, int, int]]:
    """When the total rises: at what moment, in which period, from what, to what. A balance goes on between periods."""
    if fact == "points":
        mine = [e for e in seen.world.points if (e.guest, e.ledger) == (seen.guest.id, "points") and e.at <= seen.now]
        for entry in sorted(mine, key=lambda each: (each.at, each.points < 0, each.id)):
            if entry.points > 0:
                known = [e for e in mine if (e.at, e.points < 0, e.id) < (entry.at, False, entry.id)]
                before = Seen(replace(seen.world, points=known), seen.guest, entry.at).points()
                yield entry.at, _period(day_of(entry.at, seen.guest), given), before, before + entry.points
        return
    totals: dict[int, int] = defaultdict(int)
    days: set[date] = set()
    for order in seen.orders(given):
        day = seen.day(order)
        period = _period(day, given)
        more = {"orders": 1, "visits": int(day not in days), "spend": order.net(seen.now) or 0}[fact]
        days.add(day)
        totals[period] += more
        yield order.at, period, totals[period] - more, totals[period]


def _period(day: date, given: Given) -> int:
    quarter = day.year * 10 + (day.month + 2) // 3
    return {"month": day.year * 100 + day.month, "quarter": quarter, "year": day.year}.get(given.get("per", ""), 0)


def expiring(seen: Seen, given: Given) -> Occasions:
    """What runs out soon, and what has run out since the last evaluation, which knew nothing of it: each one match."""
    if given["what"] == "tier":
        yield from _falling(seen, given)
        return
    things = sorted(_things(seen, given), key=lambda each: (each[1], each[0]))
    soon = [each for each in things if seen.now < each[1] <= _horizon(seen, seen.now, given)]
    known = _horizon(seen, seen.watermark, given) if seen.watermark else seen.now
    missed = [each for each in things if known < each[1] <= seen.now]
    for found, opens in ((soon, seen.now), (missed, (seen.watermark or seen.now) + timedelta(seconds=1))):
        if found and sum(amount for _, _, amount in found) >= given.get("at_least", 1):
            key, ends, _ = found[0]
            yield key, opens, ends


def _things(seen: Seen, given: Given) -> list[tuple[int, datetime, int]]:
    """What is not used, used up or taken back: key, until when, how much."""
    if given["what"] == "points":
        return [(lot.id, lot.expires, left) for lot, left in seen.lots(dead=True) if lot.expires]
    return [
        (coupon.id, coupon.until, 1)
        for coupon in seen.world.coupons
        if coupon.guest == seen.guest.id and coupon.issued and coupon.until and coupon.issued <= seen.now
        and not any(at and at <= seen.now for at in (coupon.redeemed, coupon.revoked))
        and given.get("offer", coupon.offer) == coupon.offer
    ]  # fmt: skip


def _falling(seen: Seen, given: Given) -> Occasions:
    """The day on which the tier falls, if it is near; and each on which it fell unseen since the last evaluation."""
    known = _horizon(seen, seen.watermark, given) if seen.watermark else seen.now
    for day in falls(seen, shift(seen.today, given.get("within", "7 days")) + DAY):
        ends = begins(day, seen.guest)
        if ends > seen.now:
            yield _number(day), seen.now, ends
        elif ends > known:
            yield _number(day), (seen.watermark or seen.now) + timedelta(seconds=1), ends


def _horizon(seen: Seen, at: datetime, given: Given) -> datetime:
    """The end of the last day on which something runs out "within" the time."""
    within = given.get("within", "7 days")
    span = exact(within)
    return at + span if span else begins(shift(day_of(at, seen.guest), within) + DAY, seen.guest)


TOTALS = ("orders", "visits", "spend", "points")
TRIGGERS: dict[str, Callable[[Seen, Given], Occasions]] = {
    "lapsed": lapsed,
    "at_risk": at_risk,
    "birthday": birthday,
    "joined": joined,
    "anniversary": anniversary,
    "festival": festival,
    "on_date": on_date,
    "every": every,
    "ordered": ordered,
    "rated": rated,
    "low_rating": low_rating,
    "event": event,
    "referred": referred,
    "reached": reached,
    "expiring": expiring,
    "tier_changed": tier_changed,
    "enters": enters,
}
