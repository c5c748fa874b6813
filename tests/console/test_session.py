"""Moments as they are typed, and a home that is not that of its database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.console.exits import MistypedError
from engine.console.session import instant
from engine.language.keys import KEY_FILE

from .conftest import Regulars

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


def test_a_key_that_is_not_that_of_the_database_stops_everything(regulars: Regulars, either_home: Path):
    own = (either_home / KEY_FILE).read_text("ascii")
    (either_home / KEY_FILE).write_text(f"{'0' * 64}\n", "ascii")
    for words in (["run"], ["customer", "show", "G1"]):
        result = regulars("--home", either_home, *words)
        assert result.exit_code == 75
        assert "The file regulars.key is not the key of this database: take it from the backup." in result.stderr
    doctor = regulars("--home", either_home, "doctor")
    assert doctor.exit_code == 1
    assert "wrong key: the file regulars.key is not the key of this database: take it from the backup" in doctor.stdout
    (either_home / KEY_FILE).write_text(own, "ascii")
    assert regulars("--home", either_home, "doctor").exit_code == 0
