"""``expiring: tier``: the guest's tier will fall on a known day, unless more is spent or the guest comes more often."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    JSON,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    literal,
    null,
    select,
    type_coerce,
    union_all,
)

from engine.database.packed import values_cte
from engine.database.sql import EpochSeconds
from engine.database.tables import customer_facts, tier_changes
from engine.language.loyalty import Tiers
from engine.language.phrases import Phrase, phrase
from engine.language.times import business_day
from engine.vocabulary.occasions import ONE_DAY, Candidates, of_day
from engine.vocabulary.scope import Scope, Zone

if TYPE_CHECKING:
    from engine.vocabulary.expiring import Expiring

_COLUMNS = ("zone_id", "key", "occasion", "closes", "expired")


class ExpiringTier:
    """A tier. It is good to the last day of which the day that it rests on lies in the period."""

    def candidates(self, asked: Expiring, scope: Scope) -> Candidates:
        """SQL: guests whose tier falls within the time asked for, and those whose tier has fallen unseen."""
        who, fell = customer_facts.alias("who"), tier_changes.alias("fell")
        open_falls, missed = self._open(asked, scope), self._missed(asked, scope)
        columns = ("occasion", "closes", "expired")
        falls = union_all(
            select(who.c.customer_id, *(open_falls.c[name] for name in columns)).join(
                open_falls, and_(open_falls.c.zone_id == who.c.zone_id, open_falls.c.key == who.c.tier_rests_on)
            ),
            select(who.c.customer_id, *(missed.c[name] for name in columns))
            .join(fell, fell.c.customer_id == who.c.customer_id)
            .join(missed, and_(missed.c.zone_id == who.c.zone_id, missed.c.key == fell.c.day))
            .where(fell.c.kind == "down"),
        ).subquery("falls")
        return Candidates(
            source=scope.guest().join(falls, falls.c.customer_id == scope.facts.c.customer_id),
            where=(),
            occasion=falls.c.occasion,
            closes=falls.c.closes,
            expired=falls.c.expired,
        )

    def left(self, asked: Expiring, scope: Scope) -> ColumnElement[Any]:
        """SQL: 1 while the tier still falls when the match said, 0 once it rests on later days."""
        tiers = asked.tiers
        if tiers is None:  # gone from the home since the match: no tier falls
            return literal(0, Integer)

        def last_to_leave(matched: date) -> date:
            return tiers.within.before(asked.within.after(matched) + ONE_DAY)

        latest = scope.day_at_match(f"leaving {asked.within}", last_to_leave)
        return case((scope.facts.c.tier_rests_on <= latest, 1), else_=0)

    def items(self, asked: Expiring, scope: Scope) -> Select[Any]:
        """SQL: the tier, by its key, with the instant at which it falls."""
        falls = self._open(asked, scope)
        same = and_(falls.c.zone_id == scope.facts.c.zone_id, falls.c.key == scope.facts.c.tier_rests_on)
        return select(
            type_coerce(falls.c.closes, EpochSeconds()).label("at"),
            literal(1, Integer).label("amount"),
            scope.facts.c.tier_key.label("name"),
            cast(null(), Text).label("code"),
            cast(null(), JSON).label("terms"),
        ).select_from(scope.guest().join(falls, same))

    def sentence(self, asked: Expiring) -> Phrase:
        """Say what it is."""
        del asked
        return phrase("a tier that falls")

    def _open(self, asked: Expiring, scope: Scope) -> CTE:
        """The days that leave the period soon: on each the tiers fall that rest on it."""
        rows: list[tuple[int, ...]] = []
        tiers = asked.tiers
        for zone in scope.zones if tiers is not None else ():
            assert tiers is not None
            since = scope.moment if scope.match_at is None else scope.match_at
            last = asked.within.after(business_day(since, zone.info, scope.day_starts)) + ONE_DAY
            for day in _days(scope.today_in(zone) + ONE_DAY, last):
                rows.extend((zone.id, key, *_fall(scope, zone, day), 0) for key in _leaving(tiers, day))
        return values_cte("open_falls", _COLUMNS, rows)

    def _missed(self, asked: Expiring, scope: Scope) -> CTE:
        """The days since the last evaluation on which a tier fell whose time had not begun at that evaluation."""
        rows: list[tuple[int, ...]] = []
        for zone in scope.zones if scope.watermark is not None else ():
            assert scope.watermark is not None
            seen = asked.within.after(business_day(scope.watermark, zone.info, scope.day_starts)) + ONE_DAY
            rows.extend(
                (zone.id, day.toordinal(), *_fall(scope, zone, day), 1)
                for day in _days(seen + ONE_DAY, scope.today_in(zone))
            )
        return values_cte("missed_falls", _COLUMNS, rows)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += ONE_DAY


def _leaving(tiers: Tiers, day: date) -> range:
    """Give the days that leave the period on ``day``: none or several at the ends of months."""
    before = tiers.within.before
    return range(before(day - ONE_DAY).toordinal() + 1, before(day).toordinal() + 1)


def _fall(scope: Scope, zone: Zone, day: date) -> tuple[int, int]:
    return of_day(day), int(scope.start(day, zone).timestamp())
