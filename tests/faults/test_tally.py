"""The counting itself: a tally that cannot fail would prove nothing."""

import pytest
from dispatch.world import NOW, Cafe
from sqlalchemy import delete

from engine.database.tables import audit, dispatches

from .__main__ import line
from .places import KINDS, place
from .tally import Counts, Scale, Tally, integrity, reconcile


@pytest.fixture(params=KINDS)
def somewhere(request):
    if request.param == "postgres":
        request.getfixturevalue("postgres_server")
    with place(request.param) as found:
        yield found


def test_every_way_to_go_wrong_is_counted(somewhere):
    cafe = Cafe(somewhere.db)
    made = {
        name: cafe.message(state=state)
        for name, state in (
            ("fine", "sent"),
            ("twice", "sent"),
            ("accepted but pending", "pending"),
            ("sent but never accepted", "sent"),
            ("left claimed", "claimed"),
            ("left in handoff", "handoff"),
            ("unknown", "uncertain"),
            ("refused", "rejected"),
        )
    }
    accepted = {"fine": 1, "twice": 3, "accepted but pending": 1, "unknown": 1, "nobody decided": 1}
    found = reconcile(somewhere.db, accepted, made, now=NOW)
    assert (found.twice, found.lost, found.stuck, found.uncertain) == (2, 3, 3, 1)
    assert sum("has no end" in each for each in found.wrong) == 5, "nobody moved them to the ends they are said to have"


def test_a_decision_that_is_gone_is_lost(somewhere):
    cafe = Cafe(somewhere.db)
    gone = cafe.message()
    with somewhere.db.begin() as conn:
        conn.execute(delete(audit))
        conn.execute(delete(dispatches).where(dispatches.c.id == gone))
    assert reconcile(somewhere.db, {}, {"gone": gone}).lost == 1


def test_a_database_that_is_damaged_is_seen_to_be():
    with place("sqlite") as somewhere:
        Cafe(somewhere.db).message()
        somewhere.db.dispose()
        file = somewhere.root / "regulars.db"
        raw = bytearray(file.read_bytes())
        raw[4096 * 3 : 4096 * 3 + 8] = b"\xff" * 8
        file.write_bytes(raw)
        assert integrity(somewhere.db)


def test_rows_add_up_and_say_whether_they_held():
    one = Tally.of("x", 3, Counts(uncertain=2), note="a")
    assert one.held
    assert not (one + Tally.of("x", 1, Counts(lost=1))).held
    assert not Tally.of("x", 3, Counts(uncertain=4)).held
    assert not Tally.of("x", 3, Counts(uncertain=1), allowed=0).held
    assert not Tally.of("x", 3, Counts(wrong=("integrity",))).held
    both = one + Tally.of("x", 5, Counts(uncertain=1), note="b", allowed=1)
    assert (both.tries, both.uncertain, both.window, both.note) == (8, 3, 4, "a; b")


def test_what_was_asked_for_comes_before_a_faults_own_number():
    assert Scale().pick(5, 100) == 5
    assert Scale(everything=True).pick(5, 100) == 100
    assert Scale(everything=True, tries=7).pick(5, 100) == 7


def test_a_line_of_the_table_has_all_its_columns():
    assert line(["kill", 1, 0, 0, 0, 1, "0.5"]).count("|") == 6
