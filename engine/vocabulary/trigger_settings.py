"""What all triggers share: how settings are given, and which order is the later one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from engine.language.phrases import phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.filters import OrderFilters
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope

DURATION: JsonSchema = {"type": "string", "format": "duration"}
#: How long an occasion of days stays open: that day and the next.
TWO_DAYS = "2 days"
A_DAY, A_YEAR_LATER = date(2026, 1, 1), date(2027, 1, 1)


def late_setting(default: str = TWO_DAYS) -> dict[str, JsonSchema]:
    """Give the schema of ``late``, with what it is where it is left out."""
    about = phrase("How long the occasion stays open, and then it is expired; {default} if left out.", default=default)
    return {"late": DURATION | {"description": about}}


def stays_open(reader: Reader, given: Mapping[str, Any], word: str = "late", default: str = TWO_DAYS) -> Duration:
    """Read ``late``, how long an occasion of days stays open; ``default`` where it is left out."""
    return some_time(reader, word, calendar_duration(reader, given, word, default), default)


def stays_open_yearly(reader: Reader, given: Mapping[str, Any]) -> Duration:
    """Read ``late`` of what comes each year; with more than a year two of them are open at once, which is told."""
    length = stays_open(reader, given)
    if length.after(A_DAY) > A_YEAR_LATER:
        said = phrase('"late" is longer than a year: the next one begins before this one is over')
        reader.under("late").problem(said, "late-overlaps", severity="warning")
    return length


def calendar_duration(reader: Reader, given: Mapping[str, Any], word: str, default: str) -> Duration:
    """Read a setting that counts days; hours are a problem, and the default stands in so that reading goes on."""
    value = Duration.parse(given.get(word, default))
    if value.is_calendar:
        return value
    place = reader.setting(word)
    said = phrase('"{word}" counts days, not {unit}', word=place.at[-1], unit=value.unit)
    place.problem(said, "wrong-unit", hint=phrase("such as {duration}", duration=default))
    return Duration.parse(default)


def exact_stay(reader: Reader, given: Mapping[str, Any], word: str, default: str) -> Duration:
    """Read how long what fires at an exact instant stays open: days (of 24 hours), weeks or hours.

    Months and years are a problem, as is a length of nothing.
    """
    length = some_time(reader, word, Duration.parse(given.get(word, default)), default)
    if length.unit in {"months", "years"}:
        message = phrase(
            '"{word}" counts days or hours here, not {unit}', word=reader.under(word).at[-1], unit=length.unit
        )
        reader.under(word).problem(message, "wrong-unit", hint=phrase("such as {duration}", duration="30 days"))
        return Duration.parse(default)
    return length


def stay_after(ago: Duration, reader: Reader, given: Mapping[str, Any], default: str) -> Duration:
    """Read ``late`` of what opens ``ago`` after an instant: days where ``ago`` counts days, else exact."""
    stays = stays_open if ago.is_calendar else exact_stay
    return stays(reader, given, "late", default)


def some_time(reader: Reader, word: str, length: Duration, such_as: str) -> Duration:
    """Check that an occasion stays open for some time: with a length of nothing it would never be open."""
    if length.amount == 0:
        place = reader.setting(word)
        said = phrase('"{word}" is {length}: the rule would never fire', word=place.at[-1], length=length)
        place.problem(said, "empty-range", hint=phrase("such as {duration}", duration=such_as))
    return length


def then(first: Duration, second: Duration) -> Callable[[date], date]:
    """Give the day that lies ``first`` and then ``second`` after a day."""
    return lambda day: second.after(first.after(day))


def of_guest(filters: OrderFilters, scope: Scope, order: Any) -> list[ColumnElement[bool]]:
    """SQL: ``order`` is the guest's, counts, and passes the filters."""
    return [order.c.customer_id == scope.facts.c.customer_id, *filters.where(scope, order)]


def later(other: Any, order: Any) -> ColumnElement[bool]:
    """SQL: ``other`` comes after ``order``; the last order is the one with the greatest (time, id)."""
    return or_(
        other.c.ordered_at > order.c.ordered_at,
        and_(other.c.ordered_at == order.c.ordered_at, other.c.id > order.c.id),
    )
