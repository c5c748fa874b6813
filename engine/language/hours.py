"""When messages may go out: opening hours of a channel, a rule's window, and the next moment inside all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from engine.language.durations import clock, parse_clock
from engine.language.phrases import listed, meant, phrase
from engine.language.zones import changes, first_instant, instants, wall

_MIDNIGHT: Final = 24 * 60
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES: Final = (
    phrase("Monday"),
    phrase("Tuesday"),
    phrase("Wednesday"),
    phrase("Thursday"),
    phrase("Friday"),
    phrase("Saturday"),
    phrase("Sunday"),
)
GROUPS: Final[dict[str, frozenset[int]]] = {"weekdays": frozenset(range(5)), "weekend": frozenset({5, 6})}
CLOSED: Final = "closed"
_HORIZON: Final = 16  # two weeks and the days that a change of time can swallow
_FAR_HORIZON: Final = 100  # public holidays can shut the same weekday for weeks in a row


@dataclass(frozen=True, slots=True)
class ClockRange:
    """From a time of day to another, the end not included; it passes midnight where the end is not after the start.

    ``start`` is in minutes after midnight, 0 to 1439; ``end`` 1 to 1440.
    """

    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> ClockRange:
        """Read ``08:00-21:00``, ``22:00-02:00`` or ``00:00-24:00``. ``ValueError`` explains any other text."""
        parts = re.split(r"\s*[-–—~～]\s*|\s+to\s+", text.strip())
        if len(parts) != 2:  # noqa: PLR2004
            raise ValueError(phrase('"{text}" is not a range of hours such as 08:00-21:00', text=text))
        start = parse_clock(parts[0])
        end = _MIDNIGHT if parts[1] in {"24:00", "00:00"} else parse_clock(parts[1])
        if not re.fullmatch(r"\S+-\S+", text.strip()):
            instead = meant(f"{parts[0]}-{parts[1]}")
            raise ValueError(phrase('"{text}" is not a range of hours{meant}', text=text, meant=instead))
        if start == end:
            raise ValueError(
                phrase('"{text}" begins and ends at the same time; the whole day is 00:00-24:00', text=text)
            )
        return cls(start, end)

    @property
    def passes_midnight(self) -> bool:
        """Whether it ends on the day after it began."""
        return self.end < self.start

    def holds(self, minute: int) -> bool:
        """Whether a time of day, in minutes after midnight, lies inside."""
        if self.passes_midnight:
            return minute >= self.start or minute < self.end
        return self.start <= minute < self.end

    def on(self, day: date) -> tuple[datetime, datetime]:
        """Give the wall times at which the range that starts on ``day`` begins and ends."""
        midnight = datetime.combine(day, time(0))
        end = self.end + (_MIDNIGHT if self.passes_midnight else 0)
        return midnight + timedelta(minutes=self.start), midnight + timedelta(minutes=end)

    def __str__(self) -> str:
        return f"{clock(self.start)}-{clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Hours:
    """For each weekday (Monday first) the range that starts on it, or None: closed."""

    week: tuple[ClockRange | None, ...]

    @classmethod
    def parse(cls, setting: str | Mapping[str, str]) -> Hours:
        """Read one range for every day, or a map of ``weekdays``, ``weekend`` and ``mon`` to ``sun``.

        A single day goes before its group; a day not named is closed, as is one that says ``closed``.

        Raises:
            ValueError: a range is written otherwise, a name is unknown, or no day is open.
        """
        if isinstance(setting, str):
            return cls((ClockRange.parse(setting),) * 7)
        week: list[ClockRange | None] = [None] * 7
        unknown = [name for name in setting if name not in GROUPS and name not in DAYS]
        if unknown:
            close = get_close_matches(str(unknown[0]).lower(), [*GROUPS, *DAYS], n=1, cutoff=0.4)
            raise _no_day(str(unknown[0]), close)
        for name in (*GROUPS, *DAYS):
            if name in setting:
                said = setting[name]
                opened = None if said == CLOSED else ClockRange.parse(said)
                for weekday in GROUPS.get(name, frozenset({DAYS.index(name)} if name in DAYS else set())):
                    week[weekday] = opened
        if not any(week):
            raise ValueError(phrase("no day of the week is open"))
        return cls(tuple(week))

    def open_at(self, local: datetime) -> bool:
        """Whether it is open at a local time (naive, or aware in the guest's zone)."""
        minute = local.hour * 60 + local.minute
        today, yesterday = self.week[local.weekday()], self.week[local.weekday() - 1]
        if today is not None and minute >= today.start and (today.passes_midnight or minute < today.end):
            return True
        return yesterday is not None and yesterday.passes_midnight and minute < yesterday.end

    def __str__(self) -> str:
        if len(set(self.week)) == 1:
            return str(self.week[0])
        said, rest = [], dict(zip(DAYS, self.week, strict=True))
        for group, days in GROUPS.items():
            alike = {self.week[day] for day in days}
            if len(alike) == 1:
                said += [f"{group} {opened}" for opened in alike if opened]
                rest = {name: opened for name, opened in rest.items() if DAYS.index(name) not in days}
        return ", ".join([*said, *(f"{name} {opened}" for name, opened in rest.items() if opened)])


@dataclass(frozen=True, slots=True)
class Opening:
    """Hours that hold at once: open where all of them are, and not on the public holidays of some countries."""

    hours: tuple[Hours, ...]
    holidays: frozenset[str] = frozenset()  #: two letters each

    def open_at(self, local: datetime) -> bool:
        """Whether it is open at a local time (naive, or aware in the guest's zone)."""
        return all(each.open_at(local) for each in self.hours) and not self.shut_on(local.date())

    def shut_on(self, day: date) -> bool:
        """Whether it is shut all day for a public holiday."""
        return any(is_public_holiday(country, day) for country in self.holidays)

    def __str__(self) -> str:
        return " & ".join(dict.fromkeys(str(each) for each in self.hours))


def is_public_holiday(country: str, day: date) -> bool:
    """Whether it is a public holiday in the whole of a country (two letters); False where none are known of it."""
    return day in _public_holidays(country, day.year)


@lru_cache(maxsize=256)
def _public_holidays(country: str, year: int) -> frozenset[date]:
    import holidays

    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()


def _opening(hours: Hours | Opening) -> Opening:
    return hours if isinstance(hours, Opening) else Opening((hours,))


def parse_weekdays(names: Iterable[str]) -> frozenset[int]:
    """Read ``mon`` to ``sun``, ``weekdays`` and ``weekend``; Monday is 0. ``ValueError`` names an unknown one."""
    found: set[int] = set()
    for name in names:
        if name not in GROUPS and name not in DAYS:
            close = get_close_matches(name.lower()[:3], DAYS, n=1)
            raise _no_day(name, close)
        found |= GROUPS.get(name) or {DAYS.index(name)}
    return frozenset(found)


def _no_day(name: str, close: Sequence[str]) -> ValueError:
    days, instead = listed([*GROUPS, *DAYS]), meant(close[0] if close else None)
    return ValueError(phrase('"{name}" is no day; the days are {days}{meant}', name=name, days=days, meant=instead))


def is_open(
    at: datetime,
    zone: ZoneInfo,
    hours: Hours | Opening,
    between: ClockRange | None = None,
    on: frozenset[int] | None = None,
) -> bool:
    """Whether an instant lies inside the hours, the rule's window and its weekdays, on the guest's clock."""
    local = wall(at, zone)
    return hours.open_at(local) and _window(between, on).open_at(local)


def next_slot(
    at: datetime,
    zone: ZoneInfo,
    hours: Hours | Opening,
    between: ClockRange | None = None,
    on: frozenset[int] | None = None,
) -> datetime:
    """Give the first instant, ``at`` or later, that lies inside the hours, the rule's window and its weekdays.

    All are read on the clock of ``zone``; a window that passes midnight belongs to the day on which it starts.

    Raises:
        ValueError: the windows never meet.
    """
    if is_open(at, zone, hours, between, on):
        return at.astimezone(UTC)
    opening, window = _opening(hours), _window(between, on)
    for days in (_HORIZON, _FAR_HORIZON) if opening.holidays else (_HORIZON,):
        for edge in _edges(at, zone, (*opening.hours, window), days, midnights=bool(opening.holidays)):
            if edge >= at and is_open(edge, zone, opening, between, on):
                return edge
    raise ValueError(f"the hours {opening} and the window {window} never meet")


def _edges(at: datetime, zone: ZoneInfo, together: Iterable[Hours], days: int, *, midnights: bool) -> list[datetime]:
    """Give the instants at which a stretch of open time can begin: where a range does, or the clock is set into one."""
    today = wall(at, zone).date()
    edges = set(changes(at, at + timedelta(days=days), zone))
    for offset in range(-1, days):
        day = today + timedelta(days=offset)
        starts = {opened.on(day)[0] for each in together if (opened := each.week[day.weekday()]) is not None}
        if midnights:  # a night that began on a holiday goes on after it
            starts.add(datetime.combine(day, time(0)))
        for start in starts:
            edges.update(instants(start, zone) or [first_instant(start, zone)])
    return sorted(edges)


def windows_meet(hours: Hours | Opening, between: ClockRange | None = None, on: frozenset[int] | None = None) -> bool:
    """Whether there is any moment of a week inside both: asked when a rule is checked, not when it is due."""
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    together = (*_opening(hours).hours, _window(between, on))
    # What they have in common begins where one of them does, or goes on the whole week.
    starts = {opened.start for each in together for opened in each.week if opened is not None}
    moments = (monday + timedelta(days=day, minutes=start) for day in range(7) for start in starts)
    return any(all(each.open_at(moment) for each in together) for moment in moments)


def goes_beyond(hours: Hours, bounds: Hours) -> bool:
    """Whether ``hours`` are open at any time of the week, to the minute, at which ``bounds`` are not."""
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    edges = {0}
    for each in (*hours.week, *bounds.week):
        if each is not None:
            edges |= {each.start, each.end % _MIDNIGHT}
    moments = (monday + timedelta(days=day, minutes=minute) for day in range(7) for minute in edges)
    return any(hours.open_at(moment) and not bounds.open_at(moment) for moment in moments)


def open_for(at: datetime, zone: ZoneInfo, hours: Hours | Opening) -> int | None:
    """Give for how many seconds from ``at`` the hours stay open on the clock of ``zone``; None: they never close.

    A provider must not go on trying into the night what was sent in the evening.
    """
    opening = _opening(hours)
    ends = [end for each in opening.hours if (end := _closes(at, zone, each)) is not None]
    if opening.holidays:
        today = wall(at, zone).date()
        shut = (day for offset in range(1, 9) if opening.shut_on(day := today + timedelta(days=offset)))
        ends += [first_instant(datetime.combine(day, time(0)), zone) for day in shut]
    return int((min(ends) - at).total_seconds()) if ends else None


def _closes(at: datetime, zone: ZoneInfo, hours: Hours) -> datetime | None:
    """Give the instant at which the hours, open at ``at``, close; ``at`` where they are shut, None for never."""
    end = at
    for _ in range(8):
        local = wall(end, zone)
        closings = [
            closing
            for offset in (-1, 0)
            if (opened := hours.week[(day := local.date() + timedelta(days=offset)).weekday()]) is not None
            and (opening := opened.on(day)[0]) <= local
            and (closing := opened.on(day)[1]) > local
            and opening < closing
        ]
        if not closings:
            return end
        end = first_instant(max(closings), zone)
    return None


def _window(between: ClockRange | None, on: frozenset[int] | None) -> Hours:
    opened = between or ClockRange(0, _MIDNIGHT)
    return Hours(tuple(opened if on is None or day in on else None for day in range(7)))
