"""Consent is never guessed, belongs to the endpoint, and is appended only where it says something new."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from sqlalchemy import update

from engine.database.tables import consents, customers, endpoints
from engine.intake.ids import erased_id
from engine.language.keys import endpoint_hash
from tests.intake.conftest import KEY, Home, csv

HEADER = "customer_id,email,email_consent,consent_at,consent_source"

WORDS = ("yes", "no", "implied")


def words(home: Home) -> list[tuple[str, str]]:
    return [(state, at.date().isoformat()) for state, at in home.rows(consents, "state", "at")]


def test_an_address_alone_is_no_consent(home: Home):
    home.take(csv("customer_id,email,phone,sms_consent", "1,ann@example.com,+12025550101,"))
    assert words(home) == []
    assert len(home.rows(endpoints)) == 2


def test_consent_is_recorded_with_its_date_source_and_words(home: Home):
    home.take(csv(HEADER, "1,ann@example.com,YES,2026-01-05 12:00,paper card"))
    ((endpoint, customer, topic, basis, state, source, evidence),) = home.rows(
        consents, "endpoint_id", "customer_id", "topic", "basis", "state", "source", "evidence"
    )
    assert (endpoint, customer, topic, basis, state) == (1, 1, None, "express", "yes")
    assert (source, evidence) == ("paper card", "email_consent: yes")
    assert words(home) == [("yes", "2026-01-05")]


def test_consent_without_a_date_is_of_the_day_of_the_import(home: Home):
    home.take(csv(HEADER, "1,ann@example.com,yes,,"))
    assert home.rows(consents, "at", "source") == [(home.now, "import")]


def test_no_address_ever_stands_beside_consent(home: Home):
    home.take(csv(HEADER, "1,ann@example.com,yes,,told bo@example.com"))
    assert home.rows(consents, "source", "evidence") == [("import", "email_consent: yes")]


@pytest.mark.parametrize(
    ("said", "words_then"),
    [
        (["yes,", "yes,"], ["yes"]),
        (["no,", "yes,"], ["no"]),  # an undated yes never undoes a no
        (["yes,2026-01-01", "no,2026-02-01", "yes,"], ["yes", "no"]),
        (["no,2026-02-01", "yes,2026-03-01"], ["no", "yes"]),  # a later word does
        (["no,2026-02-01", "yes,2026-01-01"], ["yes", "no"]),  # an older one is history
        (["yes,2026-01-01", "yes,2026-03-01"], ["yes"]),
        (["yes,2026-01-01", "no,"], ["yes", "no"]),
        (["no,", "no,"], ["no"]),
        (["yes,2026-01-01", "no,2026-03-01", "yes,2026-02-01"], ["yes", "no"]),
        ([",", ","], []),
    ],
)
def test_only_what_is_new_is_appended(home: Home, said: list[str], words_then: list[str]):
    for word in said:
        home.take(csv(HEADER, f"1,ann@example.com,{word},"))
        home.later(hours=1)
    assert [state for state, _ in sorted(words(home), key=lambda word: word[1])] == words_then


def test_two_guests_with_one_inbox_have_one_consent(home: Home):
    home.take(csv(HEADER, "1,ann@example.com,yes,,", "2,Ann@Example.com,no,,", "3,ANN@example.com,yes,,"))
    assert home.rows(customers, "email_id") == [1, 1, 1]
    assert [state for state, _ in words(home)] == ["yes", "no"]


def test_a_file_without_addresses_speaks_for_the_one_that_is_known(home: Home):
    home.take(csv("customer_id,email", "1,ann@example.com"))
    home.take(csv("customer_id,email_consent", "1,no", "2,no"))
    assert home.rows(consents, "endpoint_id", "state") == [(1, "no")]


def test_an_unsubscribed_endpoint_stays_so_whatever_a_file_says(home: Home):
    home.take(csv(HEADER, "1,ann@example.com,yes,2026-01-01,"))
    with home.db.begin() as conn:
        conn.execute(update(endpoints).values(suppressed_at=home.now, suppressed_why="unsubscribed"))
    home.take(csv(HEADER, "1,ann@example.com,yes,2026-05-04,", "2,ann@example.com,yes,2026-05-04,"))
    assert home.rows(endpoints, "suppressed_why") == ["unsubscribed"]


class TestErasure:
    def test_an_erased_guest_in_a_later_file_is_passed_over(self, home: Home):
        text = csv("customer_id,name,email,email_consent", "1,Ann,ann@example.com,yes", "2,Bo,bo@example.com,yes")
        home.take(text)
        home.erase("csv", "1")
        before = home.dump()
        report = home.take(text)
        assert (report.erased, report.new, report.unchanged) == (1, 0, 1)
        assert "1 row of erased guests left out" in report.sentence()
        assert home.dump() == before

    def test_who_was_brought_by_an_erased_guest_is_not_tied_to_the_id_again(self, home: Home):
        home.take(csv("customer_id,referred_by", "C1,", "C2,C1", "C3,C2"))
        home.erase("csv", "C1")
        home.take(csv("customer_id,referred_by", "C1,", "C2,C1", "C3,C2", "C4,C1"))
        told = dict(home.rows(customers, "external_id", "referred_by"))
        assert told["C3"] == "C2"
        erased = erased_id(KEY, "csv", "C1")
        assert (told["C2"], told["C4"], erased in told) == (erased, erased, True)

    def test_an_erased_address_is_not_given_back_to_anybody(self, home: Home):
        home.take(csv("customer_id,name,email", "1,Ann,ann@example.com"))
        home.erase("csv", "1")
        report = home.take(csv("customer_id,name,email,email_consent", "9,Ann,ANN@example.com,yes"))
        assert report.new == 1
        assert report.warnings == {"email is of a guest who was erased: it stays unused": 1}
        assert home.rows(customers, "email_id") == [None, None]
        assert home.rows(endpoints, "address", "hash") == [(None, endpoint_hash(KEY, "email", "ann@example.com"))]
        assert words(home) == []

    def test_orders_of_an_erased_guest_are_walk_ins(self, home: Home):
        text = csv("order_id,customer_id,ordered_at,total", "1,C1,2026-03-01 09:00,5")
        home.take(text)
        home.erase("csv", "C1")
        before = home.dump()
        report = home.take(text)
        assert (report.changed, report.walk_ins, report.erased, report.new_guests) == (0, 1, 1, 0)
        assert home.dump() == before
        home.take(csv("order_id,customer_id,ordered_at,total", "2,C1,2026-03-02 09:00,5"))
        assert home.owner("2") is None

    def test_points_of_an_erased_guest_are_passed_over(self, home: Home):
        home.take(csv("customer_id,name", "C1,Ann"))
        home.erase("csv", "C1")
        report = home.take(csv("entry_id,customer_id,at,points", "1,C1,2026-03-01,5"))
        assert (report.erased, report.new, report.refused) == (1, 0, 0)


class TestImplied:
    """A soft opt-in: the guest bought and did not refuse."""

    @pytest.mark.parametrize(
        ("said", "words_then"),
        [
            (["implied,", "implied,"], [("yes", "implied")]),
            (["implied,2026-01-01", "implied,2026-01-01"], [("yes", "implied")]),
            (["implied,2026-01-01", "implied,2026-03-01"], [("yes", "implied"), ("yes", "implied")]),  # asked again
            (["implied,2026-03-01", "implied,2026-01-01"], [("yes", "implied"), ("yes", "implied")]),
            (["implied,2026-01-01", "yes,"], [("yes", "implied"), ("yes", "express")]),
            (["implied,2026-01-01", "yes,2026-02-01"], [("yes", "implied"), ("yes", "express")]),
            (["yes,2026-01-01", "implied,2026-02-01"], [("yes", "express")]),  # said goes before implied
            (["no,2026-01-01", "implied,"], [("no", "express")]),
            (["implied,2026-01-01", "no,"], [("yes", "implied"), ("no", "express")]),
            (["no,2026-01-01", "implied,", "yes,"], [("no", "express")]),
            (["no,2026-01-01", "implied,2026-02-01"], [("no", "express")]),
            (["no,2026-03-01", "implied,2026-02-01"], [("no", "express")]),
            (["no,", "implied,2026-02-01"], [("no", "express")]),
            (["yes,2026-03-01", "implied,2026-02-01"], [("yes", "express")]),
            (["yes,2026-01-01", "implied,"], [("yes", "express")]),
            (["yes,2026-01-01", "no,2026-02-01", "implied,2026-03-01"], [("yes", "express"), ("no", "express")]),
        ],
    )
    def test_it_never_takes_the_place_of_what_was_said(self, home: Home, said: list[str], words_then: list[str]):
        for word in said:
            home.take(csv(HEADER, f"1,ann@example.com,{word},"))
            home.later(hours=1)
        found = sorted(home.rows(consents, "at", "state", "basis"))
        assert [(state, basis) for _, state, basis in found] == words_then

    def test_in_no_order_does_it_change_what_the_guest_said(self, home: Home):
        """Two guests a case, one of whom never had an implied consent: what was said is the same."""
        days = ("2026-01-01", "2026-02-01", "2026-03-01")
        dates = [dict(zip(WORDS, each, strict=True)) for each in (*permutations(days), ("",) * 3, (*days[:2], ""))]
        cases = list(product(permutations(WORDS), dates))
        for turn in range(len(WORDS)):
            rows = []
            for number, (order, at) in enumerate(cases):
                word = order[turn]
                rows.append(f"a{number},a{number}@example.com,{word},{at[word]},")
                if word != "implied":
                    rows.append(f"b{number},b{number}@example.com,{word},{at[word]},")
            home.take(csv(HEADER, *rows))
            home.later(hours=1)
        names = dict(home.rows(customers, "email_id", "external_id"))
        said: dict[str, list[tuple[str, object]]] = {}
        for endpoint, state, at, basis in home.rows(consents, "endpoint_id", "state", "at", "basis"):
            if basis == "express":
                said.setdefault(names[endpoint], []).append((state, at))
        for number, case in enumerate(cases):
            assert said[f"a{number}"] == said[f"b{number}"], case

    def test_an_attribute_is_yes_or_no(self, home: Home):
        report = home.take(csv("customer_id,vegan", "1,implied"))
        assert report.refused == 1
