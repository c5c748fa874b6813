"""Triggers of the calendar alone: one date, or once in every period."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Final, Self

from sqlalchemy import CTE, or_, select

from engine.database.packed import values_cte
from engine.language.check import did_you_mean
from engine.language.phrases import Phrase, phrase
from engine.language.times import DAY_NAMES, DAYS, Duration, parse_date
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.occasions import ONE_DAY, Candidates, firing_days, of_day
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import late_setting, stays_open

_COLUMNS: Final = ("zone_id", "day", "occasion", "closes", "expired", "fresh")
_PERIODS: Final = ("day", "week", "month", "quarter", "year")
_MOST_DAYS: Final = 31


@dataclass(frozen=True)
class OnDate:
    """One date."""

    about: ClassVar[str] = phrase("A date: once for all guests who meet the conditions, that day and the next.")
    once_for: ClassVar[Phrase] = phrase("date")
    open_for: ClassVar[Phrase] = phrase("that day and the next")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "on_date: 2026-12-06"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    on: date
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """The date, and how long it stays open."""
        day = {"type": "string", "format": "date"}
        return {
            "type": ["string", "object"],
            "format": "date",
            "additionalProperties": False,
            "required": ["date"],
            "description": cls.about,
            "properties": {
                "date": day | {"description": phrase("The day, as year, month and day: 2026-12-06.")},
                **late_setting(),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``2026-12-06`` or the settings."""
        given = reader.settings("date")
        made = cls(parse_date(given["date"]), stays_open(reader, given))
        today = reader.around.today
        if today is not None and made.late.after(made.on) <= today:
            said = phrase("{date} lies behind: the rule fires no more", date=made.on)
            hint = phrase("write a day to come, or take every, with period: year, for what comes each year")
            reader.setting("date").problem(said, "over", hint=hint, severity="warning")
        return made

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest while the date is open; the occasion is the date."""
        days = _open(scope, lambda day: self.on if self.on <= day else None, self.late.after)
        return _everybody(scope, days)

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("meets the conditions on {date}", date=self.on)


@dataclass(frozen=True)
class Every:
    """Once a period."""

    about: ClassVar[str] = phrase("Once a day, week, month, quarter or year; who joins later waits for the next.")
    once_for: ClassVar[Phrase] = phrase("period")
    open_for: ClassVar[Phrase] = phrase("until the next period begins")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "every:\n  period: month\n  on: 1"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    period: str
    on: int  #: weekday (Monday 0), day of the month, or month * 100 + day
    late: Duration | None  #: None: until the next period begins

    @classmethod
    def schema(cls) -> JsonSchema:
        """The period, the day in it, and how long it stays open."""
        on = phrase("The day on which it begins: mon to sun, a day of the month (1 to 31), or month and day (12-06).")
        late = phrase(
            "How long the occasion stays open, and then it is expired; the whole period if left out, and at most."
        )
        period = {"type": "string", "enum": list(_PERIODS)}
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["period"],
            "description": cls.about,
            "properties": {
                "period": period | {"description": phrase("How often: day, week, month, quarter or year.")},
                "on": {"type": ["string", "integer"], "description": on},
                "late": late_setting()["late"] | {"description": late},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``month`` or the settings; ``on`` must be a day of the period."""
        given = reader.settings("period")
        period = str(given["period"])
        place, where = reader.setting("period"), phrase("the periods are")
        if not place.known(phrase("period"), period, _PERIODS, "unknown-period", where):
            period = "day"
        on = _DEFAULT[period]
        if "on" in given:
            found = _day_of(period, given["on"])
            if found is None:
                near = did_you_mean(given["on"][:3], DAYS) if period == "week" and isinstance(given["on"], str) else ""
                message = phrase(
                    '"on" is {on}, and that is no day of a {period}{meant}', on=given["on"], period=period, meant=near
                )
                reader.under("on").problem(message, "bad-day", hint=_CURES[period])
            else:
                on = found
        made = cls(period, on, stays_open(reader, given) if "late" in given else None)
        begins = made._latest(date(2026, 12, 31))
        if made.late is not None and made.late.after(begins) > made._next(begins):
            said = phrase('"late" is longer than a {period}, and the next one ends it', period=period)
            hint = phrase('leave "late" out: the whole period counts then')
            reader.under("late").problem(said, "late-overlaps", hint=hint, severity="warning")
        return made

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest who was there when the period began; the occasion is the period, whatever ``on`` says."""
        days, joined = _open(scope, self._latest, self._closes, self._first), scope.facts.c.joined_day
        return _everybody(scope, days).narrowed(or_(joined.is_(None), joined < days.c.day))

    def _closes(self, day: date) -> date:
        following = self._next(day)
        return following if self.late is None else min(self.late.after(day), following)

    def _first(self, day: date) -> date:
        """Give the first day of the calendar's week, month or year: an edited ``on`` begins no other period."""
        match self.period:
            case "day":
                return day
            case "week":
                return day - timedelta(days=day.weekday())
            case "month":
                return day.replace(day=1)
            case "quarter":
                return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
            case _:
                return date(day.year, 1, 1)

    def _latest(self, day: date) -> date:
        """Give the newest beginning of a period, that day or before it."""
        match self.period:
            case "day":
                return day
            case "week":
                return day - timedelta(days=(day.weekday() - self.on) % 7)
            case "year":
                begins = _on(day.year, *divmod(self.on, 100))
                return begins if begins <= day else _on(day.year - 1, *divmod(self.on, 100))
            case _:
                months = 3 if self.period == "quarter" else 1
                number = (day.year * 12 + day.month - 1) // months * months
                begins = _on(number // 12, number % 12 + 1, self.on)
                number -= months
                return begins if begins <= day else _on(number // 12, number % 12 + 1, self.on)

    def _next(self, day: date) -> date:
        """Give the beginning of the period after the one that begins on ``day``."""
        longest = {"day": 1, "week": 7, "month": 62, "quarter": 124, "year": 367}[self.period]
        begins = self._latest(day + timedelta(days=longest))
        while (earlier := self._latest(begins - ONE_DAY)) > day:
            begins = earlier
        return begins

    def sentence(self) -> Phrase:
        """Say it in English."""
        match self.period:
            case "day":
                return phrase("gets a turn every day")
            case "week":
                return phrase("gets a turn every week, from {day} on", day=DAY_NAMES[self.on])
            case "month":
                return phrase("gets a turn every month, from day {day} on", day=self.on)
            case "quarter":
                return phrase("gets a turn every quarter, from day {day} of its first month on", day=self.on)
            case _:
                return phrase("gets a turn every year, from {day} on", day=f"{self.on // 100:02}-{self.on % 100:02}")


#: Where a period begins when nothing else is said: Monday, the first, New Year's Day.
_DEFAULT: Final[dict[str, int]] = {"day": 0, "week": 0, "month": 1, "quarter": 1, "year": 101}
_CURES: Final[dict[str, str]] = {
    "day": phrase('leave "on" out: a day has no other days in it'),
    "week": phrase("such as fri; the days are mon, tue, wed, thu, fri, sat and sun"),
    "month": phrase("a day of the month: 1 to 31; in a shorter month its last day"),
    "quarter": phrase("a day of the first month of the quarter: 1 to 31"),
    "year": phrase("month and day, such as 12-06"),
}


def _day_of(period: str, on: Any) -> int | None:
    """Read ``on`` for a period; None where it is no day of it."""
    match period:
        case "week":
            return DAYS.index(on) if on in DAYS else None
        case "month" | "quarter":
            return on if isinstance(on, int) and 1 <= on <= _MOST_DAYS else None
        case "year" if isinstance(on, str):
            try:
                day = parse_date(f"2024-{on}")
            except ValueError:
                return None
            return day.month * 100 + day.day
        case _:
            return None


def _on(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def _open(
    scope: Scope,
    latest: Callable[[date], date | None],
    closes: Callable[[date], date],
    named: Callable[[date], date] = lambda day: day,
) -> CTE:
    """Give the table of open days of the calendar: ``(zone_id, day, occasion, closes, expired, fresh)``.

    ``named`` gives the day that stands for one of them as the occasion.
    """
    rows = []
    for zone in scope.zones:
        seen = scope.seen_in(zone)
        for day, expired in firing_days(scope, zone, closes, latest):
            over = int(scope.start(closes(day), zone).timestamp())
            fresh = seen is None or day > seen
            rows.append((zone.id, day.toordinal(), of_day(named(day)), over, int(expired), int(fresh)))
    return values_cte("open_dates", _COLUMNS, rows)


def _everybody(scope: Scope, days: CTE) -> Candidates:
    facts = scope.facts
    same = days.c.zone_id == facts.c.zone_id
    return Candidates(
        source=scope.guest().join(days, same),
        where=(),
        occasion=days.c.occasion,
        closes=days.c.closes,
        expired=days.c.expired,
        newly=select(facts.c.customer_id).select_from(facts.join(days, same)).where(days.c.fresh == 1),
    )
