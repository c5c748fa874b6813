"""Lengths of time, days, clock times and shares, as an owner writes them.

Days, weeks, months and years count calendar days; hours and minutes count exactly. A month keeps the day of the month,
else its last day. Parsers raise ``ValueError`` with a whole sentence that may be shown to the owner.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Final, Literal

from engine.language.phrases import Phrase, meant, phrase

Unit = Literal["minutes", "hours", "days", "weeks", "months", "years"]

#: The largest length of each unit; a century is enough, and no sum leaves the calendar.
_MOST: Final[dict[Unit, int]] = {
    "minutes": 60 * 24 * 366,
    "hours": 24 * 366,
    "days": 36_525,
    "weeks": 5_218,
    "months": 1_200,
    "years": 100,
}
_UNITS: Final[dict[str, Unit]] = {unit: unit for unit in _MOST} | {unit[:-1]: unit for unit in _MOST}
_OTHER_SPELLINGS: Final[dict[str, Unit]] = {
    **dict.fromkeys(("m", "min", "mins", "minuten", "分", "分钟", "分鐘"), "minutes"),
    **dict.fromkeys(("h", "hr", "hrs", "stunden", "小时", "小時", "时"), "hours"),
    **dict.fromkeys(("d", "dy", "tage", "天", "日"), "days"),
    **dict.fromkeys(("w", "wk", "wks", "wochen", "周", "週", "星期"), "weeks"),
    **dict.fromkeys(("mo", "mon", "mth", "mths", "monate", "月", "个月", "個月"), "months"),
    **dict.fromkeys(("y", "yr", "yrs", "jahre", "年"), "years"),
}
_NUMBER_WORDS: Final = dict(
    zip("a one two three four five six seven eight nine ten".split(), (1, *range(1, 11)), strict=True)  # noqa: SIM905
)
_DURATION = re.compile(r"([0-9]{1,7}) ([a-z]+)")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%")
_MONTH_DAY = re.compile(r"[0-9]{2}-[0-9]{2}")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time such as ``14 days``: a whole number of one unit."""

    amount: int
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``14 days``, ``2 weeks``, ``3 months``, ``1 year``, ``3 hours`` or ``15 minutes``.

        Raises:
            ValueError: it is written otherwise; the text says how it is written, with the nearest right spelling.
        """
        found = _DURATION.fullmatch(" ".join(text.split()))
        unit = _UNITS.get(found.group(2)) if found else None
        if not found or not unit:
            instead = meant(_nearest_duration(text))
            raise ValueError(
                phrase(
                    '"{text}" is not a duration such as 90 days, 2 weeks, 3 months or 1 year{meant}',
                    text=text,
                    meant=instead,
                )
            )
        amount = int(found.group(1))
        if amount > _MOST[unit]:
            most = cls(_MOST[unit], unit)
            raise ValueError(phrase('"{text}" is too long: {most} is the most', text=text, most=most))
        return cls(amount, unit)

    @property
    def is_calendar(self) -> bool:
        """Whether it counts calendar days (days, weeks, months, years) rather than exact time."""
        return self.unit not in {"hours", "minutes"}

    def after(self, day: date) -> date:
        """Give the day that lies this far after ``day``. Only for calendar durations; else ``ValueError``."""
        return self._shift(day, self.amount)

    def before(self, day: date) -> date:
        """Give the day that lies this far before ``day``. Only for calendar durations; else ``ValueError``."""
        return self._shift(day, -self.amount)

    def latest(self, today: date) -> date:
        """Give the latest day from which this duration is over by ``today``: the greatest d with after(d) <= today.

        It differs from ``before`` at the ends of months: on 28 February one month is over for 28 to 31 January.
        """
        day = self.before(today)
        while self.after(day) > today:
            day -= timedelta(days=1)
        while self.after(day + timedelta(days=1)) <= today:
            day += timedelta(days=1)
        return day

    def days(self) -> int | None:
        """Give the number of days where it is always the same (days, weeks), else None."""
        return {"days": self.amount, "weeks": self.amount * 7}.get(self.unit)

    def delta(self) -> timedelta:
        """Give the exact length of hours or minutes. ``ValueError`` for calendar durations."""
        if self.unit == "hours":
            return timedelta(hours=self.amount)
        if self.unit == "minutes":
            return timedelta(minutes=self.amount)
        raise ValueError(f"{self} counts calendar days and has no exact length")

    def __str__(self) -> str:
        return f"{self.amount} {self.unit if self.amount != 1 else self.unit[:-1]}"

    def in_words(self) -> Phrase:
        """Say it in a sentence: ``14 days``."""
        return _IN_WORDS[self.unit](self.amount)

    def _shift(self, day: date, amount: int) -> date:
        days = self.days()
        if days is not None:
            return day + timedelta(days=days if amount >= 0 else -days)
        if not self.is_calendar:
            raise ValueError(f"{self} counts exact time, not days")
        months = day.year * 12 + day.month - 1 + amount * (12 if self.unit == "years" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


_IN_WORDS: Final[Mapping[Unit, Callable[[int], Phrase]]] = {
    "minutes": lambda n: phrase("1 minute") if n == 1 else phrase("{n} minutes", n=n),
    "hours": lambda n: phrase("1 hour") if n == 1 else phrase("{n} hours", n=n),
    "days": lambda n: phrase("1 day") if n == 1 else phrase("{n} days", n=n),
    "weeks": lambda n: phrase("1 week") if n == 1 else phrase("{n} weeks", n=n),
    "months": lambda n: phrase("1 month") if n == 1 else phrase("{n} months", n=n),
    "years": lambda n: phrase("1 year") if n == 1 else phrase("{n} years", n=n),
}


def parse_clock(text: str) -> int:
    """Read ``HH:MM`` and give minutes after midnight, 0 to 1439. ``ValueError`` explains any other text."""
    found = _CLOCK.fullmatch(text.strip())
    if found:
        return int(found.group(1)) * 60 + int(found.group(2))
    instead = meant(_nearest_clock(text))
    raise ValueError(phrase('"{text}" is not a time of day such as 09:30 or 18:00{meant}', text=text, meant=instead))


def clock(minutes: int) -> str:
    """Write minutes after midnight (0 to 1440) as ``HH:MM``."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def parse_date(text: str) -> date:
    """Read ``YYYY-MM-DD``. ``ValueError`` explains any other text and days that no calendar has."""
    found = _DATE.fullmatch(text.strip())
    if not found:
        raise ValueError(phrase('"{text}" is not a date such as 2026-05-04 (year-month-day)', text=text))
    year, month, day = (int(part) for part in found.groups())
    if not 1 <= month <= 12:  # noqa: PLR2004
        raise ValueError(phrase('"{text}" is no date: there is no month {month}', text=text, month=month))
    if not 1900 <= year <= 2200:  # noqa: PLR2004
        raise ValueError(phrase('"{text}" is no date of our time', text=text))
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise ValueError(
            phrase(
                '"{text}" is no date: {year}-{month:02} has no day {day}', text=text, year=year, month=month, day=day
            )
        )
    return date(year, month, day)


def parse_calendar_day(text: str) -> tuple[int | None, int, int]:
    """Read ``2026-11-28``, or ``11-28`` for each year. ``ValueError`` explains any other text."""
    if not _MONTH_DAY.fullmatch(text.strip()):
        day = parse_date(text)
        return day.year, day.month, day.day
    try:
        day = parse_date(f"2024-{text.strip()}")
    except ValueError:
        raise ValueError(
            phrase('"{text}" is no day of a year; write month and day, such as 11-28', text=text)
        ) from None
    return None, day.month, day.day


def parse_share(text: str) -> int:
    """Read ``10%`` or ``2.5%`` and give hundredths of a percent, 0 to 10000. ``ValueError`` explains any other text."""
    found = _SHARE.fullmatch(text.strip())
    if not found:
        near = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?(percent|per cent|pct|％)?", text.strip())
        instead = meant(f"{near.group(1)}%" if near else None)
        raise ValueError(phrase('"{text}" is not a share such as 10%{meant}', text=text, meant=instead))
    share = int(Decimal(found.group(1)) * 100)
    if share > 10_000:  # noqa: PLR2004
        raise ValueError(phrase('"{text}" is more than all: 100% is the most', text=text))
    return share


def _nearest_duration(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,7}|[a-z]+?)(?:[ ,._-]*)([^\W\d_]+)?", text.strip().lower())
    if not found:
        return ""
    number, word = found.group(1), found.group(2)
    amount = int(number) if number.isdigit() else _NUMBER_WORDS.get(number)
    if amount is None:
        return ""
    unit: Unit | None = "days" if not word else _OTHER_SPELLINGS.get(word) or _UNITS.get(word)
    if unit is None:
        close = get_close_matches(word, _UNITS, n=1, cutoff=0.6)
        unit = _UNITS[close[0]] if close else None
    return str(Duration(amount, unit)) if unit else ""


def _nearest_clock(text: str) -> str:
    found = re.fullmatch(r"([0-9]{1,2})(?:[:.：h ]?([0-9]{2}))?\s*([ap])?\.?m?\.?(?:uhr|点|點)?", text.strip().lower())
    if not found:
        return ""
    hour, minute = int(found.group(1)), int(found.group(2) or 0)
    if found.group(3):
        if not 1 <= hour <= 12:  # noqa: PLR2004
            return ""
        hour = hour % 12 + (12 if found.group(3) == "p" else 0)
    return clock(hour * 60 + minute) if hour < 24 and minute < 60 else ""  # noqa: PLR2004
