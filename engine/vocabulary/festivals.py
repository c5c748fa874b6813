"""The trigger of a festival: in the country of the guest's store, under a name of ours or of the owner's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Final, Self

from sqlalchemy import ColumnElement, and_, case, func, literal, select

from engine.database.packed import values_cte
from engine.database.tables import stores
from engine.language.calendarfile import Calendar
from engine.language.festivals import ELSEWHERE, FESTIVALS
from engine.language.phrases import Phrase, listed, meant, phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.occasions import Candidates, firing_days, named
from engine.vocabulary.reading import Reader
from engine.vocabulary.returns import days_before_setting
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import late_setting, stays_open_yearly

_COLUMNS: Final = ("zone_id", "place", "occasion", "closes", "expired")


@dataclass(frozen=True)
class Festival:
    """A festival comes."""

    about: ClassVar[str] = phrase(
        "A festival is so many days away, by the calendar of the country of the guest's store."
    )
    once_for: ClassVar[Phrase] = phrase("festival and year")
    open_for: ClassVar[Phrase] = phrase("that day and the next")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "festival:\n  name: mothers-day\n  days_before: 5"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    name: str
    days_before: int
    late: Duration
    home: str  #: country of the home: of guests whose store has none
    calendar: Calendar = field(repr=False)

    @classmethod
    def schema(cls) -> JsonSchema:
        """The festival's name, days before, and how long it stays open."""
        name: JsonSchema = {"type": "string", "minLength": 1, "examples": list(FESTIVALS), "x-names": "festivals"}
        which = phrase("Its name, such as lunar-new-year or mothers-day, or one of config/calendar.yaml.")
        return {
            "type": ["string", "object"],
            "minLength": 1,
            "additionalProperties": False,
            "required": ["name"],
            "description": cls.about,
            "properties": {
                "name": name | {"description": which},
                **days_before_setting(phrase("How many days before it; 0, the day itself, if left out.")),
                **late_setting(),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``mothers-day`` or the settings; the name must be known, and the festival have a day before long."""
        given = reader.settings("name")
        around, home = reader.around, reader.around.config.business.country
        made = cls(
            str(given["name"]),
            int(given.get("days_before", 0)),
            stays_open_yearly(reader, given),
            home,
            around.calendar,
        )
        made._check(reader.setting("name"))
        return made

    def _check(self, place: Reader) -> None:
        name, calendar, today = self.name, self.calendar, place.around.today
        if name not in calendar.names:
            message = phrase('there is no festival "{name}"{meant}', name=name, meant=meant(calendar.nearest(name)))
            hint = phrase("`regulars words festival` lists them; one of your own stands in config/calendar.yaml")
            place.problem(message, "unknown-festival", hint=hint)
        elif not calendar.is_known(name, self.home):
            message = phrase('"{name}" has no date in {country}, where you are', name=name, country=self.home)
            where = listed(calendar.countries(name))
            hint = phrase("it is known in {countries}; give it a date in config/calendar.yaml", countries=where)
            place.problem(message, "no-date", hint=hint, severity="warning")
        elif today is not None and not calendar.comes_within_a_year(name, self.home, today):
            message = phrase('"{name}" has no date in the year from {today} on', name=name, today=today)
            hint = phrase("write its next date into config/calendar.yaml")
            place.problem(message, "no-date", hint=hint, severity="warning")

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest where the festival is near; the occasion is its year and its name."""
        countries = self.calendar.countries(self.name)
        rows = []
        for zone in scope.zones:
            for day, expired in firing_days(scope, zone, self.late.after):
                closes = int(scope.start(self.late.after(day), zone).timestamp())
                on = day + timedelta(days=self.days_before)
                for place, country in enumerate((ELSEWHERE, *countries)):
                    days = self.calendar.days(self.name, country, on.year)
                    if on in days:
                        rows.append((zone.id, place, self._occasion(on.year, days.index(on)), closes, int(expired)))
        open_days, facts = values_cte("open_festivals", _COLUMNS, rows), scope.facts
        same = and_(open_days.c.zone_id == facts.c.zone_id, open_days.c.place == self._place(scope, countries))
        return Candidates(
            source=scope.guest().join(open_days, same),
            where=(),
            occasion=open_days.c.occasion,
            closes=open_days.c.closes,
            expired=open_days.c.expired,
        )

    def _occasion(self, year: int, which: int) -> int:
        """A festival that is put on another day is still the same; those of the moon may come twice in a year."""
        return named(year, self.name if which == 0 else f"{self.name}/{which + 1}")

    def _place(self, scope: Scope, countries: tuple[str, ...]) -> ColumnElement[int]:
        """SQL: the number of the guest's country among ``countries``, 0 for any other."""
        if not countries:
            return literal(0)
        shop = stores.alias("shop")
        own = select(shop.c.country).where(shop.c.id == scope.facts.c.store_id).correlate_except(shop).scalar_subquery()
        country = func.coalesce(own, self.home)
        return case({each: number for number, each in enumerate(countries, 1)}, value=country, else_=0)

    def sentence(self) -> Phrase:
        """Say it in English."""
        title = self.calendar.title(self.name)
        if self.days_before == 0:
            return phrase("has {festival} today", festival=title)
        return phrase("has {festival} in {days}", festival=title, days=Duration(self.days_before, "days"))
