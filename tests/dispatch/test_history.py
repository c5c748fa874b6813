"""The checker of histories: every walk through the table passes, and every single lie about one is found."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, update

from connectors.base import Outcome
from engine.database.tables import audit, dispatches
from engine.dispatch import history, outbox, states
from engine.dispatch.abandoned import rescue
from engine.dispatch.history import Moved, Standing, replay
from engine.dispatch.stages import send_due

from .whole import MORNING, evaluated
from .world import NOW, Clock, Sink, a_desk, a_home

EVERYONE = ("worker", "holder", "anyone", "staff", "engine", "reconciler")
LONGEST = 20
#: A message does not skip the fence, as steps inside the database do; and one move has a test of its own.
WAYS = sorted(
    (way, move)
    for way, move in states.TRANSITIONS.items()
    if way not in {("claimed", "sent"), ("uncertain", "uncertain")}
)


def a_walk(chance: random.Random) -> tuple[Standing, list[Moved]]:
    """What a message may live through. What begins as held says so."""
    state, token, moves = chance.choice(("pending", "held")), 0, []
    if state == "held":
        moves.append(Moved(None, "held", None, 0))
    for _ in range(chance.randrange(LONGEST)):
        possible = [(after, move.who) for (before, after), move in WAYS if before == state]
        if not possible:
            break
        after, who = chance.choices(possible, [1 if after in states.FINAL else 5 for after, _ in possible])[0]
        token += after == "claimed"
        mover = chance.choice(sorted(who))
        if (mover, after) == ("reconciler", "uncertain"):
            token += chance.randrange(3)  # what was used before a backup came back
        moves.append(Moved(state, after, mover, token))
        state = after
    return Standing(1, state, token, state in states.FINAL, "email", False), moves


def found(stands, moves):
    return [invariant for invariant, _ in replay(stands, moves)]


@given(st.integers(0, 2**32))
def test_every_walk_through_the_table_is_a_history(seed):
    stands, moves = a_walk(random.Random(seed))
    assert found(stands, moves) == []


def lies(chance, stands, moves):
    """Every kind of single change to a history, with the history that it makes."""
    steps = [number for number, move in enumerate(moves) if not move.begins]
    state = chance.choice(sorted(set(states.FINAL | {*states.OPEN, "handoff"}) - {stands.state}))
    yield "state", stands._replace(state=state), moves
    yield "state and its end", stands._replace(state=state, finished=state in states.FINAL), moves
    yield "token", stands._replace(lease_token=stands.lease_token + chance.choice((-1, 1))), moves
    yield "end", stands._replace(finished=not stands.finished), moves
    for number in steps:
        move, rest = moves[number], (moves[:number], moves[number + 1 :])
        yield "dropped", stands, [*rest[0], *rest[1]]
        yield "twice", stands, [*rest[0], move, move, *rest[1]]
        strangers = sorted(set(EVERYONE) - states.TRANSITIONS[move.before, move.after].who)
        yield "who", stands, [*rest[0], move._replace(who=chance.choice(strangers)), *rest[1]]
        yield "nobody", stands, [*rest[0], move._replace(who=None), *rest[1]]
        wrong = move.token + chance.choice((-2, -1, 1, 2))
        yield "token of a move", stands, [*rest[0], move._replace(token=wrong), *rest[1]]
        yield "no token", stands, [*rest[0], move._replace(token=None), *rest[1]]
        other = number + 1
        if other < len(moves) and moves[other] != move:
            yield "swapped", stands, [*rest[0], moves[other], move, *moves[other + 1 :]]


@given(st.integers(0, 2**32))
def test_every_single_lie_about_a_history_is_found(seed):
    chance = random.Random(seed)
    for what, stands, moves in lies(chance, *a_walk(chance)):
        assert found(stands, moves), what


def test_what_was_uncertain_when_the_backup_was_made_may_only_gain_tokens():
    def of(token):
        moves = [Moved(None, "uncertain", None, 1), Moved("uncertain", "uncertain", "reconciler", token)]
        return found(Standing(1, "uncertain", token, True, "email", False), moves)

    assert [of(token) for token in (0, 1, 2, 5)] == [["I1"], ["I1"], [], []]


def test_the_walks_are_worth_lying_about():
    walks = [a_walk(random.Random(seed))[1] for seed in range(4_000)]
    taken = {(move.before, move.after) for walk in walks for move in walk if not move.begins}
    assert taken == {way for way, _ in WAYS}
    assert sum(sum(move.after == "handoff" for move in walk) > 1 for walk in walks) > 20


CLAIM, FENCE = Moved("pending", "claimed", "worker", 1), Moved("claimed", "handoff", "holder", 1)


@pytest.mark.parametrize(
    ("moves", "state", "invariant", "said"),
    [
        (
            [
                *(CLAIM, FENCE, Moved("handoff", "pending", "anyone", 1), Moved("pending", "claimed", "worker", 2)),
                *(Moved("claimed", "handoff", "holder", 2), Moved("handoff", "sent", "holder", 2)),
            ],
            "sent",
            "I1",
            "it was handed over again, and nobody had said that the first time came to nothing",
        ),
        ([CLAIM, FENCE, Moved("handoff", "sent", "holder", 1)], "pending", "I3", "it is pending, and its trail ends"),
        ([CLAIM, Moved("claimed", "sent", "holder", 1)], "sent", "I2", "it was called sent without the fence"),
        ([CLAIM], "claimed", None, ""),
        ([], "sent", "I2", "it is sent, and no move led there"),
        ([], "blocked", None, ""),
        ([Moved(None, "uncertain", None, 4), Moved("uncertain", "pending", "staff", 4)], "pending", None, ""),
        ([Moved(None, "held", None, 0), Moved(None, "held", None, 0)], "held", "I4", "its trail begins twice"),
        (
            [Moved(None, "handoff", None, 1), Moved("claimed", "handoff", "holder", 1)],
            "handoff",
            "I1",
            "two hand-overs bear token 1",
        ),
    ],
)
def test_each_problem_says_what_is_wrong(moves, state, invariant, said):
    token = max((move.token for move in moves), default=0)
    told = list(replay(Standing(7, state, token, state in states.FINAL, "email", True), moves))
    if invariant is None:
        assert told == []
    else:
        assert any(each[0] == invariant and each[1].startswith(said) for each in told)


def test_a_coupon_is_done_in_its_claim_and_never_handed_over():
    stands = Standing(1, "sent", 1, True, "coupon", False)
    assert found(stands, [CLAIM, Moved("claimed", "sent", "holder", 1)]) == []
    assert found(stands, [CLAIM, FENCE, Moved("handoff", "sent", "holder", 1)]) == ["I1"]


def wrong(db):
    with db.begin() as conn:
        return [(each.dispatch_id, each.invariant) for each in history.check(conn)]


def test_what_the_engine_does_is_a_history(cafe, tmp_path):
    """Sent, refused, put off, unanswered, abandoned, expired, cancelled and queued again by staff."""
    ids = [cafe.message() for _ in range(8)]
    cafe.message(expires_at=NOW - timedelta(hours=1))
    answers = [
        Outcome("sent", "250"),
        Outcome("no", "550 5.1.1", endpoint="hard"),
        Outcome("not_now", "451"),
        Outcome("unknown", "timeout at dot"),
        Outcome("not_now", "early 451"),
        Outcome("sent", "early 250"),
    ]
    clock = Clock()
    send_due(a_desk(cafe, a_home(tmp_path), clock, email=Sink(answers)))
    clock.at += timedelta(minutes=30)
    unsure = [number for number in ids if cafe.state(number) == "uncertain"]
    with cafe.db.begin() as conn:
        outbox.requeue(conn, "uncertain", unsure[:1], actor="Dana", now=clock.at)
        outbox.acknowledge(conn, unsure[1:], actor="Dana", now=clock.at)
    send_due(a_desk(cafe, a_home(tmp_path), clock, email=Sink([Outcome("not_now", "451")])))
    with cafe.db.begin() as conn:
        rescue(conn, clock.at)
        handed = select(audit.c.dispatch_id).where(audit.c.after == "handoff").group_by(audit.c.dispatch_id)
        twice = conn.scalars(handed.having(func.count() > 1)).all()
    assert twice
    assert wrong(cafe.db) == []


def test_what_evaluation_holds_and_a_person_approves_is_a_history(db, home):
    evaluated(db, home)
    with db.begin() as conn:
        first = conn.execute(select(audit).where(audit.c.dispatch_id.is_not(None)).order_by(audit.c.id)).all()
    assert (first[0].action, first[0].after, first[-1].before, first[-1].who) == ("begin", "held", "held", "staff")
    assert wrong(db) == []
    with db.begin() as conn:
        conn.execute(delete(audit).where(audit.c.id == first[-1].id))
    assert wrong(db) == [(first[-1].dispatch_id, "I4")]
    assert first[0].at == MORNING


def test_rows_changed_by_hand_are_found_in_the_database(cafe, tmp_path):
    ids = [cafe.message() for _ in range(4)]
    send_due(a_desk(cafe, a_home(tmp_path), Clock()))
    assert wrong(cafe.db) == []
    cafe.set(ids[1], state="pending", finished_at=None)
    with cafe.db.begin() as conn:
        conn.execute(update(audit).where(audit.c.dispatch_id == ids[2], audit.c.after == "handoff").values(who="staff"))
        moved = {"action": "move", "actor": "x", "who": "staff", "before": "dead", "after": "pending", "token": 1}
        conn.execute(insert(audit).values(at=NOW, dispatch_id=99_999, **moved))
    assert wrong(cafe.db) == [(ids[1], "I3"), (ids[2], "I1"), (99_999, "I4")]


def test_the_trail_is_read_in_portions(cafe, tmp_path):
    ids = [cafe.message() for _ in range(7)]
    send_due(a_desk(cafe, a_home(tmp_path), Clock()))
    with cafe.db.begin() as conn:
        read = list(history.histories(conn, portion=3))
        assert conn.scalar(select(func.count()).select_from(dispatches)) == 7
    assert [stands.id for stands, _ in read] == ids
    assert all([move.after for move in moves] == ["claimed", "handoff", "sent"] for _, moves in read)
