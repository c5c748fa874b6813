"""Country files: every value dated, sourced and honest, and the stricter of two countries wins."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.language.check import check
from engine.language.compliance import Compliance, Since, Texts, load_compliance, with_texts
from engine.language.compliance_schema import COMPLIANCE_SCHEMA
from engine.language.hours import Hours, goes_beyond, is_public_holiday
from engine.language.problems import to_text
from engine.language.sms import segments
from engine.language.smslength import check_length
from engine.language.times import is_open, next_slot, open_for
from engine.language.yamlfile import load

SHIPPED = Path(__file__).parents[2] / "config" / "compliance"
FILES = sorted(SHIPPED.glob("*.yaml"))
ALWAYS = Hours.parse("00:00-24:00")
TODAY = date(2026, 11, 22)
PARIS = ZoneInfo("Europe/Paris")


def law_of(home: str, root: Path = Path("/nowhere")) -> Compliance:
    law, problems = load_compliance(root, home, "Corner Café")
    assert not problems, to_text(problems)
    return law


def at(text: str, zone: str = "Europe/Paris") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_file_is_right_dated_and_begins_with_its_schema(file: Path) -> None:
    document, problems = load(file, file.name)
    assert document is not None
    assert [*problems, *check(document, COMPLIANCE_SCHEMA)] == []
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schema/compliance.json\n")
    assert "not legal advice" in text
    assert date.fromisoformat(document.data["as_of"]) <= TODAY
    assert set(document.data["consent"]) == {"email", "sms"}


def test_the_countries_of_the_issue_are_there() -> None:
    assert {"US", "CA", "GB", "DE", "FR", "AU", "CN", "JP", "KR"} <= set(law_of("US").countries)


def test_a_homes_own_file_replaces_the_shipped_one_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "compliance"
    folder.mkdir(parents=True)
    (folder / "fr.yaml").write_text("country: FR\nas_of: 2026-12-01\n", encoding="utf-8")
    law = law_of("FR", tmp_path)
    assert (law.countries["FR"].as_of, law.countries["FR"].shipped) == (date(2026, 12, 1), False)
    assert law.opening(ALWAYS, "sms", "FR", "marketing") == ALWAYS
    assert law.countries["DE"].shipped


def test_messages_go_out_where_the_home_its_law_and_the_guests_law_are_open() -> None:
    french, monday = law_of("US").opening(ALWAYS, "sms", "FR", "marketing"), at("2026-11-23 07:00")
    assert next_slot(monday, PARIS, french) == at("2026-11-23 08:00")
    assert next_slot(at("2026-11-28 18:00"), PARIS, french) == at("2026-11-30 08:00")  # Saturday evening
    assert open_for(at("2026-11-23 19:00"), PARIS, french) == 3600
    assert law_of("US").opening(ALWAYS, "email", "FR", "marketing") == ALWAYS
    assert law_of("US").opening(ALWAYS, "sms", "FR", "service") == ALWAYS
    at_home = law_of("US").opening(ALWAYS, "sms", None, "marketing")
    assert not is_open(at("2026-11-23 20:30", "America/Chicago"), ZoneInfo("America/Chicago"), at_home)


def test_public_holidays_are_shut_where_the_law_says_so() -> None:
    french = law_of("FR").opening(ALWAYS, "sms", None, "marketing")
    assert is_public_holiday("FR", date(2026, 7, 14))
    assert not is_public_holiday("FR", date(2026, 7, 15))
    assert not is_public_holiday("ZZ", date(2026, 7, 14))
    assert next_slot(at("2026-07-14 09:00"), PARIS, french) == at("2026-07-15 08:00")
    assert open_for(at("2026-07-13 19:30"), PARIS, french) == 1800


def test_a_window_of_one_weekday_survives_holidays_in_a_row() -> None:
    french = law_of("FR").opening(ALWAYS, "sms", None, "marketing")
    # Fridays: 25 December 2026 and 1 January 2027 are holidays.
    assert next_slot(at("2026-12-19 12:00"), PARIS, french, on=frozenset({4})) == at("2027-01-08 08:00")


@pytest.mark.parametrize(
    ("hours", "beyond"),
    [
        ("08:00-20:00", False),
        ("08:00-20:01", True),
        ("07:59-20:00", True),
        ("20:00-08:00", True),
        ({"mon": "10:00-12:00"}, False),
    ],
)
def test_hours_beyond_others_are_found_to_the_minute(hours: str | Mapping[str, str], beyond: bool) -> None:
    assert goes_beyond(Hours.parse(hours), Hours.parse("08:00-20:00")) is beyond


def ends(home: str, guest: str | None, channel: Any = "email") -> Any:
    terms = law_of(home).implied(channel, TODAY, date.toordinal)
    return dict(terms.elsewhere).get(guest or "", terms.home)


def test_implied_consent_is_worth_what_the_stricter_law_says() -> None:
    canada = Since(ordered=date(2024, 11, 23).toordinal(), agreed=date(2026, 5, 23).toordinal())
    year = Since(ordered=date(2025, 11, 23).toordinal(), agreed=None)
    assert ends("GB", None) == ()
    assert ends("GB", "CA") == (canada,)
    assert ends("CA", "GB") == (canada,)
    assert ends("CA", "IE") == (canada, year)
    assert ends("CA", "CN") is None
    assert ends("US", None, "sms") is None
    assert ends("US", "CA", "sms") is None
    assert ends("IT", None) is None  # nothing is known of it
    assert ends("GB", "IT") == ()


def test_required_texts_are_added_once_and_in_the_words_of_the_guests_country() -> None:
    law = law_of("US")
    chinese = law.texts("sms", "CN")
    said = with_texts(chinese, "三个月没见！")
    assert said == "【Corner Café】三个月没见！ 拒收请回复R"
    assert with_texts(chinese, said) == said
    assert segments(said).units == len(said)
    assert with_texts(chinese, "【Corner Café】来吧。回复TD退订") == "【Corner Café】来吧。回复TD退订"
    assert with_texts(law.texts("email", "KR"), "봄") == "(광고) 봄"
    assert with_texts(law.texts("email", "KR"), "(광고) 봄") == "(광고) 봄"
    assert (
        with_texts(law.texts("sms", "GB"), "Corner Café misses you") == "Corner Café misses you Reply STOP to opt out"
    )
    assert with_texts(law.texts("sms", None), "Hello") == "Hello"
    assert law_of("CN").texts("sms", "US") == law_of("CN").texts("sms", None)
    assert law_of("IT").texts("sms", None) == Texts()


def test_without_the_number_for_refusals_a_korean_sms_cannot_be_sent(tmp_path: Path) -> None:
    assert law_of("US").unsendable("sms", "KR")
    assert not law_of("US").unsendable("email", "KR")
    assert law_of("US").apart(Hours.parse("10:00-18:00"), "sms") == ("FR", "KR")
    folder = tmp_path / "config" / "compliance"
    folder.mkdir(parents=True)
    own = (SHIPPED / "kr.yaml").read_text(encoding="utf-8") + "own:\n  refusal_number: 080-123-4567\n"
    (folder / "kr.yaml").write_text(own, encoding="utf-8")
    law = law_of("US", tmp_path)
    assert not law.unsendable("sms", "KR")
    assert with_texts(law.texts("sms", "KR"), "봄") == "(광고) Corner Café 봄 무료수신거부 080-123-4567"


def test_a_file_that_nobody_looked_at_for_long_is_known_to_be_older_than_the_shipped_one(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "compliance"
    folder.mkdir(parents=True)
    for country, day in (("fr", "2020-01-01"), ("de", "2099-01-01"), ("it", "2020-01-01")):
        (folder / f"{country}.yaml").write_text(f"country: {country.upper()}\nas_of: {day}\n", encoding="utf-8")
    newer = {country: law.newer for country, law in law_of("FR", tmp_path).countries.items() if not law.shipped}
    assert newer == {"FR": TODAY, "DE": None, "IT": None}


def test_an_sms_is_measured_with_what_the_law_adds() -> None:
    text, british = "x" * 140, law_of("GB").texts("sms", None)
    assert check_length(text, "sms.txt", Texts()) == []
    assert [problem.code for problem in check_length(text, "sms.txt", british)] == ["sms-length"]
