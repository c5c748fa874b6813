"""``config/calendar.yaml``: days of the owner's own, and other dates for festivals that Regulars knows."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from engine.language.check import check
from engine.language.document import Document
from engine.language.durations import parse_calendar_day
from engine.language.festivals import ALSO, ELSEWHERE, FESTIVALS
from engine.language.phrases import phrase
from engine.language.problems import Problem, errors, ordered
from engine.language.wording import nearest
from engine.language.yamlfile import load

CALENDAR_FILE: Final = "config/calendar.yaml"
#: Two days of a festival in one year lie at least this far apart: it comes once a year.
_APART: Final = 180
_YEAR: Final = 366

CALENDAR_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "The calendar of a home of Regulars",
    "x-name": phrase("the calendar"),
    "type": "object",
    "description": phrase("Days of your own. A rule waits for one: festival: market-day."),
    "propertyNames": {"format": "slug"},
    "additionalProperties": {
        "type": "object",
        "description": phrase("One festival: a name of your own, or one that Regulars knows and that has other dates."),
        "additionalProperties": False,
        "required": ["dates"],
        "x-also": {"date": "dates", "day": "dates", "days": "dates", "on": "dates", "country": "countries"},
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": phrase("How people call it: the Market Day.")},
            "dates": {
                "type": ["string", "array"],
                "format": "calendar-day",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "format": "calendar-day"},
                "description": phrase("Its days: 2026-11-28, or 11-28 for each year; one, or a list."),
            },
            "countries": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "format": "country"},
                "description": phrase(
                    "Only for guests of stores in these countries: [US, CA]; everywhere if left out."
                ),
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class OwnFestival:
    """A festival of ``config/calendar.yaml``. ``days`` are (year, month, day), year None: each year."""

    name: str
    days: tuple[tuple[int | None, int, int], ...]
    countries: frozenset[str] | None  #: None: everywhere

    def holds_in(self, country: str) -> bool:
        """Whether it is meant for a country (``ELSEWHERE``: for one that nothing names)."""
        return self.countries is None or country in self.countries

    def of(self, year: int) -> tuple[date, ...]:
        """Give its days in a year; 29 February is the 28th in common years."""
        mine = {(month, day) for of, month, day in self.days if of in {None, year}}
        return tuple(sorted(date(year, m, min(d, calendar.monthrange(year, m)[1])) for m, d in mine))


@dataclass(frozen=True)
class Calendar:
    """All festivals of a home: those that Regulars knows, and the owner's own, which go before them."""

    own: Mapping[str, OwnFestival] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a rule may use."""
        return tuple(dict.fromkeys((*FESTIVALS, *self.own)))

    def title(self, name: str) -> str:
        """Give how to call a festival."""
        if name in self.own and self.own[name].name:
            return self.own[name].name
        return FESTIVALS[name].name if name in FESTIVALS else name

    def nearest(self, name: str) -> str | None:
        """Give the name that was probably meant, or None."""
        return ALSO.get(name.casefold().replace(" ", "-")) or nearest(name, self.names)

    def countries(self, name: str) -> tuple[str, ...]:
        """Give the countries with days of their own; the others share those of ``ELSEWHERE``."""
        ours = FESTIVALS[name].rules.keys() if name in FESTIVALS else ()
        theirs = (self.own[name].countries or ()) if name in self.own else ()
        return tuple(sorted({*ours, *theirs} - {ELSEWHERE}))

    def is_known(self, name: str, country: str) -> bool:
        """Whether the festival is kept in a country at all."""
        if name in self.own and self.own[name].holds_in(country):
            return True
        return name in FESTIVALS and FESTIVALS[name].rule(country) is not None

    def days(self, name: str, country: str, year: int) -> tuple[date, ...]:
        """Give the days of a year: the owner's where the file names any of it, else those that Regulars knows."""
        own = self.own.get(name)
        mine = own.of(year) if own is not None and own.holds_in(country) else ()
        rule = FESTIVALS[name].rule(country) if name in FESTIVALS else None
        return mine or (rule(year) if rule is not None else ())

    def comes_within_a_year(self, name: str, country: str, today: date) -> bool:
        """Whether it has a day from today to a year from now."""
        days = (day for year in (today.year, today.year + 1) for day in self.days(name, country, year))
        return any(today <= day <= today + timedelta(days=_YEAR) for day in days)


def load_calendar(root: Path) -> tuple[Calendar, list[Problem]]:
    """Read the calendar of the home at ``root``; a broken festival is left out and told."""
    file = root / CALENDAR_FILE
    if not file.exists() and not file.with_name(file.name + ".txt").exists():
        return Calendar(), []
    document, problems = load(file, CALENDAR_FILE)
    if document is None:  # all of it may stand behind a #: then there is nothing of the owner's own yet
        return Calendar(), [problem for problem in problems if problem.code != "empty-file"]
    problems.extend(check(document, CALENDAR_SCHEMA))
    own: dict[str, OwnFestival] = {}
    for name in document.data:
        wrong = errors(check(document, CALENDAR_SCHEMA["additionalProperties"], (name,))) or document.is_spoilt((name,))
        if wrong or not isinstance(document.data[name], dict):
            continue
        festival, found = _festival(document, name)
        problems.extend(found)
        if not found:
            own[name] = festival
    return Calendar(own), ordered(problems)


def _festival(document: Document, name: str) -> tuple[OwnFestival, list[Problem]]:
    given = document.data[name]
    dates = given["dates"] if isinstance(given["dates"], list) else [given["dates"]]
    countries = frozenset(given["countries"]) if "countries" in given else None
    festival = OwnFestival(given.get("name", ""), tuple(parse_calendar_day(day) for day in dates), countries)
    for year in sorted({year or date.max.year - 1 for year, _, _ in festival.days}):
        for before, after in pairwise(festival.of(year)):
            if (after - before).days < _APART:
                said = phrase(
                    '"{name}" has two days in one year: {before:%m-%d} and {after:%m-%d}',
                    name=name,
                    before=before,
                    after=after,
                )
                hint = phrase("a festival comes once a year: give the other day a name of its own")
                return festival, [document.problem((name, "dates"), said, "once-a-year", hint=hint)]
    return festival, []
