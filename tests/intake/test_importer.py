"""One file: what it is, that it goes in whole, and that the same file again changes nothing."""

from __future__ import annotations

import csv as csvmodule
from itertools import pairwise

import pytest
from sqlalchemy import select

from connectors import csvblocks, csvfile
from engine.database.tables import (
    customer_facts,
    customers,
    endpoints,
    imports,
    order_items,
    orders,
    products,
    ratings,
    stores,
)
from tests.intake.conftest import Home, csv

STORES = csv(
    "store_id,name,country,city,timezone,closed_on,parking",
    "S1,Mill Lane,US,Springfield,America/Chicago,,yes",
    "S2,Harbour,US,Cleveland,America/New_York,2026-04-01,",
)
CUSTOMERS = csv(
    "customer_id,name,email,phone,birthday,joined_at,timezone,store_id,city,tier,tags,email_consent,child_birthday,seats,vegan",
    'C1,Ann Lee,Ann@Example.com,(202) 555-0101,1990-05-14,2026-01-05 09:00,,S1,Springfield ,Gold,"staff, Friend",yes,2019-02-03,4,yes',
    "C2,Bo,bo@example.com,,05-14,,America/Denver,,,,,no,,,",
    "C3,Cy,,+12025550103,0000-02-29,,,S2,,,,,,,",
)  # fmt: skip
ORDERS = csv(
    "order_id,customer_id,ordered_at,store_id,total,currency,channel,kind,coupon,server",
    "O1,C1,2026-03-01 09:00,S1,12.50,USD,Dine-In,sale,,Ines",
    "O2,C1,2026-03-02T01:30:00,S1,8,USD,takeaway,,,",
    "O3,,2026-03-02 10:00,S1,3.20,,,,,",
    'O4,C2,2026-03-03T15:00:00Z,S2,"1,020.00",USD,,sale,,',
    "O1,C1,2026-03-01 09:10,S1,2.50,USD,,refund,,",
    "O4,C2,2026-03-05 09:10,S2,,USD,,void,,",
)  # fmt: skip
ITEMS = csv(
    "order_id,line,product,category,quantity,price",
    "O1,1,Flat White,Coffee,2,9.00",
    "O1,2,flat  white,coffee,0.5,3.50",
    "O2,1,Bagel,,1,8",
)
RATINGS = csv("rating_id,customer_id,order_id,rated_at,score,comment,source", "R1,,O1,2026-03-01 20:00,2,cold,google")
POINTS = csv(
    "entry_id,customer_id,at,points,expires_at,reason,ledger",
    "P1,C1,2026-03-01 09:00,100,2026-12-31,visit,",
    "P2,C1,2026-03-02 09:00,50,,visit,",
    "P3,C1,2026-03-03 09:00,-120,,lunch,",
    "P4,C1,2026-03-03 09:00,7,,,stamps",
)
EVENTS = csv("event_id,customer_id,store_id,name,at,people", "E1,C1,S1,reservation,2026-05-01 12:00,4")
ALL = {
    "stores": STORES, "customers": CUSTOMERS, "orders": ORDERS, "order_items": ITEMS, "ratings": RATINGS,
    "points": POINTS, "events": EVENTS,
}  # fmt: skip


def take_all(home: Home) -> None:
    for kind, text in ALL.items():
        report = home.take(text, f"{kind}.csv")
        assert (report.kind, report.till, report.problem, report.refusals) == (kind, "csv", "", [])


def test_a_home_full_of_files_goes_in(home: Home):
    take_all(home)
    ann = home.facts("C1")
    assert ann["orders"] == 2
    assert ann["visits"] == 1  # 01:30 belongs to the evening before
    assert ann["spend"] == 1250 - 250 + 800
    assert ann["refunds"] == 1
    assert ann["points"] == 30
    assert ann["birthday_md"] == 514
    bo = home.facts("C2")
    assert (bo["orders"], bo["refunds"], bo["visits"]) == (0, 1, 0)
    assert home.rows(orders, "channel")[:2] == ["dine-in", "takeaway"]
    assert home.rows(products, "name", "category_key") == [("Flat White", "coffee"), ("Bagel", "")]
    assert home.rows(order_items, "quantity") == [2000, 500, 1000]
    assert home.rows(ratings, "customer_id", "order_id", "store_id") == [(1, 1, 1)]
    assert home.rows(stores, "attributes") == [{"parking": "yes"}, {}]
    assert home.rows(customers, "attributes")[0] == {"child_birthday": "2019-02-03", "seats": 4, "vegan": True}


def test_the_same_files_again_change_nothing(home: Home):
    take_all(home)
    before = home.dump()
    home.later(days=1)
    for kind, text in ALL.items():
        report = home.take(text, f"{kind}.csv")
        assert (report.new, report.changed, report.refused, report.new_guests) == (0, 0, 0, 0)
        assert report.unchanged == report.rows
    assert home.dump() == before
    assert len(home.rows(imports)) == 2 * len(ALL)


def test_the_order_of_columns_and_their_spelling_do_not_matter(home: Home):
    take_all(home)
    before = home.dump()
    shuffled = "TOTAL,Customer ID,server,ordered at,order-id,store_id,kind,coupon,channel,currency\n"
    shuffled += "12.50,C1,Ines,2026-03-01 09:00,O1,S1,sale,,dine-in,usd\n"
    report = home.take(shuffled, "other.csv")
    assert (report.kind, report.unchanged, report.changed) == ("orders", 1, 0)
    assert home.dump() == before


def test_a_changed_row_keeps_its_internal_id(home: Home):
    take_all(home)
    report = home.take(csv("order_id,customer_id,ordered_at,store_id,total", "O2,C2,2026-03-02 09:30,S1,9"))
    assert (report.new, report.changed, report.unchanged) == (0, 1, 0)
    assert home.owner("O2") == "C2"
    assert home.facts("C1")["orders"] == 1  # the old owner's facts know it too
    assert home.facts("C2")["orders"] == 1
    assert home.rows(orders, "id", "external_id")[1] == (2, "O2")


def test_orders_before_customers_work(home: Home):
    for kind in ("orders", "stores", "customers", "points"):
        assert home.take(ALL[kind]).problem == ""
    late = home.dump()["customer_facts"]
    assert home.facts("C1")["spend"] == 1800
    assert home.facts("C1")["points"] == 30
    assert len(late) == 3


def test_an_unknown_guest_and_an_unknown_store_are_made_and_told(home: Home):
    report = home.take(csv("order_id,customer_id,ordered_at,store_id,total", "1,77,2026-03-02 09:30,Riverside,9"))
    assert (report.new_guests, report.known_guests, report.walk_ins) == (1, 1, 0)
    assert report.warnings == {'store "Riverside" was not known; it was made from its name': 1}
    assert home.rows(customers, "external_id", "name", "email_id") == [("77", None, None)]
    assert home.facts("77")["store_id"] == 1


def test_a_column_that_is_missing_leaves_what_is_known_and_an_empty_cell_clears_it(home: Home):
    take_all(home)
    home.take(csv("customer_id,tier,city", "C1,Silver,"))
    name, tier, key, city, email = home.rows(customers, "name", "tier", "tier_key", "city", "email_id")[0]
    assert (name, tier, key, city, email) == ("Ann Lee", "Silver", "silver", None, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("a,b\n1,2\n", "its columns (a, b) are those of no file that Regulars knows"),
        ("order_id,totl,ordered_at\n", 'a file of orders needs the column total; is "totl" the one?'),
        ("rating_id,score\n1,2\n", "a file of ratings needs the column rated_at"),
        ("order_id,ordered_at,total\n1,03/04/2026 10:00,5\n2,05/04/2026 10:00,5\n",
         "nothing in the file says whether 03/04/2026 10:00 begins with the day or the month"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_whole_with_the_cure(home: Home, text: str, said: str):
    before = home.dump()
    report = home.take(text)
    assert said in report.problem
    assert report.failed
    assert home.dump() == before
    assert home.rows(imports) == []
    assert report.sentence() == f"data.csv: {report.problem}"


def test_a_file_that_breaks_in_its_middle_leaves_nothing(home: Home):
    rows = "".join(f"{number},,2026-03-01 10:00,5\n" for number in range(6000))
    report = home.take(f'order_id,customer_id,ordered_at,total\n{rows}6000,"broken\n' + "x,y\n" * 60_000)
    assert "from line 6002 on the file is no CSV any more" in report.problem
    assert home.rows(orders, "id") == []
    assert sorted(file.name for file in home.root.iterdir()) == ["config", "data.csv"]


def test_the_kind_may_be_said_where_columns_do_not_tell_it(home: Home):
    text = csv("customer_id,entry_id,at,points,rating_id,score", "C1,1,2026-03-01,5,,")
    assert home.take(text).kind == "ratings" or home.take(text).problem
    report = home.take(text, kind="points")
    assert (report.kind, report.new, report.problem) == ("points", 1, "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_encodings_and_delimiters_are_found_out_and_told(home: Home, encoding: str, mark: str):
    text = f"customer_id{mark}name{mark}city\n1{mark}李伟{mark}上海\n2{mark}王芳{mark}北京\n"
    report = home.take(text.encode(encoding))
    assert (report.encoding.lower().replace("-", ""), report.delimiter) == (
        encoding.replace("-sig", "").replace("-", ""),
        {",": "comma", ";": "semicolon", "\t": "tab"}[mark],
    )
    assert home.rows(customers, "name", "city_key") == [("李伟", "上海"), ("王芳", "北京")]


def test_progress_is_told_in_bytes(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csvblocks, "BLOCK", 1 << 16)
    text = csv("order_id,ordered_at,total", *(f"{number},2026-03-01 10:00,5" for number in range(11_000)))
    seen: list[tuple[int, int]] = []
    home.take(text, progress=lambda done, whole: seen.append((done, whole)))
    assert len(seen) > len(text) // (1 << 16)
    assert {whole for _, whole in seen} == {len(text)}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (len(text), len(text))


@pytest.mark.parametrize("header", ["order_id,ordered_at,total", "event_id,at,name"])
def test_a_file_is_never_held_whole(home: Home, monkeypatch: pytest.MonkeyPatch, header: str):
    """Rows are read in step with their writing: never more than a batch ahead."""
    monkeypatch.setattr(csvblocks, "BLOCK", 1 << 17)
    read = 0
    rows, blocks = csvfile.CsvFile.rows, csvfile.CsvFile.blocks

    def counted(self: csvfile.CsvFile):
        nonlocal read
        for row in rows(self):
            read += 1
            yield row

    def counted_blocks(self: csvfile.CsvFile):
        nonlocal read
        for block in blocks(self):
            read += len(block.lines)
            yield block

    monkeypatch.setattr(csvfile.CsvFile, "rows", counted)
    monkeypatch.setattr(csvfile.CsvFile, "blocks", counted_blocks)
    ahead: list[int] = [0]
    text = csv(header, *(f"{number},2026-03-01 10:00,5" for number in range(21_000)))
    home.take(text, progress=lambda *_: ahead.append(read))
    assert ahead[-1] == 21_000
    assert all(0 <= later - sooner <= 5_500 for sooner, later in pairwise(ahead))


def test_what_was_refused_stands_beside_the_input_and_goes_in_once_corrected(home: Home):
    text = csv(
        "customer_id;name;email", 'C1;"Ann; Lee";ann@example.com', "C2;Bo;bo at example", ";Cy;cy@example.com", "C4;Di"
    )
    report = home.take(text, "guests.csv")
    assert (report.new, report.refused, report.failed) == (1, 3, True)
    assert [line for line, _ in report.refusals] == [3, 4, 5]
    assert report.rejects_path == home.root / "guests.rejects.csv"
    with report.rejects_path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csvmodule.reader(stream, delimiter=";"))
    assert rows == [
        ["customer_id", "name", "email", "refused: line", "refused: reason"],
        ["C2", "Bo", "bo at example", "3", "email is not an email address: correct it, or leave it empty"],
        ["", "Cy", "cy@example.com", "4", "customer_id is empty"],
        ["C4", "Di", "", "5", "the row has 2 cells, the first line 3"],
    ]
    corrected = report.rejects_path.read_text(encoding="utf-8-sig")
    corrected = corrected.replace("bo at example", "bo@example.com").replace(";Cy", "C3;Cy")
    again = home.take(corrected, "corrected.csv")
    assert (again.new, again.refused, again.rejects_path) == (3, 0, None)
    assert home.rows(customers, "attributes") == [{}] * 4


def test_an_older_file_of_refused_rows_is_not_lost(home: Home):
    first = home.take(csv("customer_id,email", "1,x"), "guests.csv")
    same = home.take(csv("customer_id,email", "1,x"), "guests.csv")
    other = home.take(csv("customer_id,email", "2,y"), "guests.csv")
    assert [each.rejects_path and each.rejects_path.name for each in (first, same, other)] == [
        "guests.rejects.csv", "guests.rejects.csv", "guests.rejects-2.csv",
    ]  # fmt: skip


def test_the_report_says_what_was_understood(home: Home):
    take_all(home)
    report = home.take(ORDERS.replace("O", "N") + "N9,C9,2026-03-01 09:00,S1,x,USD,,,,\n", "orders.csv")
    assert report.sentence() == (
        "orders.csv: orders, UTF-8, separated by comma: 7 rows; 6 new, 0 changed, 0 as before, 1 refused.\n"
        "  3 orders by known guests, 1 by walk-ins; 0 guests met for the first time; 1 refund, 1 void; "
        "0 coupons redeemed.\n"
        '  line 8: total "x" is not an amount such as 12.50\n'
        "  The refused rows are in orders.rejects.csv; correct them there and import that file."
    )


def test_columns_of_the_owners_own_are_told_so_that_a_misspelt_one_is_seen(home: Home):
    report = home.take("Customer ID,E-Mail,Mobile No,seats\nC1,ann@example.com,1,4\n")
    assert report.sentences()[1:] == ["  Columns of your own, kept as attributes: mobile_no."]
    assert home.rows(endpoints, "address") == ["ann@example.com"]


def test_every_import_is_on_record(home: Home):
    take_all(home)
    with home.db.connect() as conn:
        last = conn.execute(select(imports).order_by(imports.c.id.desc())).first()
    assert (last.name, last.kind, last.source, last.at) == ("events.csv", "events", "csv", home.now)
    assert last.counts["rows"] == 1
    assert len(last.sha256) == 32


def test_the_country_of_a_guest_is_that_of_the_phone_number_else_of_the_store(home: Home):
    home.take(csv("store_id,name,country", "S1,Mill Lane,FR", "S2,Quay,"))
    header = "customer_id,store_id,email,phone"
    people = ["1,S1,,+14165550123", "2,S1,ann@example.com,", "3,S2,bo@example.com,", "4,S1,,+8613800138000"]
    home.take(csv(header, *people))
    assert home.rows(customer_facts, "country") == ["CA", "FR", None, "CN"]
    assert set(home.rows(endpoints, "channel", "country")) == {("sms", "CA"), ("sms", "CN"), ("email", None)}
    home.take(csv(header, "1,S1,,+12025550123", "4,S1,,"))
    assert home.rows(customer_facts, "country") == ["US", "FR", None, "FR"]
    home.take(csv("store_id,name,country", "S1,Mill Lane,DE"))
    assert home.rows(customer_facts, "country") == ["US", "DE", None, "DE"]
