"""What was answered at the fence of the messages before: it stands while nobody has written, and not one moment longer."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from engine.database.engines import open_db
from engine.database.stillness import state_of
from engine.database.tables import customers, rules, switch
from engine.dispatch import standing
from engine.dispatch.stages import send_due

from .test_groups import Post, names, waiting
from .world import NOW, Cafe, Clock, a_desk, a_home


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def asked(monkeypatch):
    """Note of how many messages is asked each time."""
    found = []
    really = standing.may_go

    def may_go(conn, claims, *args, **how):
        found.append(len(claims))
        return really(conn, claims, *args, **how)

    monkeypatch.setattr(standing, "may_go", may_go)
    return found


@pytest.fixture
def other(cafe):
    """Somebody else at the same database, over a connection of their own."""
    db = open_db(cafe.db.url)
    yield Cafe(db)
    db.dispose()


def in_turn(*then):
    """Give what does the next of these before each fence."""
    left = [*then]

    def one():
        if left:
            left.pop(0)()

    return one


def nothing():
    """Do nothing before a fence."""


def sent(cafe, home, post, clock=None):
    send_due(a_desk(cafe, home, clock or Clock(), email=post))
    return names(post)


def test_all_are_asked_when_they_are_prepared_and_not_again(cafe, home, asked):
    waiting(cafe, 7)
    assert len(sent(cafe, home, Post())) == 7
    assert asked == ([7] if cafe.db.dialect.name == "sqlite" else [])  # PostgreSQL cannot tell, and asks each group


def test_in_another_second_they_are_asked_again(cafe, home, asked):
    waiting(cafe, 7)
    clock = Clock()
    post = Post()
    post.before_fence = lambda: clock.sleep(0.6)
    assert len(sent(cafe, home, post, clock)) == 7
    assert asked == ([7, 4] if cafe.db.dialect.name == "sqlite" else [])


@pytest.mark.parametrize("whose", ["another connection's", "our own"])
@pytest.mark.parametrize("what", [(1, 4), (0, 4), (0, 1)])
def test_what_somebody_writes_between_two_fences_and_before_the_first_one_counts(cafe, other, home, whose, what):
    when, first = what
    guests = [cafe.guest() for _ in range(6)]
    made = [cafe.message(each) for each in guests]
    writer = cafe if whose == "our own" else other

    def meanwhile():
        writer.opt_out(guests[first].email_id)
        with writer.db.begin() as conn:
            conn.execute(update(customers).where(customers.c.id == guests[first + 1].id).values(erased_at=NOW))

    post = Post()
    post.before_fence = in_turn(*[nothing] * when, meanwhile)
    left = [f"guest{number + 1}" for number in range(6) if number not in {first, first + 1}]
    assert sent(cafe, home, post) == left
    assert [cafe.outcome(each) for each in made[first : first + 2]] == ["blocked: no_consent", "blocked: erased"]


def test_where_one_may_not_go_already_when_they_are_prepared_the_others_are_asked_again(cafe, home, asked):
    guests = [cafe.guest() for _ in range(3)]
    for each in guests:
        cafe.message(each)
    cafe.opt_out(guests[0].email_id)
    assert len(sent(cafe, home, Post())) == 2
    assert asked == ([3, 2] if cafe.db.dialect.name == "sqlite" else [])


def test_where_others_write_all_the_time_little_is_asked_ahead(cafe, other, home, asked):
    guests = [cafe.guest() for _ in range(20)]
    for each in guests[:14]:
        cafe.message(each)
    post = Post(most=2)
    post.before_fence = lambda: other.opt_out(guests[-1].email_id)
    assert len(sent(cafe, home, post)) == 14
    assert asked == ([14, 2, 6, 6, 6, 6, 4, 2] if cafe.db.dialect.name == "sqlite" else [])


def test_when_the_others_are_done_more_and_more_is_asked_ahead_again(cafe, other, home, asked):
    guests = [cafe.guest() for _ in range(20)]
    for each in guests[:19]:
        cafe.message(each)
    post = Post(most=2)
    post.before_fence = in_turn(nothing, lambda: other.opt_out(guests[-1].email_id))
    assert len(sent(cafe, home, post)) == 19
    assert asked == ([19, 6, 11] if cafe.db.dialect.name == "sqlite" else [])


@pytest.mark.parametrize("table", [switch, rules])
def test_the_button_and_a_rule_that_is_switched_off_count_between_two_fences(cafe, other, home, table):
    waiting(cafe, 6)

    def meanwhile():
        with other.db.begin() as conn:
            conn.execute(
                insert(switch).values(id=1, stopped_at=NOW) if table is switch else update(rules).values(active=False)
            )

    post = Post()
    post.before_fence = in_turn(nothing, meanwhile)
    assert len(sent(cafe, home, post)) == 3


def test_a_hand_over_counts_for_the_guests_and_the_inboxes_other_messages(cafe, home):
    first, shared = cafe.guest(), cafe.guest()
    partner = cafe.guest(email_id=shared.email_id)
    others = [cafe.guest() for _ in range(4)]
    made = [cafe.message(each) for each in (first, shared, others[0], others[1], first, partner, *others[2:])]
    assert len(sent(cafe, home, Post())) == 6
    assert [cafe.outcome(each) for each in made[4:6]] == ["pending: capped", "pending: capped"]


@pytest.mark.parametrize("between", [0, 3], ids=["at one fence", "at the next"])
def test_a_hand_over_counts_for_the_guests_message_to_another_inbox(cafe, home, between):
    """As where the address was changed between two rules."""
    guest = cafe.guest()
    made = [cafe.message(each) for each in (guest, *(cafe.guest() for _ in range(between)))]
    made.append(cafe.message(guest, endpoint_id=cafe.endpoint("email", "new@example.com")))
    sent(cafe, home, Post())
    assert [cafe.outcome(each) for each in made] == [*["sent"] * (1 + between), "pending: capped"]


def test_what_is_too_late_at_its_fence_stays(cafe, home):
    made = [cafe.message(expires_at=NOW + timedelta(seconds=seconds)) for seconds in (60, 60, 60, 5, 60)]
    clock, post = Clock(), Post()
    post.before_fence = in_turn(nothing, lambda: clock.sleep(9))
    sent(cafe, home, post, clock)
    assert [cafe.outcome(each) for each in made] == ["sent", "sent", "sent", "expired: late", "sent"]


def test_a_weeks_cap_counts_what_left_at_the_fence_before(cafe, home):
    cafe.caps.marketing_per_day = 5
    guest = cafe.guest()
    made = [cafe.message(each) for each in (guest, cafe.guest(), guest, guest, cafe.guest())]
    sent(cafe, home, Post(most=1))
    assert [cafe.outcome(each) for each in made] == ["sent", "sent", "sent", "blocked: capped", "sent"]


def test_what_another_transaction_of_ours_rolled_back_counts_as_written(cafe):
    with cafe.db.begin() as conn:
        before = state_of(conn)
    with cafe.db.connect() as conn:
        conn.execute(insert(switch).values(id=1, stopped_at=NOW))
        conn.rollback()
    with cafe.db.begin() as conn:
        assert state_of(conn) == before if before is None else state_of(conn) != before


def test_the_figures_of_one_connection_say_nothing_of_anothers(cafe, other):
    with cafe.db.begin() as conn:
        ours = state_of(conn)
    with other.db.begin() as conn:
        assert ours is None or state_of(conn) != ours
