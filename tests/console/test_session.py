"""Moments as they are typed."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.console.exits import MistypedError
from engine.console.session import instant

CHICAGO = ZoneInfo("America/Chicago")


def test_a_moment_is_on_the_homes_clock_unless_it_names_an_offset():
    assert instant("2026-05-04T10:00", CHICAGO) == datetime(2026, 5, 4, 15, tzinfo=UTC)
    assert instant("2026-05-04T10:00+02:00", CHICAGO) == datetime(2026, 5, 4, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soon", "is no date and time such as"),
        ("2026-05-04", "needs a time of day too"),
        ("9999-12-31T23:59", "lies outside 1990 to 2200"),
        ("0001-01-01T00:01", "lies outside 1990 to 2200"),
    ],
)
def test_what_is_no_moment_of_a_cafe_is_told(text: str, said: str):
    with pytest.raises(MistypedError, match=f'--as-of "{text}" {said}'):
        instant(text, CHICAGO)
