"""Open occasions: which keys of the facts are open at a moment, worked out in Python, zone by zone.

A calendar trigger becomes a small table of open keys (a last order's day, a birthday's month and day) with the instant
at which each closes; the database only joins it on an indexed column. Months, leap days and daylight saving stay in
Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zlib import crc32

from sqlalchemy import CTE, BigInteger, ColumnElement, FromClause, Select, bindparam, case, type_coerce

from engine.database.packed import values_cte
from engine.database.sql import EpochSeconds
from engine.language.times import Duration
from engine.vocabulary.scope import Scope, Zone

ONE_DAY = timedelta(days=1)
#: The business day of an order was worked out when it came in; days may have begun at another hour then.
_HALF_A_DAY = timedelta(hours=12)

#: Columns of the table of open days: ``judged`` is the last day on which the occasion was open (today while it is),
#: ``seen`` the day of the rule's last evaluation, ``fresh`` 1 where the occasion opened after it.
DAY_COLUMNS = ("zone_id", "key", "closes", "expired", "judged", "seen", "fresh")


@dataclass(frozen=True)
class Candidates:
    """What a trigger selects: guests joined with what fired, and the columns of a match."""

    source: FromClause
    where: tuple[ColumnElement[bool], ...]
    occasion: ColumnElement[Any]
    closes: ColumnElement[Any]  #: epoch seconds
    expired: ColumnElement[Any]  #: 1: it has closed unseen
    order_id: ColumnElement[Any] | None = None
    rating_id: ColumnElement[Any] | None = None
    event_id: ColumnElement[Any] | None = None
    friend_id: ColumnElement[Any] | None = None  #: the customer whom the guest referred
    store_id: ColumnElement[Any] | None = None
    #: Ids of all guests for whom something has opened since the watermark; None: this trigger does not tell. What a
    #: trigger that tells selects rests on nothing but the guest's facts and the time.
    newly: Select[Any] | None = None
    absent_since: int | None = None  #: who has an order of a later day than this is no candidate
    #: The table with whose columns ``newly`` gives them, and how the guest's facts meet it: who moved comes with these.
    opened: tuple[CTE, ColumnElement[bool]] | None = None

    def narrowed(self, *tests: ColumnElement[bool]) -> Candidates:
        """Give the same candidates with more tests."""
        return replace(self, where=(*self.where, *tests))


@dataclass(frozen=True)
class OpenDays:
    """The table of open days, and between which instants everything of those days happened, whatever the zone."""

    table: CTE
    since: datetime
    until: datetime
    first: int  #: the oldest of the days
    last: int  #: the newest of them

    @property
    def c(self) -> Any:
        """Give the table's columns, ``DAY_COLUMNS``."""
        return self.table.c

    def may_hold(self, at: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
        """SQL: ``at`` is near one of the days: no test of its own, it lets the database use its index of instants."""
        return (
            at >= bindparam("days_since", self.since, EpochSeconds()),
            at < bindparam("days_until", self.until, EpochSeconds()),
        )

    def may_be(self, day: ColumnElement[int]) -> ColumnElement[bool]:
        """SQL: ``day`` is among the days or between them: no test of its own, it lets the database use its index."""
        return day.between(bindparam("first_day", self.first, BigInteger), bindparam("last_day", self.last, BigInteger))


def open_days(
    scope: Scope,
    *,
    opens: Callable[[date], date],
    closes: Callable[[date], date],
    first: Callable[[date], date],
    may_open_late: bool = False,
) -> OpenDays:
    """Give the table of the days (of a last order, of joining) whose occasion is open or has closed unseen.

    ``opens`` and ``closes`` map such a day to the business day on which the occasion opens and closes; ``first`` gives
    the newest day that has opened by a given one. ``may_open_late``: the guest's own rhythm may open it later than
    ``opens`` says; then rows that may have opened after the watermark are in too, and the word tests ``fresh`` itself.
    """
    rows = [row for zone in scope.zones for row in _zone_days(scope, zone, opens, closes, first, late=may_open_late)]
    keys = [row[1] for row in rows] or [scope.moment.toordinal()]
    first_day, day_after = date.fromordinal(min(keys)), date.fromordinal(max(keys)) + ONE_DAY
    begins = [scope.start(first_day, zone) for zone in scope.zones] or [scope.moment]
    ends = [scope.start(day_after, zone) for zone in scope.zones] or [scope.moment]
    return OpenDays(
        values_cte("open_days", DAY_COLUMNS, rows),
        min(begins) - _HALF_A_DAY,
        max(ends) + _HALF_A_DAY,
        min(keys),
        max(keys),
    )


def _zone_days(
    scope: Scope,
    zone: Zone,
    opens: Callable[[date], date],
    closes: Callable[[date], date],
    first: Callable[[date], date],
    *,
    late: bool,
) -> Iterator[tuple[int, ...]]:
    today, seen = scope.today_in(zone), scope.seen_in(zone)
    day = first(today)
    while True:
        fresh = seen is not None and opens(day) > seen
        closed = closes(day) <= today
        if closed and not (fresh or (late and seen is not None and closes(day) - ONE_DAY > seen)):
            return
        judged = closes(day) - ONE_DAY if closed else today
        yield (
            zone.id,
            day.toordinal(),
            int(scope.start(closes(day), zone).timestamp()),
            int(closed),
            judged.toordinal(),
            0 if seen is None else seen.toordinal(),
            int(fresh),
        )
        day -= ONE_DAY


def firing_days(
    scope: Scope,
    zone: Zone,
    closes: Callable[[date], date],
    latest: Callable[[date], date | None] = lambda day: day,
) -> Iterator[tuple[date, bool]]:
    """Yield the business days on which an occasion of the calendar is open (False) or has closed unseen (True).

    ``latest`` gives the newest day, that day or before it, on which anything fires at all (None: none did); ``closes``
    gives the day on which what fired on a day is over. The newest come first.
    """
    today, seen = scope.today_in(zone), scope.seen_in(zone)
    day = latest(today)
    while day is not None:
        closed = closes(day) <= today
        if closed and (seen is None or day <= seen):
            return
        yield day, closed
        day = latest(day - ONE_DAY)


def named(number: int, name: str) -> int:
    """Give the occasion of what has a number (a year) and a name: ``number * 2**32 + crc32(name)``; no name is 0."""
    return number * 2**32 + crc32(name.encode())


def of_day(day: date) -> int:
    """Give the occasion of a day: yyyymmdd."""
    return day.year * 10_000 + day.month * 100 + day.day


@dataclass(frozen=True)
class Instants:
    """Between which instants that fired which is open now, or has closed unseen. The first three are binds."""

    after: ColumnElement[Any]  #: exclusive
    until: ColumnElement[Any]  #: inclusive
    closed: ColumnElement[Any]  #: what fired by then has closed
    seconds: int  #: from ``at`` to closing
    since: datetime  #: the same as ``after``

    def hold(self, at: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
        """SQL: ``at`` lies between them."""
        return at > self.after, at <= self.until


def open_instants(scope: Scope, *, ago: timedelta, stays_open: Duration) -> Instants:
    """Work out which instants are open of what fires ``ago`` after them and stays open from there.

    ``stays_open`` has an exact length (days and weeks of 24 hours): months would close later than they opened.
    """
    days = stays_open.days()
    length = stays_open.delta() if days is None else timedelta(days=days)
    newest = scope.moment - ago
    oldest = newest - length
    unseen = oldest if scope.watermark is None else min(oldest, scope.watermark - ago)
    return Instants(
        bindparam("unseen_after", unseen, EpochSeconds()),
        bindparam("fired_until", newest, EpochSeconds()),
        bindparam("closed_until", oldest, EpochSeconds()),
        int((ago + length).total_seconds()),
        unseen,
    )


def exactly(
    source: FromClause,
    at: ColumnElement[Any],
    instants: Instants,
    *,
    occasion: ColumnElement[Any],
    where: Sequence[ColumnElement[bool]],
    **fired: Any,
) -> Candidates:
    """Give the candidates of something that fires at an exact instant ``at``, by the instants that are open.

    ``fired`` are columns of ``Candidates`` by name: ``order_id``, ``store_id``, ...
    """
    return Candidates(
        source=source,
        where=(*instants.hold(at), *where),
        occasion=occasion,
        closes=type_coerce(at, BigInteger) + instants.seconds,
        expired=case((at <= instants.closed, 1), else_=0),
        **fired,
    )
