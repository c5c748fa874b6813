"""Triggers of what comes back each year: a birthday, the day of joining, a date of the guest's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Self

from sqlalchemy import CTE, ColumnElement, Select, and_, case, literal, or_, select, union_all

from engine.database.packed import values_cte
from engine.database.sql import in_turn
from engine.database.tables import customer_dates, customer_facts
from engine.language.phrases import Phrase, listed, phrase
from engine.language.times import Duration
from engine.vocabulary.birthdays import LeapDay, open_birthdays, solar_keys
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.occasions import Candidates, firing_days, named
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import late_setting, stays_open_yearly

JOINED = "joined"
_DAYS_BEFORE = {"minimum": 0, "maximum": 180}
#: No import takes an older day of joining: it is what tills write where they know none.
_FIRST_YEAR = 1990


def days_before_setting(about: str) -> dict[str, JsonSchema]:
    """Give the schema of ``days_before``."""
    return {"days_before": {"type": "integer", **_DAYS_BEFORE, "description": about}}


def _leap_day_setting() -> dict[str, JsonSchema]:
    about = phrase("Where 29 February goes in other years; feb28 if left out.")
    return {"leap_day": {"type": "string", "enum": ["feb28", "mar1"], "description": about}}


@dataclass(frozen=True)
class Birthday:
    """The birthday comes."""

    about: ClassVar[str] = phrase("The guest's birthday is so many days away; lunar for guests with a lunar birthday.")
    once_for: ClassVar[Phrase] = phrase("year of the birthday")
    open_for: ClassVar[Phrase] = phrase("that day and the next")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "birthday:\n  days_before: 7"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    days_before: int
    leap_day: LeapDay
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """Days before, where 29 February goes, and how long it stays open."""
        return {
            "type": ["integer", "object", "null"],
            **_DAYS_BEFORE,
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                **days_before_setting(phrase("How many days before the birthday; 0, the day itself, if left out.")),
                **_leap_day_setting(),
                **late_setting(),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``7`` or the settings."""
        given = reader.settings("days_before")
        return cls(int(given.get("days_before", 0)), given.get("leap_day", "feb28"), stays_open_yearly(reader, given))

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest with that birthday; the occasion is its year (lunar: its lunar year)."""
        days, facts = open_birthdays(scope, self.days_before, self.leap_day, self.late), scope.facts
        same = and_(
            days.c.zone_id == facts.c.zone_id,
            days.c.key == facts.c.birthday_md,
            days.c.lunar == case((facts.c.birthday_calendar == "lunar", 1), else_=0),
        )
        return Candidates(
            source=in_turn(scope.guest(), days, same),
            # Each guest of these days is read once, by the index, and not once for each zone.
            where=(facts.c.birthday_md.in_(select(days.c.key)),),
            occasion=days.c.year,
            closes=days.c.closes,
            expired=days.c.expired,
        )

    def sentence(self) -> Phrase:
        """Say it in English."""
        if self.days_before == 0:
            return phrase("has a birthday today")
        return phrase("has a birthday in {days}", days=Duration(self.days_before, "days"))


@dataclass(frozen=True)
class Anniversary:
    """A date of the guest comes back."""

    about: ClassVar[str] = phrase("The day of joining, or another date of the guest, comes back, so many years later.")
    once_for: ClassVar[Phrase] = phrase("year and date")
    open_for: ClassVar[Phrase] = phrase("that day and the next")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "anniversary:\n  of: joined\n  days_before: 3"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    of: tuple[str, ...]
    days_before: int
    leap_day: LeapDay
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """Which dates, days before, where 29 February goes, and how long it stays open."""
        which = phrase("joined (if left out), or attributes that the config declares as dates; one, or a list.")
        names: JsonSchema = {"type": "string", "minLength": 1}
        several: JsonSchema = {"type": ["string", "array"], "minLength": 1, "items": names, "minItems": 1}
        return {
            "type": ["string", "array", "object", "null"],
            "minLength": 1,
            "items": names,
            "minItems": 1,
            "uniqueItems": True,
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                "of": several | {"uniqueItems": True, "description": which},
                **days_before_setting(phrase("How many days before it; 0, the day itself, if left out.")),
                **_leap_day_setting(),
                **late_setting(),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``joined``, the name of an attribute, a list of them, or the settings."""
        given = reader.settings("of")
        of = given.get("of", JOINED)
        dates = [name for name, kind in reader.around.config.attributes.items() if kind == "date"]
        place = reader.setting("of")
        for number, name in enumerate(of if isinstance(of, list) else [of]):
            here = place.under(number) if isinstance(of, list) else place
            if reader.around.config.attributes.get(name, "date") != "date":
                here.problem(
                    phrase('the attribute "{name}" is not declared as a date', name=name),
                    "unknown-date",
                    hint=phrase('write "{name}: date" under attributes in config/regulars.yaml', name=name),
                )
            elif name not in {JOINED, *dates}:
                where = phrase("joined, and the dates under attributes in config/regulars.yaml, are")
                here.known(phrase("date"), name, (JOINED, *dates), "unknown-date", where)
        return cls(
            tuple(of) if isinstance(of, list) else (of,),
            int(given.get("days_before", 0)),
            given.get("leap_day", "feb28"),
            stays_open_yearly(reader, given),
        )

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest and date that comes back; the occasion is the year and the date's name."""
        own = [name for name in self.of if name != JOINED]
        parts: list[Select[Any]] = [self._of_attributes(scope, own)] if own else []
        if JOINED in self.of:
            parts.append(self._of_joining(scope))
        returns = (union_all(*parts) if len(parts) > 1 else parts[0]).cte("returns")
        return Candidates(
            source=scope.guest().join(returns, returns.c.customer_id == scope.facts.c.customer_id),
            where=(),
            occasion=returns.c.occasion,
            closes=returns.c.closes,
            expired=returns.c.expired,
        )

    def _open(self, scope: Scope) -> Iterator[tuple[int, date, int, int]]:
        """Yield zone, the day that comes back, when it closes, and whether it has closed unseen."""
        for zone in scope.zones:
            for day, expired in firing_days(scope, zone, self.late.after):
                closes = int(scope.start(self.late.after(day), zone).timestamp())
                yield zone.id, day + timedelta(days=self.days_before), closes, int(expired)

    def _of_joining(self, scope: Scope) -> Select[Any]:
        """SQL: the days of joining that come back, as ordinals: so that their index finds the guests."""
        rows = [
            (zone, joined.toordinal(), named(day.year, ""), *end)
            for zone, day, *end in self._open(scope)
            for joined in _same_days_before(day, self.leap_day)
        ]
        days = values_cte("open_joinings", ("zone_id", "key", "occasion", "closes", "expired"), rows)
        who = customer_facts.alias("who")
        same = and_(days.c.zone_id == who.c.zone_id, days.c.key == who.c.joined_day)
        joined = who.c.joined_day.in_(select(days.c.key))
        return select(who.c.customer_id, *_ends(days)).select_from(in_turn(who, days, same)).where(joined)

    def _of_attributes(self, scope: Scope, names: list[str]) -> Select[Any]:
        """SQL: the guests' own dates that come back; a date that lies ahead has not been yet."""
        rows = [
            (zone, key, number, day.year, named(day.year, name), *end)
            for zone, day, *end in self._open(scope)
            for key in solar_keys(day, self.leap_day)
            for number, name in enumerate(names)
        ]
        columns = ("zone_id", "key", "name", "year", "occasion", "closes", "expired")
        days: Any = values_cte("open_dates", columns, rows)
        own, who = customer_dates.alias("own"), customer_facts.alias("who")
        number = case(*((own.c.name == name, at) for at, name in enumerate(names)), else_=literal(-1))
        same: ColumnElement[bool] = and_(
            own.c.md == days.c.key, number == days.c.name, or_(own.c.year.is_(None), own.c.year < days.c.year)
        )
        whose = own.join(who, who.c.customer_id == own.c.customer_id)
        asked = select(own.c.customer_id, *_ends(days)).where(own.c.name.in_(names), own.c.md.in_(select(days.c.key)))
        return asked.select_from(in_turn(whose, days, and_(same, days.c.zone_id == who.c.zone_id)))

    def sentence(self) -> Phrase:
        """Say it in English."""
        which = listed((phrase("joining") if name == JOINED else name for name in self.of), " or ")
        if self.days_before == 0:
            return phrase("has the anniversary of {which} today", which=which)
        days = Duration(self.days_before, "days")
        return phrase("has the anniversary of {which} in {days}", which=which, days=days)


def _ends(days: CTE) -> tuple[ColumnElement[Any], ...]:
    return days.c.occasion, days.c.closes, days.c.expired


def _same_days_before(day: date, leap_day: LeapDay) -> Iterator[date]:
    """Yield the days of earlier years that come back on ``day``."""
    for key in solar_keys(day, leap_day):
        for year in range(day.year - 1, _FIRST_YEAR - 2, -1):
            month, number = divmod(key, 100)
            if (month, number) != (2, 29) or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
                yield date(year, month, number)
