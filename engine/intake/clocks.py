"""Moments by the column: what ``values`` says of one, said of many. Near a change of the clock each is looked at alone.

A date is read once, and the clock's offset on it is looked up once; the rest is sums.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import repeat
from typing import Any, Final
from zoneinfo import ZoneInfo

from connectors.dates import begins_with_year, parse_moment
from connectors.records import RowError
from engine.intake import values
from engine.intake.columns import ODD, Known
from engine.intake.desk import Desk

_DAY: Final = 86_400
_HOUR: Final = 3_600
_NOON: Final = 12
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 9998
#: A date and a time of day of which each means the same whatever stands beside it.
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}([./-])\d{1,2}\1(?:\d\d|\d{4})", re.ASCII)
_TIME: Final = re.compile(r",?(?:[ T](\d\d)| (\d)):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?(?: ?([AP])M)?", re.ASCII)
#: How a moment ends that needs no zone, and the blank that some tills write before it.
_OFFSET: Final = re.compile(r":\d\d(?:\.\d+)?(?:Z| ?[+-]\d\d:?\d\d)\Z", re.ASCII)
_BLANK: Final = re.compile(r"(?<=:\d\d) (?=[+-]\d\d:?\d\d\Z)", re.ASCII)
_ISO: Final = 10


class Clocks:
    """The clocks of the zones that a file speaks of."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        starts = desk.config.day_starts
        self._starts = starts.hour * _HOUR + starts.minute * 60 + starts.second
        self._times = Known(_seconds)
        self._midnights: dict[int, Known] = {}
        self._offsets: dict[int, _Offsets] = {}

    def instants(self, texts: Sequence[str], zones: Sequence[int], odd: set[int]) -> list[int]:
        """Read moments on the clocks of these zones, as ``values.instant`` does: epoch seconds.

        ``zones``: the id of each one's, or a single one of all. Adds the places of those that want a closer look; what
        is odd already is not looked at: it may be refused before anybody asks which part of a date is the month.
        """
        if odd:
            plain = next((text for place, text in enumerate(texts) if place not in odd), "")
            texts = [plain if place in odd else text for place, text in enumerate(texts)]
        if texts and _OFFSET.search(texts[0]):
            return _by_offset(texts, odd)
        heads, tails = _cut(texts)
        clock = self._times.of(tails, odd)
        if len(zones) == 1:
            midnights = self._midnight(zones[0]).of(heads, odd)
        else:
            known = {zone: self._midnight(zone) for zone in set(zones)}
            midnights = [known[zone][head] for head, zone in zip(heads, zones, strict=True)]
            if any(each.any_odd for each in known.values()):
                odd.update(place for place, value in enumerate(midnights) if value is ODD)
        if odd:
            return [0 if place in odd else midnights[place] + clock[place] for place in range(len(texts))]
        return list(map(int.__add__, midnights, clock))

    def days_and_clocks(
        self, seconds: Sequence[int], zones: Sequence[int], shops: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """Give the business day of each instant in ``zones``, and the weekday and minute in ``shops``.

        As ``values.day_of`` and ``values.week_clock`` do. ``zones`` and ``shops`` as for ``instants``.
        """
        local = self._local(seconds, zones)
        return self._days(local, seconds, zones), self._week_clocks(
            local if shops == zones else self._local(seconds, shops), seconds, shops
        )

    def _days(self, local: Sequence[int] | None, seconds: Sequence[int], zones: Sequence[int]) -> list[int]:
        starts = self._starts

        def told(at: int) -> int:
            return _EPOCH + (at - starts) // _DAY

        if local is not None:
            return list(map(told, local))
        look = partial(values.day_of, day_starts=self._desk.config.day_starts)
        return self._one_by_one(seconds, zones, told, look)

    def _week_clocks(self, local: Sequence[int] | None, seconds: Sequence[int], zones: Sequence[int]) -> list[int]:
        starts = self._starts

        def told(at: int) -> int:
            return (_EPOCH + (at - starts) // _DAY - 1) % 7 * 1440 + at % _DAY // 60

        if local is not None:
            return list(map(told, local))
        look = partial(values.week_clock, day_starts=self._desk.config.day_starts)
        return self._one_by_one(seconds, zones, told, look)

    def _local(self, seconds: Sequence[int], zones: Sequence[int]) -> list[int] | None:
        """What the clocks on the wall show, as seconds; None where one of them is changed about then."""
        try:
            if len(zones) == 1:
                offsets = self._offset(zones[0])
                return [at + offsets[at // _DAY] for at in seconds]
            by_zone = {zone: self._offset(zone) for zone in set(zones)}
            return [at + by_zone[zone][at // _DAY] for at, zone in zip(seconds, zones, strict=True)]
        except _NearChange:
            return None

    def _one_by_one(self, seconds: Sequence[int], zones: Sequence[int], told: Any, look: Any) -> list[int]:
        found = []
        for at, zone in zip(seconds, repeat(zones[0]) if len(zones) == 1 else zones, strict=False):
            try:
                found.append(told(at + self._offset(zone)[at // _DAY]))
            except _NearChange:
                found.append(look(at, self._desk.zone(zone)))
        return found

    def _midnight(self, zone_id: int) -> Known:
        if zone_id not in self._midnights:
            self._midnights[zone_id] = Known(partial(self._first_second, self._desk.zone(zone_id)))
        return self._midnights[zone_id]

    def _first_second(self, zone: ZoneInfo, text: str) -> Any:
        """When the day begins on the wall, where its clock is not changed."""
        if not _DATE.fullmatch(text):
            return ODD
        order = self._desk.order(text)
        try:
            midnight = parse_moment(text, order)
        except ValueError as error:
            raise RowError(str(error)) from None
        if not _FIRST_YEAR <= midnight.year <= _LAST_YEAR:
            return ODD
        offset = _steady(midnight, zone, hours=24)
        return ODD if offset is None else int(midnight.replace(tzinfo=UTC).timestamp()) - offset

    def _offset(self, zone_id: int) -> _Offsets:
        if zone_id not in self._offsets:
            self._offsets[zone_id] = _Offsets(self._desk.zone(zone_id))
        return self._offsets[zone_id]


class _NearChange(Exception):  # noqa: N818 (a reason to look closer)
    """The clock is changed about then."""


class _Offsets(dict[int, int]):
    """By how many seconds a clock is ahead of UTC, by the day since 1970 in UTC; days near a change raise."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__()
        self._zone = zone
        self._near: set[int] = set()

    def __missing__(self, day: int) -> int:
        if day in self._near:
            raise _NearChange
        noon = datetime.fromtimestamp(day * _DAY + _DAY // 2, UTC).astimezone(self._zone).replace(tzinfo=None)
        offset = _steady(noon - timedelta(hours=36), self._zone, hours=72)
        if offset is None:
            self._near.add(day)
            raise _NearChange
        self[day] = offset
        return offset


def _steady(wall: datetime, zone: ZoneInfo, hours: int) -> int | None:
    """Give the offset of a clock in seconds, None where it changes within so many hours from ``wall`` on."""
    found = {
        at.replace(tzinfo=zone, fold=fold).utcoffset()
        for at in (wall, wall + timedelta(hours=hours))  # since 1989 no clock was changed twice within six days
        for fold in (0, 1)
    }
    offset = found.pop()
    return None if found or offset is None else int(offset.total_seconds())


def _seconds(text: str) -> Any:
    """Read the time of day behind a date: seconds."""
    if not text:
        return 0
    found = _TIME.fullmatch(text)
    if found is None:
        return ODD
    hour, minute, second = int(found[1] or found[2]), int(found[3]), int(found[4] or 0)
    if found[5]:
        if not 1 <= hour <= _NOON:
            return ODD
        hour = hour % _NOON + (_NOON if found[5] == "P" else 0)
    is_shown = hour * _HOUR < _DAY and max(minute, second) * 60 < _HOUR
    return hour * _HOUR + minute * 60 + second if is_shown else ODD


def _by_offset(texts: Sequence[str], odd: set[int]) -> list[int]:
    """Read moments each of which names its offset; as ``Clocks.instants``."""
    if " " in texts[0][_ISO + 1 :]:
        texts = [_BLANK.sub("", text) for text in texts]
    found = list(map(_named, texts))
    odd.update(place for place, at in enumerate(found) if at is ODD)
    return [0 if place in odd else at for place, at in enumerate(found)] if odd else found


def _named(text: str) -> Any:
    """Read one of them as ``parse_moment`` reads those that begin with their year."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ODD
    is_whole = moment.tzinfo is not None and text[4] == "-" and _FIRST_YEAR <= moment.year <= _LAST_YEAR
    return int(moment.timestamp()) if is_whole else ODD


def _cut(texts: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Part dates from the times of day, which keep their blank or comma. A file writes all its dates in one way."""
    if not texts or begins_with_year(texts[0]):
        return [text[:_ISO] for text in texts], [text[_ISO:] for text in texts]
    mark = "," if ", " in texts[0] else " "
    parted = [text.partition(mark) for text in texts]
    return [head for head, _, _ in parted], [mark + tail for _, mark, tail in parted]
