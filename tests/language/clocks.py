"""Moments at which clocks are set forward or back, in zones that do it differently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)

#: Around the change of the clock, forward and back; by an hour, half an hour and a whole day; at midnight too.
CHANGES = {
    "New York forward": ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    "New York back": ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    "Berlin forward": ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    "Berlin back": ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Lord Howe forward by half an hour": ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    "Lord Howe back by half an hour": ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    "Havana forward at midnight": ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
    "Havana back to midnight": ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    "Azores back over midnight": ("Atlantic/Azores", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    "Apia without 30 December 2011": ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    "Shanghai, never": ("Asia/Shanghai", datetime(2026, 6, 1, tzinfo=UTC)),
}


def minutes_around(name, before=3, after=4):
    """Give the zone, and every minute from some days before its change to some days after."""
    zone_name, change = CHANGES[name]
    start = change - timedelta(days=before)
    return ZoneInfo(zone_name), [start + MINUTE * number for number in range((before + after) * 24 * 60)]
