"""``config/calendar.yaml``: which days it gives, and what is told of one that is wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from engine.language.calendarfile import Calendar, load_calendar
from engine.language.festivals import FESTIVALS


def read(root: Path, text: str) -> tuple[Calendar, list[str]]:
    (root / "config").mkdir(exist_ok=True)
    (root / "config/calendar.yaml").write_text(text, encoding="utf-8")
    calendar, problems = load_calendar(root)
    return calendar, [problem.code for problem in problems]


def test_a_home_without_the_file_has_our_festivals(tmp_path: Path) -> None:
    calendar, problems = load_calendar(tmp_path)
    assert problems == []
    assert set(calendar.names) == set(FESTIVALS)


def test_a_file_of_comments_says_nothing_yet(tmp_path: Path) -> None:
    assert read(tmp_path, "# market-day:\n#   dates: 05-04\n") == (Calendar(), [])


def test_one_day_a_list_and_each_year(tmp_path: Path) -> None:
    calendar, codes = read(
        tmp_path, "a:\n  dates: 2026-05-04\nb:\n  dates: [2026-05-04, 2027-05-06]\nc:\n  dates: 02-29\n"
    )
    assert codes == []
    assert [calendar.days("a", "US", year) for year in (2026, 2027)] == [(date(2026, 5, 4),), ()]
    assert calendar.days("b", "CN", 2027) == (date(2027, 5, 6),)
    assert [calendar.days("c", "US", year) for year in (2027, 2028)] == [(date(2027, 2, 28),), (date(2028, 2, 29),)]


def test_for_years_and_countries_that_are_not_named_ours_hold(tmp_path: Path) -> None:
    calendar, _ = read(tmp_path, "easter:\n  dates: 2026-04-12\n  countries: [US]\n")
    assert calendar.days("easter", "US", 2026) == (date(2026, 4, 12),)
    assert calendar.days("easter", "US", 2027) == (date(2027, 3, 28),)
    assert calendar.days("easter", "GB", 2026) == (date(2026, 4, 5),)
    assert calendar.countries("easter") == ("US",)


def test_two_days_a_year_may_only_be_those_of_the_moon(tmp_path: Path) -> None:
    assert read(tmp_path, "eid-al-fitr:\n  dates: [2033-01-03, 2033-12-23]\n")[1] == []
    calendar, codes = read(tmp_path, "market:\n  dates: [2026-05-04, 2026-06-06]\nother:\n  dates: 05-04\n")
    assert codes == ["once-a-year"]
    assert "market" not in calendar.names
    assert "other" in calendar.names


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("chinese-new-year", "lunar-new-year"),
        ("Chinese New Year", "lunar-new-year"),
        ("春节", "lunar-new-year"),
        ("mothersday", "mothers-day"),
        ("Deepavali", "diwali"),
        ("midautumn", "mid-autumn"),
        ("xmas", "christmas"),
        ("company-outing", None),
    ],
)
def test_the_nearest_festival(text: str, near: str | None) -> None:
    assert Calendar().nearest(text) == near
