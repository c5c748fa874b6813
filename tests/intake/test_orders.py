"""Whose an order is, on whose clock, and what of it is given back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from connectors import csvblocks
from engine.database.facts import facts_select
from engine.database.tables import customer_facts, customers, metadata, orders, points_uses, refunds
from engine.intake import orders as intake_orders
from engine.intake.mapping import load_mapping
from tests.intake.conftest import Home, csv

ORDER = "order_id,customer_id,ordered_at,store_id,total,kind"
STORES = csv("store_id,name,timezone", "NY,Harbour,America/New_York", "LA,Pier,America/Los_Angeles")


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


class TestClocks:
    def test_a_business_day_begins_at_four_on_the_stores_clock(self, home: Home):
        home.take(STORES)
        home.take(
            csv(ORDER, "1,,2026-03-02 03:59,NY,5,", "2,,2026-03-02 04:00,NY,5,", "3,,2026-03-02 03:59,LA,5,", "4,,2026-03-02 04:00,,5,")
        )  # fmt: skip
        assert home.rows(orders, "day") == [day("2026-03-01"), day("2026-03-02"), day("2026-03-01"), day("2026-03-02")]
        assert home.rows(orders, "ordered_at")[0] == datetime(2026, 3, 2, 8, 59, tzinfo=UTC)

    def test_a_guests_order_belongs_to_the_day_of_the_guests_own_zone(self, home: Home):
        home.take(STORES)
        home.take(csv("customer_id,timezone", "1,America/Los_Angeles"))
        home.take(csv(ORDER, "1,1,2026-03-02 06:00,NY,5,"))
        assert home.rows(orders, "day") == [day("2026-03-01")]

    def test_a_guest_without_a_zone_lives_by_the_clock_of_the_store_that_is_visited(self, home: Home):
        home.take(STORES)
        home.take(csv(ORDER, "1,A,2026-03-02 12:00,LA,5,", "2,A,2026-03-03 12:00,LA,5,", "3,A,2026-03-04 12:00,NY,5,"))
        assert home.zone_names() == {"A": "America/Los_Angeles"}
        home.take(csv("customer_id,name", "A,Ann"))
        assert home.zone_names() == {"A": "America/Los_Angeles"}

    def test_who_follows_a_store_is_looked_for_page_by_page(self, home: Home, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("engine.intake.zoning.CHUNK", 3)
        home.take(STORES)
        asked: list[str] = []
        event.listen(home.db, "before_cursor_execute", lambda *about: asked.append(about[2]))
        home.take(csv(ORDER, *(f"{n},G{n},2026-03-02 12:00,LA,5," for n in range(10))))
        assert home.zone_names() == {f"G{n}": "America/Los_Angeles" for n in range(10)}
        pages = [each for each in asked if "customers.zone_id != stores.zone_id" in each]
        # Each begins where the one before ended; then those are looked for who would be moved back.
        assert ["customers.id >" in each for each in pages] == [False, True, True, True, False]

    def test_a_new_zone_moves_the_days_of_all_orders(self, home: Home):
        home.take(csv("customer_id,joined_at", "1,2026-03-02 04:30"))
        home.take(csv(ORDER, "1,1,2026-03-02 04:30,,5,"))
        assert (home.facts("1")["last_order_day"], home.facts("1")["joined_day"]) == (day("2026-03-02"),) * 2
        home.take(csv("customer_id,timezone", "1,Pacific/Honolulu"))
        assert (home.facts("1")["last_order_day"], home.facts("1")["joined_day"]) == (day("2026-03-01"),) * 2
        assert home.rows(orders, "day") == [day("2026-03-01")]

    def test_a_stores_new_zone_moves_its_guests_and_its_walk_ins(self, home: Home):
        home.take(csv("store_id,name,timezone", "S,Mill,America/New_York"))
        home.take(csv("customer_id,store_id", "1,S"))
        home.take(csv(ORDER, "1,1,2026-03-02 04:30,S,5,", "2,,2026-03-02 04:30,S,5,"))
        assert home.rows(orders, "day") == [day("2026-03-02")] * 2
        home.take(csv("store_id,name,timezone", "S,Mill,America/Los_Angeles"))
        assert home.rows(orders, "day") == [day("2026-03-01")] * 2
        assert home.facts("1")["last_order_day"] == day("2026-03-01")
        assert home.zone_names() == {"1": "America/Los_Angeles"}

    def test_a_store_that_was_shut_by_the_last_visit_is_nobodys(self, home: Home):
        home.take(csv("store_id,name", "A,Mill", "B,Lake"))
        home.take(csv("customer_id,store_id", "1,A"))
        home.take(csv(ORDER, "1,1,2026-03-02 09:00,B,5,"))
        assert home.facts("1")["store_id"] == 1
        home.take(csv("store_id,name,closed_on", "A,Mill,2026-02-01"))
        assert home.facts("1")["store_id"] == 2


class TestRefunds:
    def test_a_refund_lowers_a_void_and_a_full_refund_take_out(self, home: Home):
        home.take(csv(ORDER, *(f"{number},A,2026-03-0{number} 09:00,,10," for number in (1, 2, 3, 4))))
        home.take(
            csv(
                ORDER,
                "1,A,2026-03-05 09:00,,4,refund",
                "2,A,2026-03-05 09:00,,-10,refund",
                "3,A,2026-03-05 09:00,,10,void",
            )
        )
        facts = home.facts("A")
        assert (facts["orders"], facts["spend"], facts["refunds"], facts["visits"]) == (2, 1600, 3, 2)

    def test_two_partial_refunds_add_up(self, home: Home):
        home.take(
            csv(ORDER, "1,A,2026-03-01 09:00,,10,", "1,A,2026-03-02 09:00,,4,refund", "1,A,2026-03-03 09:00,,6,refund")
        )
        assert (home.facts("A")["orders"], home.facts("A")["spend"]) == (0, 0)

    def test_a_refund_may_come_before_its_sale(self, home: Home):
        report = home.take(csv(ORDER, "1,A,2026-03-02 09:00,,4,refund"))
        assert (report.unattached, report.refunds) == (1, 1)
        report = home.take(csv(ORDER, "1,A,2026-03-01 09:00,,10,"))
        assert report.unattached == 0
        assert home.facts("A")["spend"] == 600
        assert home.rows(refunds, "order_id") == [1]

    def test_a_corrected_refund_corrects_the_facts(self, home: Home):
        home.take(csv(ORDER, "1,A,2026-03-01 09:00,,10,", "1,A,2026-03-02 09:00,,4,refund"))
        report = home.take(csv(ORDER, "1,A,2026-03-02 09:00,,5,refund"))
        assert (report.changed, report.new) == (1, 0)
        assert home.facts("A")["spend"] == 500

    def test_a_refund_without_an_amount_is_of_the_whole(self, home: Home):
        home.take(csv(ORDER, "1,A,2026-03-01 09:00,,10,", "1,A,2026-03-02 09:00,,,refund"))
        assert home.facts("A")["orders"] == 0


class TestPoints:
    HEADER = "entry_id,customer_id,at,points,expires_at"

    def test_a_bare_date_of_expiry_is_the_last_whole_day(self, home: Home):
        home.take(csv(self.HEADER, "1,A,2026-03-01,10,2026-05-04"))
        assert home.facts("A")["points"] == 10
        home.later(hours=17)  # 03:00 in Chicago: still the business day of the 4th
        home.take(csv("customer_id,name", "A,Ann"))
        assert home.facts("A")["points"] == 10
        home.later(hours=2)
        home.take(csv("customer_id,name", "A,Ann Lee"))
        assert home.facts("A")["points"] == 0

    def test_a_late_lot_is_worked_into_the_ledger(self, home: Home):
        home.take(csv(self.HEADER, "1,A,2026-03-01,10,", "2,A,2026-03-05,-8,"))
        home.take(csv(self.HEADER, "3,A,2026-03-02,10,2026-06-01"))
        assert home.rows(points_uses, "use_id", "lot_id", "points") == [(2, 3, 8)]
        assert home.facts("A")["points"] == 12

    def test_an_entry_that_moves_to_another_guest_touches_both(self, home: Home):
        home.take(csv(self.HEADER, "1,A,2026-03-01,10,", "2,A,2026-03-02,-4,"))
        home.take(csv(self.HEADER, "1,B,2026-03-01,10,"))
        assert home.facts("A")["points"] == 0
        assert home.facts("B")["points"] == 10
        assert home.rows(points_uses) == []


# ---------------------------------------------------------------------------------------------------------------------
# However the rows are cut into files, and whatever comes twice, the facts are those of a rebuild.

lines = st.lists(
    st.tuples(
        st.integers(1, 12),  # order_id: the same again corrects
        st.sampled_from(["A", "B", "C", ""]),
        st.integers(0, 24 * 60).map(lambda hours: f"{datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hours):%Y-%m-%d %H:%M}"),
        st.sampled_from(["", "NY", "LA"]),
        st.integers(0, 30),
        st.sampled_from(["", "", "", "refund", "void"]),
    ).map(lambda row: ",".join(str(cell) for cell in row)),
    min_size=1,
    max_size=12,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(lines, min_size=1, max_size=4))
def test_facts_are_right_after_any_files_and_the_last_file_again_changes_nothing(home: Home, files: list[list[str]]):
    empty(home)
    home.take(STORES)
    for rows in files:
        home.take(csv(ORDER, *rows))
        with home.db.connect() as conn:
            kept = conn.execute(select(customer_facts).order_by("customer_id")).all()
            assert kept == conn.execute(facts_select(home.now).order_by("customer_id")).all()
    before = home.dump()
    home.take(csv(ORDER, *files[-1]))
    assert home.dump() == before


def empty(home: Home) -> None:
    with home.db.begin() as conn:
        for each in reversed(metadata.sorted_tables):
            conn.execute(each.delete())


@pytest.mark.parametrize("guests", [["A", "B"], ["B", "A"]])
def test_two_tills_may_use_the_same_ids(home: Home, guests: list[str]):
    home.file("config/mappings/other.yaml", "source: other\n")
    mapping, problems = load_mapping(home.root, "other")
    assert problems == []
    home.take(csv(ORDER, f"1,{guests[0]},2026-03-01 09:00,,10,"))
    home.take(csv(ORDER, f"1,{guests[1]},2026-03-01 09:00,,20,"), mapping=mapping)
    assert home.rows(orders, "source", "external_id", "total") == [("csv", "1", 1000), ("other", "1", 2000)]
    assert home.rows(customers, "source", "external_id") == [("csv", guests[0]), ("other", guests[1])]


def test_a_guest_of_another_till_with_the_same_id_is_nobody_here(home: Home, monkeypatch: pytest.MonkeyPatch):
    """Also where that one was the last to be made, and this till's comes in a later part of the file."""
    monkeypatch.setattr(csvblocks, "BLOCK", 60)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    home.file("config/mappings/other.yaml", "source: other\n")
    mapping, _ = load_mapping(home.root, "other")
    home.take(csv(ORDER, "1,A,2026-03-01 09:00,,10,"))
    rows = [f"{number},B,2026-03-01 09:00,,20," for number in range(1, 6)]
    home.take(csv(ORDER, *rows, "9,A,2026-03-01 09:00,,20,"), mapping=mapping)
    assert home.rows(customers, "source", "external_id") == [("csv", "A"), ("other", "B"), ("other", "A")]
