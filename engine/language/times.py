"""Everything an owner says about time, in one place: durations, hours, schedules and business days."""

from __future__ import annotations

from engine.language.durations import Duration, clock, parse_clock, parse_date, parse_share
from engine.language.hours import (
    DAY_NAMES,
    DAYS,
    ClockRange,
    Hours,
    Opening,
    goes_beyond,
    is_open,
    next_slot,
    open_for,
    parse_weekdays,
    windows_meet,
)
from engine.language.schedules import Schedule
from engine.language.zones import business_day, first_instant, parse_zone, start_of, wall, zone_named

__all__ = [
    "DAYS",
    "DAY_NAMES",
    "ClockRange",
    "Duration",
    "Hours",
    "Opening",
    "Schedule",
    "business_day",
    "clock",
    "first_instant",
    "goes_beyond",
    "is_open",
    "next_slot",
    "open_for",
    "parse_clock",
    "parse_date",
    "parse_share",
    "parse_weekdays",
    "parse_zone",
    "start_of",
    "wall",
    "windows_meet",
    "zone_named",
]
