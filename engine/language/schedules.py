"""When a rule is evaluated: ``daily at 10:00`` and its like, or a five-field cron line.

Slots are found on the naive clock of the home's zone and then placed in it, because croniter on aware times runs a
fixed time twice in a repeated hour. As Debian's cron does: a fixed time that the clock skips comes once, right after;
one that is repeated comes once, the first time; a schedule of every few minutes or hours simply goes on.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.language.durations import Duration, clock, parse_clock
from engine.language.hours import DAY_NAMES, DAYS
from engine.language.phrases import Phrase, listed, meant, phrase
from engine.language.zones import first_instant, instants, wall

_MINUTES: Final = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_HOURS: Final = (1, 2, 3, 4, 6, 8, 12)
_LAST_COMMON_DAY: Final = 28
_EVERYDAY: Final[dict[str, str]] = {
    "daily": "*",
    "weekdays": "1-5",
    **{f"{name.lower()}s": str(number) for number, name in enumerate(DAY_NAMES, 1)},
}
_WORDS: Final = (*_EVERYDAY, "every", "monthly")
_AT = re.compile(r"([a-z]+) at (\S+)")
_EVERY = re.compile(r"every ([0-9]{1,4}) (minutes?|hours?)")
_MONTHLY = re.compile(r"monthly on ([0-9]{1,2}) at (\S+)")
_FIELD = re.compile(r"[0-9a-z*,/\-]+")
_FIXED = re.compile(r"[0-9]+ [0-9]+ \* \* (?:\*|[1-7]|1-5)")
_MONTHS: Final = tuple(name.lower() for name in calendar.month_abbr[1:])
_EXAMPLES: Final = listed(
    (
        "daily at 10:00",
        "mondays at 09:00",
        "weekdays at 09:00",
        "every 15 minutes",
        "monthly on 1 at 08:00",
    )
)
_CHINESE: Final = {
    **dict.fromkeys(("每天", "每日"), "daily"),
    "工作日": "weekdays",
    **{
        f"每{week}{day}": f"{name.lower()}s"
        for week in ("周", "星期")
        for day, name in zip("一二三四五六日", DAY_NAMES, strict=True)
    },
}
_SAID: Final[dict[str, Phrase]] = {
    "daily": phrase("every day"),
    "weekdays": phrase("Monday to Friday"),
    "mondays": phrase("every Monday"),
    "tuesdays": phrase("every Tuesday"),
    "wednesdays": phrase("every Wednesday"),
    "thursdays": phrase("every Thursday"),
    "fridays": phrase("every Friday"),
    "saturdays": phrase("every Saturday"),
    "sundays": phrase("every Sunday"),
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to evaluate. ``text`` is what the owner wrote, ``cron`` its five fields, ``sentence`` says it.

    ``month_day`` is 29, 30 or 31 where the day falls on the last day of shorter months, else 0.
    """

    text: str
    cron: str
    sentence: Phrase
    month_day: int = 0

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read the words or the cron line.

        Raises:
            ValueError: it is written otherwise or names a day that never comes; the text says how to write it.
        """
        words = " ".join(text.lower().split())
        if len(words.split(" ")) == 5 and _FIELD.fullmatch(words.split(" ")[0]) and re.match(r"[0-9*]", words):  # noqa: PLR2004
            return cls._of_cron(text, words)
        found = _EVERY.fullmatch(words)
        if found:
            return cls._of_every(text, int(found.group(1)), found.group(2))
        found = _MONTHLY.fullmatch(words)
        if found:
            return cls._of_month(text, int(found.group(1)), parse_clock(found.group(2)))
        found = _AT.fullmatch(words)
        if found and found.group(1) in _EVERYDAY:
            word, at = found.group(1), parse_clock(found.group(2))
            sentence = phrase("{day} at {clock}", day=_SAID[word], clock=clock(at))
            return cls(text, f"{at % 60} {at // 60} * * {_EVERYDAY[word]}", sentence)
        instead = meant(_nearest(words))
        raise ValueError(
            phrase('"{text}" is not a schedule such as {such}{meant}', text=text, such=_EXAMPLES, meant=instead)
        )

    def latest(self, after: datetime | None, until: datetime, zone: ZoneInfo) -> datetime | None:
        """Give the latest slot in (after, until], or None. ``after=None`` means: from the beginning of time."""
        for slot in self._near(until, zone, forward=False):
            if slot <= until:
                return slot if after is None or slot > after else None
        return None

    def next(self, after: datetime, zone: ZoneInfo) -> datetime:
        """Give the first slot later than ``after``."""
        return next(slot for slot in self._near(after, zone, forward=True) if slot > after)

    @property
    def goes_on(self) -> bool:
        """Whether it is of every few minutes or hours, and so runs through a repeated hour."""
        minute, hour, *_ = self.cron.split(" ")
        return minute.startswith("*") or hour.startswith("*")

    def _near(self, at: datetime, zone: ZoneInfo, *, forward: bool) -> Iterator[datetime]:
        """Give slots in order of time, from around ``at`` onward or backward.

        Wall times and instants run in the same order except around a change of the clock. So a slot is given out only
        when the wall time that was reached lies beyond it by every offset to UTC that is in use around ``at``.
        """
        days = timedelta(days=2)
        offsets = [(at + step).astimezone(zone).utcoffset() or timedelta() for step in (-days, timedelta(), days)]
        here, slack = wall(at, zone), max(offsets) - min(offsets)
        waiting: set[datetime] = set()
        for naive in self._walls(here - slack if forward else here + slack, forward=forward):
            reached = naive.replace(tzinfo=UTC) - (max(offsets) if forward else min(offsets))
            ready = {slot for slot in waiting if (slot < reached if forward else slot > reached)}
            yield from sorted(ready, reverse=not forward)
            waiting = (waiting - ready).union(self._slots(naive, zone))
        yield from sorted(waiting, reverse=not forward)

    def _walls(self, start: datetime, *, forward: bool) -> Iterator[datetime]:
        """Give the naive clock times of the schedule from ``start``, itself included, in one direction."""
        if _FIXED.fullmatch(self.cron):
            yield from self._fixed_walls(start, forward=forward)
            return
        from croniter import CroniterBadDateError, croniter

        inclusive = start + timedelta(seconds=-1 if forward else 1)
        times = croniter(self.cron, inclusive)
        step: Callable[[Any], datetime] = times.get_next if forward else times.get_prev
        while True:
            try:
                naive = step(datetime)
            except (CroniterBadDateError, OverflowError, ValueError):
                return
            last = calendar.monthrange(naive.year, naive.month)[1]
            if not self.month_day or naive.day == min(self.month_day, last):
                yield naive

    def _fixed_walls(self, start: datetime, *, forward: bool) -> Iterator[datetime]:
        """Give the same for one time of day on some weekdays, as most rules have it: croniter need not be loaded."""
        minute, hour, _, _, weekdays = self.cron.split(" ")
        first, _, last = weekdays.replace("*", "1-7").partition("-")
        on = range(int(first), int(last or first) + 1)
        naive = start.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        day = timedelta(days=1 if forward else -1)
        # As croniter does: a second more or less, for the start itself is among them.
        near = start - timedelta(seconds=1) if forward else start + timedelta(seconds=1)
        while True:
            if naive.isoweekday() in on and (naive > near if forward else naive < near):
                yield naive
            try:
                naive += day
            except OverflowError:
                return

    def _slots(self, naive: datetime, zone: ZoneInfo) -> list[datetime]:
        return instants(naive, zone) if self.goes_on else [first_instant(naive, zone)]

    @classmethod
    def _of_every(cls, text: str, number: int, unit: str) -> Schedule:
        minutes = unit.startswith("minute")
        allowed = _MINUTES if minutes else _HOURS
        if number not in allowed:
            numbers = listed(allowed)
            uneven = phrase(
                '"{text}" does not divide a day evenly; every {numbers} hours do', text=text, numbers=numbers
            )
            if minutes:
                uneven = phrase(
                    '"{text}" does not divide an hour evenly; every {numbers} minutes do', text=text, numbers=numbers
                )
            raise ValueError(uneven)
        if number == 1:
            sentence = phrase("every minute") if minutes else phrase("every hour")
        else:
            sentence = phrase("every {time}", time=Duration(number, "minutes" if minutes else "hours"))
        every = "*" if number == 1 else f"*/{number}"
        return cls(text, f"{every} * * * *" if minutes else f"0 {every} * * *", sentence)

    @classmethod
    def _of_month(cls, text: str, day: int, at: int) -> Schedule:
        if not 1 <= day <= 31:  # noqa: PLR2004
            raise ValueError(phrase('"{text}" names a day that no month has; 1 to 31 do', text=text))
        short = day > _LAST_COMMON_DAY
        sentence = phrase("on day {day} of each month at {clock}", day=day, clock=clock(at))
        if short:
            sentence = phrase("on day {day} of each month, else its last, at {clock}", day=day, clock=clock(at))
        days = f"{day},{_LAST_COMMON_DAY}-31" if short else str(day)
        return cls(text, f"{at % 60} {at // 60} {days} * *", sentence, day if short else 0)

    @classmethod
    def _of_cron(cls, text: str, cron: str) -> Schedule:
        from croniter import CroniterBadDateError, CroniterError, croniter

        fields = cron.split(" ")
        for name, field, words in zip(
            (
                phrase("minute"),
                phrase("hour"),
                phrase("day of the month"),
                phrase("month"),
                phrase("day of the week"),
            ),
            fields,
            ((), (), (), _MONTHS, DAYS),
            strict=True,
        ):
            unknown = set(re.findall(r"[a-z]+", field)) - set(words)
            if unknown or not _FIELD.fullmatch(field):
                raise ValueError(
                    phrase('"{text}" is not a cron line: "{field}" is no {name}', text=text, field=field, name=name)
                )
        try:
            croniter(cron, datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)).get_next(datetime)
        except CroniterBadDateError:
            raise ValueError(phrase('"{text}" is a cron line for a day that never comes', text=text)) from None
        except (CroniterError, ValueError):
            wrong = phrase(
                '"{text}" is not a cron line; its five parts are minute, hour, day of the month, month and day of the '
                "week, such as 0 10 * * *",
                text=text,
            )
            raise ValueError(wrong) from None
        return cls(text, cron, phrase('by the cron line "{cron}"', cron=cron))


def _nearest(words: str) -> str:
    """Give the nearest right spelling, or nothing."""
    for chinese, english in _CHINESE.items():
        words = words.replace(chinese, f"{english} ")
    words = " ".join(words.split())
    every = re.fullmatch(r"(?:every|each) (?:([0-9]+) ?)?([a-z]+)", words)
    if every:
        unit = get_close_matches(every.group(2), ("minutes", "hours", "minute", "hour"), n=1, cutoff=0.5)
        if unit and unit[0] not in _WORDS:
            number = every.group(1) or "1"
            return f"every {number} {unit[0].rstrip('s')}{'' if number == '1' else 's'}"
        if every.group(2) == "day":
            return "daily at 10:00"
    found = re.search(r"[0-9]{1,2}(?:[:.：][0-9]{2})?\s*(?:[ap]\.?m\.?)?$", words)
    at = "10:00"
    if found:
        try:
            parse_clock(found.group())
            at = found.group()
        except ValueError as error:
            right = re.search(r'did you mean "([0-9:]+)"', str(error))
            at = right.group(1) if right else at
        words = words[: found.start()].strip()
    words = re.sub(r"\b(?:at|every|each|on|um)\b", " ", words).strip()
    close = get_close_matches(words.split(" ")[0] or "daily", [*_EVERYDAY, "monthly"], n=1, cutoff=0.6)
    if not close:
        return ""
    day = re.search(r"\b([0-9]{1,2})\b", words)
    return f"monthly on {day.group(1) if day else 1} at {at}" if close[0] == "monthly" else f"{close[0]} at {at}"
