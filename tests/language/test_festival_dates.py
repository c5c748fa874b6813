"""Festivals on the days that were published for them, 2024 to 2035, in each country."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from datetime import date, timedelta

import holidays
import pytest

from engine.language.festivals import ALSO, ELSEWHERE, FESTIVALS

YEARS = range(2024, 2036)
MAIN = ("US", "CA", "GB", "DE", "FR", "AU", "CN", "JP", "KR", "HK", "TW", "SG", "IN")

#: One day a year from 2024 on, as published (Hong Kong Observatory, almanacs, governments).
PUBLISHED = {
    ("lunar-new-year", "CN"): "02-10 01-29 02-17 02-06 01-26 02-13 02-03 01-23 02-11 01-31 02-19 02-08",
    ("lunar-new-year-eve", "HK"): "02-09 01-28 02-16 02-05 01-25 02-12 02-02 01-22 02-10 01-30 02-18 02-07",
    ("lunar-new-year", "KR"): "02-10 01-29 02-17 02-07 01-27 02-13 02-03 01-23 02-11 01-31 02-19 02-08",
    ("seollal", "US"): "02-10 01-29 02-17 02-07 01-27 02-13 02-03 01-23 02-11 01-31 02-19 02-08",
    ("lantern-festival", "TW"): "02-24 02-12 03-03 02-20 02-09 02-27 02-17 02-06 02-25 02-14 03-05 02-22",
    ("qingming", "CN"): "04-04 04-04 04-05 04-05 04-04 04-04 04-05 04-05 04-04 04-04 04-05 04-05",
    ("dragon-boat", "CN"): "06-10 05-31 06-19 06-09 05-28 06-16 06-05 06-24 06-12 06-01 06-20 06-10",
    ("qixi", "CN"): "08-10 08-29 08-19 08-08 08-26 08-16 08-05 08-24 08-12 08-01 08-20 08-10",
    ("mid-autumn", "US"): "09-17 10-06 09-25 09-15 10-03 09-22 09-12 10-01 09-19 09-08 09-27 09-16",
    ("chuseok", "KR"): "09-17 10-06 09-25 09-15 10-03 09-22 09-12 10-01 09-19 09-08 09-27 09-16",
    ("double-ninth", "HK"): "10-11 10-29 10-18 10-08 10-26 10-16 10-05 10-24 10-12 10-01 10-20 10-09",
    ("dongzhi", "CN"): "12-21 12-21 12-22 12-22 12-21 12-21 12-22 12-22 12-21 12-21 12-22 12-22",
    ("easter", "DE"): "03-31 04-20 04-05 03-28 04-16 04-01 04-21 04-13 03-28 04-17 04-09 03-25",
    ("good-friday", "GB"): "03-29 04-18 04-03 03-26 04-14 03-30 04-19 04-11 03-26 04-15 04-07 03-23",
    ("mothers-day", "US"): "05-12 05-11 05-10 05-09 05-14 05-13 05-12 05-11 05-09 05-08 05-14 05-13",
    ("mothers-day", "GB"): "03-10 03-30 03-15 03-07 03-26 03-11 03-31 03-23 03-07 03-27 03-19 03-04",
    ("mothers-day", "FR"): "05-26 05-25 05-31 05-30 05-28 05-27 05-26 05-25 05-30 05-29 06-04 05-27",
    ("fathers-day", "US"): "06-16 06-15 06-21 06-20 06-18 06-17 06-16 06-15 06-20 06-19 06-18 06-17",
    ("fathers-day", "DE"): "05-09 05-29 05-14 05-06 05-25 05-10 05-30 05-22 05-06 05-26 05-18 05-03",
    ("fathers-day", "AU"): "09-01 09-07 09-06 09-05 09-03 09-02 09-01 09-07 09-05 09-04 09-03 09-02",
    ("thanksgiving", "US"): "11-28 11-27 11-26 11-25 11-23 11-22 11-28 11-27 11-25 11-24 11-23 11-22",
    ("thanksgiving", "CA"): "10-14 10-13 10-12 10-11 10-09 10-08 10-14 10-13 10-11 10-10 10-09 10-08",
    ("black-friday", "GB"): "11-29 11-28 11-27 11-26 11-24 11-23 11-29 11-28 11-26 11-25 11-24 11-23",
    ("diwali", "IN"): "10-31 10-20 11-08 10-29 10-17 11-05 10-26 11-14 11-02 10-22 11-10 10-30",
    ("carnival", "DE"): "02-12 03-03 02-16 02-08 02-28 02-12 03-04 02-24 02-09 02-28 02-20 02-05",
}  # fmt: skip


def days(name: str, country: str, year: int) -> list[str]:
    rule = FESTIVALS[name].rule(country)
    assert rule is not None
    return [f"{day:%m-%d}" for day in rule(year) if day.year == year]


@pytest.mark.parametrize(("name", "country"), PUBLISHED)
def test_festivals_are_on_their_published_days(name: str, country: str) -> None:
    assert [days(name, country, year) for year in YEARS] == [[day] for day in PUBLISHED[name, country].split()]


def of_library(country: str, year: int) -> dict[str, list[date]]:
    """What the library, another source than lunar-python and our rules, knows of a year."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds = holidays.country_holidays(country).supported_categories
        found = holidays.country_holidays(country, years=year, observed=False, categories=kinds, language="en_US")
    names: dict[str, list[date]] = {}
    for day, text in sorted(found.items()):
        for name in text.split(";"):
            names.setdefault(name.strip().removesuffix(" (estimated)"), []).append(day)
    return names


@pytest.mark.parametrize(
    ("country", "ours", "theirs"),
    [
        ("CN", "lunar-new-year", "Chinese New Year (Spring Festival)"),
        ("CN", "dragon-boat", "Dragon Boat Festival"),
        ("CN", "mid-autumn", "Mid-Autumn Festival"),
        ("CN", "national-day", "National Day"),
        ("CN", "childrens-day", "Children's Day"),
        ("HK", "double-ninth", "Double Ninth Festival"),
        ("TW", "qingming", "Tomb-Sweeping Day"),
        ("TW", "mid-autumn", "Mid-Autumn Festival"),
        ("TW", "lunar-new-year", "Chinese New Year"),
        ("SG", "lunar-new-year", "Chinese New Year"),
        ("SG", "national-day", "National Day"),
        ("SG", "labour-day", "Labor Day"),
        ("US", "mothers-day", "Mother's Day"),
        ("US", "fathers-day", "Father's Day"),
        ("US", "thanksgiving", "Thanksgiving Day"),
        ("US", "labour-day", "Labor Day"),
        ("US", "memorial-day", "Memorial Day"),
        ("US", "easter", "Easter Sunday"),
        ("US", "halloween", "Halloween"),
        ("CA", "thanksgiving", "Thanksgiving Day"),
        ("CA", "national-day", "Canada Day"),
        ("GB", "good-friday", "Good Friday"),
        ("GB", "labour-day", "May Day"),
        ("DE", "fathers-day", "Ascension Day"),
        ("DE", "national-day", "German Unity Day"),
        ("FR", "national-day", "National Day"),
        ("FR", "easter-monday", "Easter Monday"),
        ("AU", "national-day", "Australia Day"),
        ("AU", "anzac-day", "ANZAC Day"),
        ("JP", "childrens-day", "Children's Day"),
        ("KR", "childrens-day", "Children's Day"),
        ("KR", "independence-day", "Liberation Day"),
        ("IN", "republic-day", "Republic Day"),
        ("IN", "independence-day", "Independence Day"),
    ],
)
def test_two_sources_agree(country: str, ours: str, theirs: str) -> None:
    rule = FESTIVALS[ours].rule(country)
    assert rule is not None
    for year in YEARS:
        assert rule(year) == (of_library(country, year)[theirs][0],), year


def test_every_festival_has_days_in_every_year_where_it_is_known() -> None:
    for name, festival in FESTIVALS.items():
        for country, rule in festival.rules.items():
            found = [day for year in YEARS for day in rule(year)]
            assert all(day.year in YEARS for day in found)
            gaps = {(after - before).days for before, after in itertools.pairwise(found)}
            assert len(found) >= 11, (
                name,
                country,
            )  # those of the moon may leave a year out, and come twice in another
            assert gaps <= set(range(320, 412)), (name, country, gaps)


def test_festivals_of_the_moon_may_come_twice_in_a_year() -> None:
    assert days("eid-al-fitr", "SG", 2033) == ["01-03", "12-23"]
    assert days("hanukkah", "US", 2027) == ["12-25"]
    assert days("hanukkah", "US", 2028) == ["12-13"]


def test_after_the_years_that_are_published_there_are_no_days() -> None:
    assert days("diwali", "IN", 2036) == []
    assert days("lunar-new-year", "CN", 2040) == ["02-12"]


def test_the_home_of_most_cafes_knows_what_they_celebrate() -> None:
    for country in MAIN:
        for name in ("new-year", "valentines-day", "mothers-day", "fathers-day", "lunar-new-year", "mid-autumn",
                     "halloween", "christmas", "easter", "black-friday"):  # fmt: skip
            assert FESTIVALS[name].rule(country) is not None, (name, country)
    assert FESTIVALS["thanksgiving"].rule("GB") is None


def test_other_names_lead_to_ours() -> None:
    assert set(ALSO.values()) <= FESTIVALS.keys()
    assert not ALSO.keys() & FESTIVALS.keys()


def test_the_library_is_imported_only_where_it_is_asked() -> None:
    code = (
        "import sys; from engine.language.festivals import FESTIVALS; FESTIVALS['easter'].rule('US')(2026); "
        "print('holidays' in sys.modules, 'lunar_python' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_days_off_that_are_moved_are_none_of_ours() -> None:
    fourth = FESTIVALS["independence-day"].rule("US")
    assert fourth is not None
    assert fourth(2026) == (date(2026, 7, 4),)  # a Saturday: the day off was the Friday
    assert date(2026, 7, 4).weekday() == 5
    assert date(2026, 7, 4) - timedelta(days=1) not in fourth(2026)


def test_elsewhere_is_no_country() -> None:
    assert ELSEWHERE not in MAIN
