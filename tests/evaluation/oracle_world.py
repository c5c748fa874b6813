"""What the oracle knows: a world as lists of what there is, calendars, and tests in words."""

from __future__ import annotations

import calendar
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
FOUR = time(4)


@dataclass
class Order:
    id: int
    guest: int | None
    at: datetime
    total: int
    store: int | None = None
    channel: str | None = None
    items: tuple[tuple[str, str], ...] = ()
    refunds: list[tuple[datetime, int | None]] = field(default_factory=list)

    def net(self, now: datetime) -> int | None:
        """What is left of it, None where it does not count: it lies ahead, or all was given back."""
        known = [self.total if amount is None else amount for at, amount in self.refunds if at <= now]
        if self.at > now or (known and sum(known) >= self.total):
            return None
        return self.total - sum(known)


@dataclass
class Guest:
    id: int
    zone: str
    email: int | None
    sms: int | None
    store: int | None = None
    tier: str | None = None
    city: str | None = None
    language: str | None = None
    joined: datetime | None = None
    birthday: int | None = None
    lunar: bool = False
    birth_year: int | None = None
    gender: str | None = None
    country: str | None = None
    referred_by: int | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    id: int
    guest: int | None
    store: int | None
    name: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A line of a ledger of points: a lot where they are positive, a use where they are negative."""

    id: int
    guest: int
    at: datetime
    points: int
    expires: datetime | None = None
    ledger: str = "points"


@dataclass(frozen=True)
class Coupon:
    id: int
    guest: int
    offer: str
    issued: datetime | None
    until: datetime | None
    redeemed: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True)
class Message:
    guest: int
    rule: str
    channel: str
    state: str
    at: datetime


@dataclass(frozen=True)
class Plan:
    """How tiers are worked out: ``spend`` or ``visits`` within a time, and from how much on each level begins."""

    by: str
    within: str
    levels: dict[str, int]


@dataclass
class World:
    guests: list[Guest] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    ratings: list[tuple[int, int, datetime, float, str]] = field(default_factory=list)  # id, guest, at, score, source
    points: list[Entry] = field(default_factory=list)
    consents: list[tuple[int, str | None, str, datetime]] = field(
        default_factory=list
    )  # endpoint, topic, yes/no/implied, at
    suppressed: set[int] = field(default_factory=set)
    stores: dict[int, tuple[str, str]] = field(default_factory=dict)  # id: name, key
    store_zones: dict[int, str] = field(default_factory=dict)
    store_countries: dict[int, str] = field(default_factory=dict)
    phone_countries: dict[int, str] = field(default_factory=dict)  # endpoint: country
    plan: Plan | None = None  # None: the tiers of the customers' file count
    events: list[Event] = field(default_factory=list)
    coupons: list[Coupon] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    tier_changes: list[tuple[int, datetime, str | None, str | None]] = field(
        default_factory=list
    )  # guest, at, from, to
    segments: dict[str, dict[str, Any]] = field(default_factory=dict)
    exclude: dict[str, Any] | None = None
    country: str = "US"
    zone: str = "America/Chicago"
    attribute_types: dict[str, str] = field(default_factory=dict)

    def has_ordered(self, guest: Guest) -> bool:
        """Whether any order is the guest's."""
        return any(order.guest == guest.id for order in self.orders)

    @cached_property
    def first_item(self) -> dict[int, int]:
        """The number of each order's first item, counted through all orders."""
        counts = accumulate((len(order.items) for order in self.orders), initial=1)
        return {order.id: number for order, number in zip(self.orders, counts, strict=False)}

    @cached_property
    def orders_of(self) -> dict[int | None, list[Order]]:
        """Each guest's orders, the first one first."""
        found: dict[int | None, list[Order]] = defaultdict(list)
        for order in sorted(self.orders, key=lambda order: (order.at, order.id)):
            found[order.guest].append(order)
        return found


@dataclass(frozen=True)
class Match:
    rule: str
    guest: int
    occasion: int
    verdict: str
    reason: str | None
    closes: datetime
    at: datetime
    email: int | None
    sms: int | None


# -- time --------------------------------------------------------------------------------------------------------------


def shift(day: date, duration: str, sign: int = 1) -> date:
    number, unit = duration.rstrip("s").split()
    amount = int(number) * sign
    if unit in {"day", "week"}:
        return day + amount * (7 if unit == "week" else 1) * DAY
    year, month = divmod(day.year * 12 + day.month - 1 + amount * (12 if unit == "year" else 1), 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def exact(duration: str) -> timedelta | None:
    amount, unit = duration.split()
    return {"hour": timedelta(hours=int(amount)), "minute": timedelta(minutes=int(amount))}.get(unit.rstrip("s"))


def day_of(at: datetime, guest: Guest) -> date:
    local = at.astimezone(ZoneInfo(guest.zone))
    return local.date() if local.time() >= FOUR else local.date() - DAY


def begins(day: date, guest: Guest) -> datetime:
    return datetime.combine(day, FOUR, ZoneInfo(guest.zone)).astimezone(UTC)


# -- tests in words ---------------------------------------------------------------------------------------------------


def fits(asked: Any, *values: str | None) -> bool:
    """A test on a text that a thing has one or several of: none of the unwanted, and one of the wanted."""

    def among(names: Any) -> bool:
        wanted = [" ".join(str(name).split()).casefold() for name in (names if isinstance(names, list) else [names])]
        return any(value is not None and fnmatchcase(value.casefold(), name) for value in values for name in wanted)

    wanted, unwanted = named(asked)
    return (wanted is None or among(wanted)) and not among(unwanted)


def named(asked: Any) -> tuple[list[str] | None, list[str]]:
    """The names that a test on a text wants (None: any) and those that it does not want."""
    if not isinstance(asked, dict):
        return (asked if isinstance(asked, list) else [asked]), []

    def listed(*words: str) -> list[str]:
        given = [asked[word] for word in words if word in asked]
        return [name for each in given for name in (each if isinstance(each, list) else [each])]

    wanted = listed("equals", "one_of")
    return (wanted if {"equals", "one_of"} & set(asked) else None), listed("is_not", "none_of")


NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    "at_least": lambda value, bound: value >= bound,
    "at_most": lambda value, bound: value <= bound,
    "more_than": lambda value, bound: value > bound,
    "less_than": lambda value, bound: value < bound,
    "equals": lambda value, bound: value == bound,
    "is_not": lambda value, bound: value != bound,
    "between": lambda value, bound: bound[0] <= value <= bound[1],
    "one_of": lambda value, bound: value in bound,
    "none_of": lambda value, bound: value not in bound,
}


def passes(value: Fraction | None, asked: Any) -> bool:
    if not isinstance(asked, dict):
        asked = {"one_of" if isinstance(asked, list) else "equals": asked}
    tests = {word: bound for word, bound in asked.items() if word in NUMBERS}
    if value is None:
        return all(word in {"is_not", "none_of"} for word in tests)
    exactly = {
        w: [Fraction(str(b)) for b in bound] if isinstance(bound, list) else Fraction(str(bound))
        for w, bound in tests.items()
    }
    return all(NUMBERS[word](value, bound) for word, bound in exactly.items())
