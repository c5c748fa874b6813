"""Dates as tills print them: which of two numbers is the day is decided from the whole file, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final, Literal

DateOrder = Literal["day-first", "month-first"]

#: 2026-05-03, 2026/5/3, 3.5.2026, 05/03/26, and a time of day after any of them.
_NUMERIC = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:,?[ T]+(.+))?")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,]\d+)?)?\s*(?:([AaPp])\.?\s?[Mm]\.?)?")
_ZONE = re.compile(r"(?<=\d)\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})$")
#: Days since 1899-12-31, as a spreadsheet counts them: 1954 to 2091, with the hour behind the point.
_SERIAL = re.compile(r"[2-6]\d{4}(?:[.,]\d+)?")
_MONTHS: Final = 12
_CENTURY: Final = 100


class UndecidedDateError(ValueError):
    """Nothing in the file says which number is the day."""


def begins_with_year(text: str) -> bool:
    """Tell whether a date is written as in 2026-05-03; 25-3-2026 has its second dash in the same place."""
    return text[4:5] == "-" and text[:4].isdigit()


def order_of(texts: Iterable[str]) -> DateOrder | None:
    """Tell from all dates of a file whether days or months come first; None where no date needs to know.

    Reading stops at the first date that decides; one that contradicts it is refused when its row is read.

    Raises:
        UndecidedDateError: a date needs to know and none decides; its text is that date.
    """
    asking = ""
    for text in texts:
        found = None if begins_with_year(text) else _NUMERIC.match(text.strip().lstrip("'"))
        if not found or len(found[1]) > 2:  # noqa: PLR2004 (a year comes first: no question)
            continue
        if found[2] == ".":  # a German date is never month first
            return "day-first"
        first, second = int(found[1]), int(found[3])
        if first > _MONTHS >= second:
            return "day-first"
        if second > _MONTHS >= first:
            return "month-first"
        if first != second:
            asking = asking or text
    if asking:
        raise UndecidedDateError(asking)
    return None


def parse_day(text: str, order: DateOrder | None) -> date:
    """Read a date; a time of day after it is left out. Errors: as ``parse_moment``."""
    return parse_moment(text, order).date()


def parse_moment(text: str, order: DateOrder | None) -> datetime:
    """Read a date with or without a time: aware where the text names an offset, else naive on a clock not known here.

    Raises:
        UndecidedDateError: a date such as 03/04/2026 and no ``order``.
        ValueError: no date, or one that does not exist.
    """
    text = text.strip().lstrip("'")
    if begins_with_year(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # 2026-5-3, or with AM and PM
    zone = _ZONE.search(text)
    if zone and ":" in text[: zone.start()]:
        local = parse_moment(text[: zone.start()], order)
        offset = zone[1] if zone[1][0] in "+-" else "+00:00"
        return datetime.fromisoformat(f"{local.isoformat()}{offset}")
    found = _NUMERIC.fullmatch(text)
    if not found:
        if _SERIAL.fullmatch(text):
            raise ValueError(
                f'"{text}" is a spreadsheet\'s number of a day: format the column as a date and export again'
            )
        raise ValueError(f'"{text}" is not a date such as 2026-05-03')
    year, month, day = _places(text, found, order)
    if year < _CENTURY:
        year += 2000
    try:
        on = datetime(year, month, day)  # noqa: DTZ001 (the caller knows whose clock it is)
    except ValueError:
        raise ValueError(f'"{text}" is a day that does not exist') from None
    return on + _time_of(found[5], text) if found[5] else on


def _places(text: str, found: re.Match[str], order: DateOrder | None) -> tuple[int, int, int]:
    first, second, last = int(found[1]), int(found[3]), int(found[4])
    if len(found[1]) > 2:  # noqa: PLR2004 (a year comes first)
        return first, second, last
    if found[2] == ".":
        order = "day-first"
    if order is None:
        if first == second and first <= _MONTHS:
            return last, first, second
        raise UndecidedDateError(f'"{text}" may be two dates: nothing in the file says which number is the day')
    return (last, second, first) if order == "day-first" else (last, first, second)


def _time_of(text: str, whole: str) -> timedelta:
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        raise ValueError(f'"{whole}" is not a time such as 2026-05-03 13:45')
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    half = (found[4] or "").lower()
    noon = 12
    if (half and not 1 <= hour <= noon) or hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 (a clock)
        raise ValueError(f'"{whole}" has a time of day that does not exist')
    if half:
        hour = hour % noon + (noon if half == "p" else 0)
    return timedelta(hours=hour, minutes=minute, seconds=second)
