"""Files laid into the inbox go in, in an order that works, and are put away."""

from __future__ import annotations

import stat
from datetime import date
from pathlib import Path

import pytest

from engine.database.tables import customers, imports, order_items, orders
from engine.intake.inbox import take_in
from engine.intake.mapping import load_mapping
from tests.intake.conftest import KEY, Home, csv


def names(home: Home) -> list[str]:
    inbox = home.config.inbox
    return sorted(str(file.relative_to(inbox)) for file in inbox.rglob("*") if file.is_file())


def test_an_inbox_that_is_not_there_or_empty_gives_nothing(home: Home):
    assert home.take_in() == []
    home.config.inbox.mkdir()
    assert home.take_in() == []


def test_files_go_in_in_the_order_in_which_one_rests_on_the_other(home: Home):
    home.file("inbox/a-items.csv", csv("order_id,product", "1,Tea"))
    home.file("inbox/b-orders.csv", csv("order_id,customer_id,ordered_at,total,store_id", "1,C1,2026-03-01 09:00,5,S1"))
    home.file("inbox/c-customers.csv", csv("customer_id,name", "C1,Ann"))
    home.file("inbox/d-stores.CSV", csv("store_id,name", "S1,Mill"))
    reports = home.take_in()
    assert [report.kind for report in reports] == ["stores", "customers", "orders", "order_items"]
    assert not any(report.failed or report.warnings or report.new_guests for report in reports)
    assert len(home.rows(order_items)) == 1
    assert names(home) == [
        f"done/{name}" for name in ("a-items.csv", "b-orders.csv", "c-customers.csv", "d-stores.CSV")
    ]
    assert home.take_in() == []


def test_a_file_of_a_name_that_is_done_gets_another(home: Home):
    for tier in ("Gold", "Silver"):
        home.file("inbox/customers.csv", csv("customer_id,tier", f"C1,{tier}"))
        home.take_in()
    assert names(home) == ["done/customers-2.csv", "done/customers.csv"]
    assert home.rows(customers, "tier") == ["Silver"]


def test_one_broken_file_stops_no_other_and_stays(home: Home):
    home.file("inbox/a.csv", "what,is,this\n1,2,3\n")
    home.file("inbox/b.csv", csv("customer_id,name", "C1,Ann"))
    reports = home.take_in()
    assert [bool(report.problem) for report in reports] == [False, True]
    assert names(home) == ["a.csv", "done/b.csv"]


def test_refused_rows_stay_in_the_inbox_and_are_not_taken_in(home: Home):
    home.file("inbox/guests.csv", csv("customer_id,name", "C1,Ann", ",Bo"))
    (report,) = home.take_in()
    assert report.refused == 1
    assert names(home) == ["done/guests.csv", "guests.rejects.csv"]
    assert home.take_in() == []


def test_what_is_no_csv_file_is_left_alone(home: Home):
    home.file("inbox/.orders.csv", "half written")
    home.file("inbox/orders.csv.part", "half written")
    home.file("inbox/README.md", "what to do here")
    home.file("inbox/old/orders.csv", csv("customer_id,name", "C1,Ann"))
    assert home.take_in() == []
    assert home.rows(imports) == []


class TestMapping:
    FOREIGN = csv("Bon-Nr;Kunde;Datum;Summe;total", "1;K1;03.04.2026 09:00;12,50;ignored")
    YAML = """\
kind: orders
source: kasse
columns:
  order_id: Bon-Nr
  customer_id: Kunde
  ordered_at: Datum
  total: Summe
"""

    def test_a_mapping_names_the_columns_of_another_till(self, home: Home):
        home.file("config/mappings/kasse.yaml", self.YAML)
        mapping, problems = load_mapping(home.root, "kasse")
        assert problems == []
        report = home.take(self.FOREIGN, mapping=mapping)
        assert (report.kind, report.till, report.new, report.refusals) == ("orders", "kasse", 1, [])
        assert home.facts("K1")["spend"] == 1250

    def test_a_file_in_the_inbox_finds_the_mapping_whose_columns_it_has(self, home: Home):
        home.file("config/mappings/another.yaml", "columns:\n  order_id: Beleg\n")
        home.file("config/mappings/kasse.yaml", self.YAML)
        home.file("inbox/tag.csv", self.FOREIGN)
        (report,) = home.take_in()
        assert (report.kind, report.till, report.new, report.problem) == ("orders", "kasse", 1, "")

    def test_a_file_without_its_mapping_says_what_to_do(self, home: Home):
        report = home.take(csv("Bon-Nr;Kunde;Datum;Summe", "1;K1;03.04.2026 09:00;12,50"))
        assert "write a mapping into config/mappings/" in report.problem

    @pytest.mark.parametrize(
        ("yaml", "said"),
        [
            ("kind: sales\n", '"kind"'),
            ("colums: {}\n", 'did you mean "columns"?'),
            ("dates: day first\n", '"dates"'),
        ],
    )
    def test_a_mistake_in_a_mapping_is_placed(self, home: Home, yaml: str, said: str):
        home.file("config/mappings/kasse.yaml", yaml)
        mapping, problems = load_mapping(home.root, "kasse")
        assert mapping is None
        assert said in f"{problems[0].message} {problems[0].hint}"
        assert (problems[0].path, problems[0].line) == ("config/mappings/kasse.yaml", 1)

    def test_a_mapping_that_is_not_there_names_the_others(self, home: Home):
        home.file("config/mappings/kasse.yaml", self.YAML)
        _, (problem,) = load_mapping(home.root, "till")
        assert problem.message == 'there is no mapping "till"'
        assert problem.hint == "There are: kasse."

    def test_a_broken_mapping_of_the_till_stops_its_files(self, home: Home):
        home.file("config/mappings/csv.yaml", "dates: sometimes\n")
        report = home.take(csv("customer_id,name", "C1,Ann"))
        assert "config/mappings/csv.yaml:1" in report.problem
        assert home.rows(customers) == []


def test_a_file_that_is_still_being_written_waits_as_a_whole(home: Home):
    file = home.file("inbox/guests.csv", csv("customer_id,name", "C1,Ann"))

    def write_on(read: int, size: int) -> None:
        if read == size:
            with file.open("a") as stream:
                stream.write("C2,Bo\n")

    (report,) = take_in(home.db, home.config, KEY, home.now, progress=lambda _: write_on)
    assert (
        report.sentence() == "guests.csv: the file is still being written: nothing of it is taken in until it is whole"
    )
    assert (names(home), home.rows(customers)) == (["guests.csv"], [])
    assert [report.new for report in home.take_in()] == [2]


def test_what_is_put_away_and_what_was_refused_is_for_nobody_elses_eyes(home: Home):
    home.file("inbox/guests.csv", csv("customer_id,name", "C1,Ann", ",Bo"))
    home.take_in()
    inbox = home.config.inbox
    assert [stat.S_IMODE((inbox / name).stat().st_mode) for name in ("done", "guests.rejects.csv")] == [0o700, 0o600]


def test_the_mapping_that_the_documentation_shows_is_read(home: Home):
    shown = (Path(__file__).parents[2] / "docs/importing.md").read_text(encoding="utf-8")
    home.file("config/mappings/corner-till.yaml", shown.partition("```yaml\n")[2].partition("```")[0])
    report = home.take("Bon;Datum;Kundennummer;Summe\nB1;03/04/2026 09:00;C1;1.234\n")
    assert (report.till, report.refused, report.problem) == ("corner-till", 0, "")
    assert home.rows(orders, "total", "day") == [(123400, date(2026, 4, 3).toordinal())]
