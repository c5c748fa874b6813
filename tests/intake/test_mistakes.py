"""What an owner's file may have wrong: each mistake with its line and reason, and the good rows go in."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from babel import Locale

from engine.database.tables import customers, order_items, orders, points
from engine.language import locales, zones
from tests.intake.conftest import Home, csv

ROUNDED = "a spreadsheet rounded it: format the column as text and export again"

MISTAKES = [
    ("customer_id,name", ",Ann", "customer_id is empty"),
    ("customer_id,name", "1.31256E+10,Ann", f'customer_id "1.31256E+10": {ROUNDED}'),
    ("customer_id,name", "7.0,Ann", f'customer_id "7.0": {ROUNDED}'),
    ("customer_id,name", "1", "the row has 1 cell, the first line 2"),
    ("customer_id,name", "1,Ann,more", "the row has 3 cells, the first line 2"),
    ("customer_id,name,city", '1,"Ann\n2,Bob,Rome', "the row has 2 cells, the first line 3; it runs over 3 lines: is a quotation mark"),
    ("customer_id,name", f"{'x' * 201},Ann", "customer_id has 201 characters; 200 are the most"),
    ("customer_id,referred_by", f"1,{'x' * 201}", "referred_by has 201 characters; 200 are the most"),
    ("customer_id,phone", "1,1.31256E+10", f'phone "1.31256E+10": {ROUNDED}'),
    ("customer_id,phone", "1,123", "phone is too short or too long for a number of its country"),
    ("customer_id,phone", "1,555-0100", "phone lacks the area code"),
    ("customer_id,phone", "1,call me", "phone is not a phone number"),
    ("customer_id,email", "1,ann at example", "email is not an email address: correct it, or leave it empty"),
    ("customer_id,email", "1,none@till.invalid", "email is not an email address: correct it, or leave it empty"),
    ("customer_id,email_consent", "1,maybe", 'email_consent "maybe" is neither yes nor no; leave it empty where it is not known'),
    ("customer_id,email_consent", "1,1", 'email_consent "1" is neither yes nor no; leave it empty where it is not known'),
    ("customer_id,consent_at", "1,soon", 'consent_at "soon" is not a date such as 2026-05-03'),
    ("customer_id,consent_at", "1,2027-01-01", "consent_at lies in the future"),
    ("customer_id,birthday", "1,1990-02-30", 'birthday "1990-02-30" is a day that does not exist'),
    ("customer_id,birthday", "1,2027-02-03", 'birthday "2027-02-03" lies in the future'),
    ("customer_id,birthday", "1,May", 'birthday "May" is not a date such as 2026-05-03'),
    ("customer_id,birthday,birthday_calendar", "1,05-14,moon", 'birthday_calendar "moon" is neither solar nor lunar'),
    ("customer_id,joined_at", "1,1970-01-01", 'joined_at "1970-01-01" is what a till writes where it knows no date'),
    ("customer_id,seats", "1,many", 'seats "many" is not a number'),
    ("customer_id,vegan", "1,mostly", 'vegan "mostly" is neither yes nor no; leave it empty where it is not known'),
    ("store_id,name", "S1,", "name is empty"),
    ("store_id,name,country", "S1,Mill,Atlantis", 'country "ATLANTIS" is not a country code of two letters such as US, GB or CN'),
    ("store_id,name,opens", "S1,Mill,25:00", 'opens: "25:00" is not a time of day'),
    ("store_id,name,opens", "S1,Mill,7am", 'opens: "7am" is not a time of day'),
    ("order_id,ordered_at,total", ",2026-03-01 09:00,5", "order_id is empty"),
    ("order_id,ordered_at,total", "1,,5", "ordered_at is empty"),
    ("order_id,ordered_at,total", "1,2026-02-30 09:00,5", 'ordered_at "2026-02-30 09:00" is a day that does not exist'),
    ("order_id,ordered_at,total", "1,9999-12-31 23:59,5", 'ordered_at "9999-12-31 23:59" is what a till writes where it means never'),
    ("order_id,ordered_at,total,store_id", f"1,2026-03-01 09:00,5,{'x' * 201}", "store_id has 201 characters; 200 are the most"),
    ("order_id,ordered_at,total", "1,2026-03-01 09:00,", "total is empty"),
    ("order_id,ordered_at,total", "1,2026-03-01 09:00,five", 'total "five" is not an amount such as 12.50'),
    ("order_id,ordered_at,total", "1,2026-03-01 09:00,5.1234", 'total "5.1234" has more decimals than the currency'),
    ("order_id,ordered_at,total", "1,2026-03-01 09:00,-5",
     'total "-5" is negative; money given back is a row with "refund" under "kind"'),
    ("order_id,ordered_at,total", "1,2026-03-01 09:00,€5", 'total "€5" is not in USD, the currency of this home'),
    ("order_id,ordered_at,total,currency", "1,2026-03-01 09:00,5,EUR", "currency is EUR; this home has USD only"),
    ("order_id,ordered_at,total,kind", "1,2026-03-01 09:00,5,gift", 'kind "gift" is none of sale, refund and void'),
    ("order_id,ordered_at,total,customer_id", "1,2026-03-01 09:00,5,1E+5", f'customer_id "1E+5": {ROUNDED}'),
    ("order_id,product", "9,Tea", 'order "9" is not known; import the orders first'),
    ("rating_id,rated_at,score", "1,2026-03-01,good", 'score "good" is not a number'),
    ("entry_id,customer_id,at,points", "1,,2026-03-01,5", "customer_id is empty"),
    ("entry_id,customer_id,at,points", "1,C1,2026-03-01,0", "points is 0"),
    ("entry_id,customer_id,at,points", "1,C1,2026-03-01,1.5", 'points "1.5" is not a whole number'),
    ("entry_id,customer_id,at,points,expires_at", "1,C1,2026-03-01,5,never", 'expires_at "never" is not a date such as 2026-05-03'),
    ("entry_id,customer_id,at,points,expires_at", "1,C1,2026-03-01,5,9999-12-31",
     'expires_at "9999-12-31" is what a till writes where it means never: leave it empty'),
    ("event_id,name,at", "1,,2026-03-01", "name is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "row", "reason"), MISTAKES, ids=[reason[:40] for *_, reason in MISTAKES])
def test_a_mistake_is_refused_with_its_line_and_reason(home: Home, header: str, row: str, reason: str):
    report = home.take(csv(header, row))
    assert report.problem == ""
    assert (report.rows, report.new, report.refused) == (1, 0, 1)
    ((line, said),) = report.refusals
    assert line == 2
    assert said.startswith(reason)


def test_good_rows_go_in_beside_the_bad(home: Home):
    report = home.take(
        csv(
            "order_id,ordered_at,total",
            "1,2026-03-01 09:00,5",
            "2,never,5",
            "3,2026-03-01 10:00,7",
            "4,2026-03-01 10:00,x",
        )
    )
    assert (report.rows, report.new, report.refused) == (4, 2, 2)
    assert [line for line, _ in report.refusals] == [3, 5]
    assert home.rows(orders, "external_id") == ["1", "3"]


def test_an_id_that_lost_its_zeros_is_recognised(home: Home):
    home.take(csv("customer_id,name", "00123,Ann", "123456,Bo"))
    report = home.take(csv("customer_id,name", "123,Ann", "456,New", "123456,Bo"))
    said = 'customer_id "123" is known as "00123": a spreadsheet dropped the zeros; export it as text'
    assert report.refusals == [(2, said)]
    report = home.take(
        csv("order_id,customer_id,ordered_at,total", "1,123,2026-03-01 10:00,5", "2,456,2026-03-01 10:00,5")
    )
    assert report.refusals == [(2, said)]
    report = home.take(csv("entry_id,customer_id,at,points", "1,123,2026-03-01 10:00,5"))
    assert report.refusals == [(2, said)]
    assert home.rows(customers, "external_id") == ["00123", "123456", "456"]


def test_a_date_that_tills_write_for_unknown_is_left_out_with_a_warning(home: Home):
    report = home.take(
        csv("customer_id,birthday", "1,1970-01-01", "2,1900-01-01", "3,0000-01-01", "4,1990-01-01", "5,0001-01-01")
    )
    assert sum(report.warnings.values()) == 3
    assert home.rows(customers, "birthday_year", "birthday_md") == [
        (None, None), (None, None), (None, 101), (1990, 101), (None, None),
    ]  # fmt: skip


def test_a_lunar_birthday_may_be_a_day_that_the_solar_calendar_lacks(home: Home):
    report = home.take(csv("customer_id,birthday,birthday_calendar", "1,02-30,lunar", "2,02-30,solar"))
    assert [line for line, _ in report.refusals] == [3]
    assert home.rows(customers, "birthday_md", "birthday_calendar") == [(230, "lunar")]


def test_a_zone_that_does_not_exist_falls_back_to_the_store_and_a_language_to_the_home(home: Home):
    home.take(csv("store_id,name,timezone", "S1,Tokyo,Asia/Tokyo"))
    report = home.take(
        csv("customer_id,store_id,timezone,language", "1,S1,Mars/Base,Klingonese", "2,,Moon,", "3,,EST,zh_hans")
    )
    assert report.refused == 0
    assert report.warnings == {
        "timezone is not the name of one such as America/Chicago; the store's is used": 3,
        "language is not one such as en or zh-Hans; the home's is used": 1,
    }
    zones = home.zone_names()
    assert zones == {"1": "Asia/Tokyo", "2": "America/Chicago", "3": "America/Chicago"}


def test_what_is_no_zone_and_no_language_is_looked_for_once_and_nothing_that_might_be_meant(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    """Each row counts, but looking takes as long as a row, and looking for what was meant as long as ten to a hundred."""
    looked: list[str] = []
    for module in (zones, locales):
        monkeypatch.setattr(module, "get_close_matches", lambda *_, **__: pytest.fail("nobody reads what was meant"))
    monkeypatch.setattr(zones, "ZoneInfo", lambda name: looked.append(name) or ZoneInfo(name))
    parse = Locale.parse
    monkeypatch.setattr(Locale, "parse", lambda tag, **how: looked.append(tag) or parse(tag, **how))
    zones.zone_named.cache_clear()
    locales.is_language.cache_clear()
    rows = [f"{each},Mars/{'ABB'[each]}ase,Klingon{'aee'[each]}se,2026-03-01" for each in range(3)]
    report = home.take(csv("customer_id,timezone,language,joined_at", *rows, "3,Eastern Time,,2026-03-01"))
    assert sorted(looked) == ["Klingonase", "Klingonese", "Mars/Aase", "Mars/Base"]
    assert sorted(report.warnings.values()) == [3, 4]
    assert report.new == 4


def test_a_spreadsheets_apostrophe_before_ids_and_numbers_does_not_count(home: Home):
    report = home.take(csv("customer_id,phone,name", "'00042,'+12025550101,'t Hooft"))
    assert report.refused == 0
    assert home.rows(customers, "external_id", "name") == [("00042", "'t Hooft")]
    home.take(csv("entry_id,customer_id,at,points", "'1,'00042,2026-03-01,5"))
    assert home.rows(points, "customer_id") == [1]


def test_dates_of_either_order_are_read_where_the_file_decides(home: Home):
    home.take(csv("order_id,ordered_at,total", "1,3/4/26 1:00 PM,5", "2,3/28/26 1:00 PM,5"))
    home.take(csv("order_id,ordered_at,total", "3,03/04/2026 13:00,5", "4,28/03/2026 13:00,5"))
    assert [at.isoformat()[:16] for at in home.rows(orders, "ordered_at")] == [
        "2026-03-04T19:00", "2026-03-28T18:00", "2026-04-03T18:00", "2026-03-28T18:00",
    ]  # fmt: skip


def test_a_date_that_contradicts_its_file_is_refused(home: Home):
    report = home.take(csv("order_id,ordered_at,total", "1,28/03/2026 13:00,5", "2,03/28/2026 13:00,5"))
    assert report.refusals == [(3, 'ordered_at "03/28/2026 13:00" is a day that does not exist')]


def test_a_mapping_decides_what_the_file_does_not(home: Home):
    home.file("config/mappings/csv.yaml", "dates: day-first\n")
    report = home.take(csv("order_id,ordered_at,total", "1,3/4/26 13:00,5"))
    assert report.problem == ""
    assert home.rows(orders, "ordered_at")[0].isoformat()[:10] == "2026-04-03"


def test_an_order_from_the_future_goes_in_with_a_warning_and_counts_when_its_time_comes(home: Home):
    report = home.take(csv("order_id,customer_id,ordered_at,total", "1,C1,2026-06-01 09:00,5"))
    assert report.warnings["the order lies in the future"] == 1
    assert home.facts("C1")["orders"] == 0
    assert home.facts("C1")["refresh_at"] is not None


@pytest.mark.parametrize("text", ["1,000", "1.000", "1'000", "1 000", "1000", "+1,000"])
def test_a_thousand_points_are_a_thousand_however_they_are_written(home: Home, text: str):
    home.take(csv("entry_id,customer_id,at,points", f'1,C1,2026-03-01,"{text}"'))
    assert home.rows(points, "points") == [1000]


def test_a_zero_byte_in_a_long_file_is_refused_with_its_row(home: Home):
    rows = [f"{number},Ann Lee of Mill Lane" for number in range(300)]  # the first 4 kB tell that it is text
    report = home.take(csv("customer_id,name", *rows, "300,A\0nn"))
    assert (report.problem, report.new) == ("", 300)
    assert report.refusals == [(302, "the row holds a zero byte: the file was damaged; export it again")]


def test_a_birthday_far_down_the_file_decides_for_those_before_it(home: Home):
    """A till's list of customers, of whom only the last have told theirs."""
    rows = [f"{number}," for number in range(300)] + ["300,03/04/1990", "301,07/28/1990"]
    report = home.take(csv("customer_id,birthday", *rows))
    assert (report.problem, report.refused) == ("", 0)
    assert home.rows(customers, "birthday_md")[300:] == [304, 728]


def test_dates_in_columns_of_the_owners_own_decide_too(home: Home):
    report = home.take(csv("customer_id,child_birthday", "1,03/04/2015", "2,07/28/2015"))
    assert report.refused == 0
    assert [row["child_birthday"] for row in home.rows(customers, "attributes")] == ["2015-03-04", "2015-07-28"]


def test_a_file_whose_dates_nothing_decides_is_refused_with_the_cure(home: Home):
    rows = [f"{number}," for number in range(300)] + ["300,03/04/1990"]
    report = home.take(csv("customer_id,birthday", *rows))
    assert report.problem.startswith("nothing in the file says whether 03/04/1990 begins with the day or the month.")
    assert report.problem.endswith("or say so in config/mappings/csv.yaml: dates: day-first")


@pytest.mark.parametrize(
    ("totals", "read"),
    [
        (["1,234", "$4.50"], [123400, 450]),
        (["1.234", "4,50"], [123400, 450]),
        (["1.230", "4.50"], [123, 450]),
        (["1,234.00", "1,000"], [123400, 100000]),
    ],
)
def test_an_amount_that_may_be_two_is_decided_by_the_whole_file(home: Home, totals: list[str], read: list[int]):
    rows = [f'{number},2026-03-01 09:00,"{total}"' for number, total in enumerate(totals, start=1)]
    assert home.take(csv("order_id,ordered_at,total", *rows)).refused == 0
    assert home.rows(orders, "total") == read


def test_an_amount_that_nothing_decides_is_refused_until_the_owner_says(home: Home):
    text = csv("order_id,ordered_at,total", '1,2026-03-01 09:00,"1,234"', "2,2026-03-01 09:00,950")
    report = home.take(text)
    ((line, said),) = report.refusals
    assert line == 2
    assert said == (
        'total "1,234" may be 1234 or 1.234: the other numbers of the file do not say which. Export it without marks '
        "between thousands, or say in config/mappings/csv.yaml: decimals: point (or comma)"
    )
    assert home.rows(orders, "total") == [95000]
    home.file("config/mappings/csv.yaml", "decimals: point\n")
    assert home.take(text).refused == 0
    assert home.rows(orders, "total") == [95000, 123400]


def test_what_is_weighed_is_read_as_the_prices_of_the_file_are_written(home: Home):
    home.take(csv("order_id,ordered_at,total", "1,2026-03-01 09:00,5"))
    home.take(csv("order_id,line,product,quantity,price", "1,1,Ham,1.250,3.10", "1,2,Tea,1.000,2.90"))
    assert home.rows(order_items, "quantity", "price") == [(1250, 310), (1000, 290)]


@pytest.mark.parametrize(("text", "said"), [("12,5", "is not a whole number"), ("1,5", "is not a whole number")])
def test_part_of_a_point_is_refused(home: Home, text: str, said: str):
    report = home.take(csv("entry_id,customer_id,at,points", f'1,C1,2026-03-01,"{text}"'))
    assert report.refusals == [(2, f'points "{text}" {said}')]
