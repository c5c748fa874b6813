"""Between instants and the clocks on the wall: business days, clock times that a change of time skips or repeats.

The only place that knows about daylight saving, together with ``hours.py`` and ``schedules.py`` which build on it.
Instants are aware UTC datetimes; a *wall* time is a naive datetime on the clock of a zone.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from engine.language.phrases import meant, phrase

_DAY = timedelta(days=1)


@lru_cache(10_000)
def zone_named(text: str) -> ZoneInfo | None:
    """Give the zone of an IANA name, None where there is none: without looking for what was meant, in many rows."""
    if "/" not in text and text not in {"UTC", "GMT"}:  # EST and CET are in the list but know no summer
        return None
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def parse_zone(text: str) -> ZoneInfo:
    """Read the IANA name of a zone, such as ``America/Chicago``. ``ValueError`` names the nearest one."""
    if (zone := zone_named(text)) is not None:
        return zone
    known = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix")))
    wanted = text.strip().replace(" ", "_").casefold()
    cities = {name.rsplit("/", 1)[-1].casefold(): name for name in known}
    whole = {name.casefold(): name for name in known}
    exact = whole.get(wanted) or cities.get(wanted.rsplit("/", 1)[-1])
    close = [exact] if exact else [whole[key] for key in get_close_matches(wanted, whole, n=1, cutoff=0.7)]
    raise ValueError(
        phrase(
            '"{text}" is not a time zone such as America/Chicago or Asia/Shanghai{meant}',
            text=text,
            meant=meant(close[0] if close else None),
        )
    )


def wall(at: datetime, zone: ZoneInfo) -> datetime:
    """Give the naive clock time that hangs on the wall at an instant."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def instants(wall_time: datetime, zone: ZoneInfo) -> list[datetime]:
    """Give the instants at which the clock shows ``wall_time``: one, two where it is repeated, none where skipped."""
    found = {wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(at for at in found if wall(at, zone) == wall_time)


def first_instant(wall_time: datetime, zone: ZoneInfo) -> datetime:
    """Give the first instant at which the clock shows ``wall_time``; where it is skipped, the moment right after."""
    shown, again = (wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if shown == again:  # neither skipped nor repeated, on nearly all days
        return shown
    return _at_a_change(wall_time, zone)


def _at_a_change(wall_time: datetime, zone: ZoneInfo) -> datetime:
    shown = instants(wall_time, zone)
    if shown:
        return shown[0]
    before = wall_time.replace(tzinfo=zone, fold=1).astimezone(UTC)
    after = wall_time.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return _change_between(min(before, after), max(before, after), zone)


def changes(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """Give the instants in (start, end] at which the zone's offset to UTC changes."""
    found = []
    while start < end:
        step = min(start + _DAY / 4, end)
        if start.astimezone(zone).utcoffset() != step.astimezone(zone).utcoffset():
            found.append(_change_between(start, step, zone))
        start = step
    return found


def start_of(day: date, zone: ZoneInfo, day_starts: time = time(0)) -> datetime:
    """Give the instant at which a business day begins: when the clock first shows ``day_starts`` on that date."""
    return first_instant(datetime.combine(day, day_starts), zone)


def business_day(at: datetime, zone: ZoneInfo, day_starts: time = time(0)) -> date:
    """Give the business day of an instant: the last one that has begun.

    Days never go backwards as time goes on, not even where the clock is set back over ``day_starts``.
    """
    local = at.astimezone(zone)
    day = local.date()
    if local.fold == 0:
        return day if local.time() >= day_starts else day - _DAY
    for later in (day + _DAY, day):
        if at >= start_of(later, zone, day_starts):
            return later
    return day - _DAY


def _change_between(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Find the first whole second in (start, end] that has the offset of ``end``."""
    offset = end.astimezone(zone).utcoffset()
    low, high = int(start.timestamp()), int(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)
