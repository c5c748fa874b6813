"""When messages may go out: opening hours of a channel, a rule's window, and the next moment inside all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Final
from zoneinfo import ZoneInfo

from engine.language.durations import clock, parse_clock
from engine.language.phrases import listed, meant, phrase
from engine.language.zones import changes, first_instant, instants, wall

_MIDNIGHT: Final = 24 * 60
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
GROUPS: Final[dict[str, frozenset[int]]] = {"weekdays": frozenset(range(5)), "weekend": frozenset({5, 6})}
CLOSED: Final = "closed"
_HORIZON: Final = 16  # two weeks and the days that a change of time can swallow


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
        return ", ".join(f"{name} {opened}" for name, opened in zip(DAYS, self.week, strict=True) if opened)


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
    hours: Hours,
    between: ClockRange | None = None,
    on: frozenset[int] | None = None,
) -> bool:
    """Whether an instant lies inside the hours, the rule's window and its weekdays, on the guest's clock."""
    local = wall(at, zone)
    return hours.open_at(local) and _window(between, on).open_at(local)


def next_slot(
    at: datetime,
    zone: ZoneInfo,
    hours: Hours,
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
    window = _window(between, on)
    today = wall(at, zone).date()
    horizon = at + timedelta(days=_HORIZON)
    # A stretch of open time begins where a range does, or where the clock is set into one.
    edges = set(changes(at, horizon, zone))
    for offset in range(-1, _HORIZON):
        day = today + timedelta(days=offset)
        for opened in (hours.week[day.weekday()], window.week[day.weekday()]):
            if opened is not None:
                start = opened.on(day)[0]
                edges.update(instants(start, zone) or [first_instant(start, zone)])
    for edge in sorted(edges):
        if edge >= at and is_open(edge, zone, hours, between, on):
            return edge
    raise ValueError(f"the hours {hours} and the window {window} never meet")


def windows_meet(hours: Hours, between: ClockRange | None = None, on: frozenset[int] | None = None) -> bool:
    """Whether there is any moment of a week inside both: asked when a rule is checked, not when it is due."""
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    window = _window(between, on)
    # What both have in common begins where one of them does, or goes on the whole week.
    starts = {opened.start for opened in (*hours.week, *window.week) if opened is not None}
    moments = (monday + timedelta(days=day, minutes=start) for day in range(7) for start in starts)
    return any(hours.open_at(moment) and window.open_at(moment) for moment in moments)


def _window(between: ClockRange | None, on: frozenset[int] | None) -> Hours:
    opened = between or ClockRange(0, _MIDNIGHT)
    return Hours(tuple(opened if on is None or day in on else None for day in range(7)))
