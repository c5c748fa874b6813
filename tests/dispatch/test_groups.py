"""Several messages at the fence together: each passes or not by itself, and what goes wrong with one harms no other."""

import sqlite3
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from connectors.base import BEHIND, Outcome, nothing
from engine.database.tables import audit, channels, customers, payloads
from engine.dispatch import groups
from engine.dispatch.history import check
from engine.dispatch.journal import JournalError, records
from engine.dispatch.stages import send_due
from engine.dispatch.standing import Standing

from .test_lost_answers import lose
from .world import NOW, Clock, Sink, a_desk, a_home

__all__ = ["lose"]  # a fixture
SIXTEEN_MINUTES = timedelta(minutes=16)
SENT = Outcome("sent", "250", provider_id="q1")


class KilledError(BaseException):
    """Stands for a worker that is gone at once."""


@dataclass
class Post(Sink):
    """A mail server that is written to over several connections; ``becomes`` tells what becomes of a recipient."""

    most: int = 3
    becomes: dict[str, Outcome] = field(default_factory=dict)  #: before the fence where its code begins with early
    groups: list[list[str]] = field(default_factory=list)
    after_fence: object = None

    def send_group(self, messages, handoff, upcoming=(), meanwhile=nothing):  # noqa: ARG002 (the contract's)
        assert len(messages) <= self.most
        self.groups.append([each.recipient.partition("@")[0] for each in messages])
        ends = [self.becomes.get(name, SENT) for name in self.groups[-1]]
        ready = [place for place, each in enumerate(ends) if not each.code.startswith("early ")]
        self.before_fence()
        may = handoff(ready) if ready else ()
        meanwhile()
        if self.after_fence:
            self.after_fence()
        self.accepted += [
            messages[place] for place in ready if place in may and ends[place].kind in {"sent", "unknown"}
        ]
        no = Outcome("not_now", "fence", counts_attempt=False)
        return [end if place in may or place not in ready else no for place, end in enumerate(ends)]


@pytest.fixture
def home(tmp_path):
    return a_home(tmp_path)


@pytest.fixture
def clock():
    return Clock()


def waiting(cafe, number):
    """Give the messages to so many guests, guest1 and so on."""
    return [cafe.message(guest) for guest in [cafe.guest() for _ in range(number)]]


def names(post):
    return sorted(each.recipient.partition("@")[0] for each in post.accepted)


def test_a_group_has_one_commit_and_one_record_and_the_answers_come_with_the_next(cafe, home, clock):
    made = waiting(cafe, 5)
    post = Post()
    post.before_fence = lambda: seen.append([cafe.state(each) for each in made])
    seen = []
    assert send_due(a_desk(cafe, home, clock, email=post)).to_json() == {"sent": 5}
    assert post.groups == [["guest1", "guest2", "guest3"], ["guest4", "guest5"]]
    assert seen == [["claimed"] * 5, ["handoff"] * 3 + ["claimed"] * 2]
    assert [each.dispatch_id for each in records(home.root / "journal")] == made
    row = cafe.row(made[0])
    assert (row.provider_id, row.provider_reply, row.attempts, row.handed_at, row.rescues) == ("q1", "250", 1, NOW, 0)
    with cafe.db.begin() as conn:
        assert list(check(conn)) == []
        assert len(conn.execute(select(payloads)).all()) == 5
        moves = conn.scalars(select(audit.c.dispatch_id).where(audit.c.after == "handoff").order_by(audit.c.id)).all()
    assert moves == made


def test_an_opt_out_and_an_erasure_that_commit_meanwhile_stop_just_those(cafe, home, clock):
    guests = [cafe.guest() for _ in range(4)]
    made = [cafe.message(each) for each in guests]
    post = Post(most=4)

    def meanwhile():
        cafe.opt_out(guests[1].email_id)
        with cafe.db.begin() as conn:
            conn.execute(update(customers).where(customers.c.id == guests[2].id).values(erased_at=NOW))

    post.before_fence = meanwhile
    assert send_due(a_desk(cafe, home, clock, email=post)).to_json() == {"blocked": 2, "sent": 2}
    assert [cafe.outcome(each) for each in made] == ["sent", "blocked: no_consent", "blocked: erased", "sent"]
    assert names(post) == ["guest1", "guest4"]
    assert len(list(records(home.root / "journal"))) == 2


def test_what_ends_before_or_after_the_fence_ends_so_for_one(cafe, home, clock):
    made = waiting(cafe, 4)
    post = Post(most=4)
    post.becomes = {
        "guest1": Outcome("no", "early 550 5.1.1", endpoint="hard"),
        "guest2": Outcome("unknown", "dropped at dot", channel="failure"),
        "guest3": Outcome("not_now", "451"),
    }
    send_due(a_desk(cafe, home, clock, email=post))
    told = [cafe.outcome(each) for each in made]
    assert told == ["rejected: no_such_address", "uncertain: no_answer", "pending: not_now", "sent"]


def test_where_the_journal_cannot_be_written_none_of_the_group_leaves(cafe, home, clock, monkeypatch):
    made, post = waiting(cafe, 5), Post()
    desk = a_desk(cafe, home, clock, email=post)
    really, asked = desk.journal.note, []

    def full(*args, **how):
        asked.append(None)
        if len(asked) == 2:
            raise JournalError("the disk is full")
        really(*args, **how)

    monkeypatch.setattr(desk.journal, "note", full)
    with pytest.raises(JournalError):
        send_due(desk)
    assert [cafe.state(each) for each in made] == ["sent"] * 3 + ["pending"] * 2
    assert names(post) == ["guest1", "guest2", "guest3"]


@pytest.mark.parametrize("made", [[True], [False], [False, True]])
def test_a_lost_answer_to_the_commit_lets_each_go_once(cafe, home, lose, clock, made):
    messages, post = waiting(cafe, 6), Post()
    post.before_fence = lambda: lose(*made) if len(post.groups) == 2 else None
    assert send_due(a_desk(cafe, home, clock, email=post)).to_json() == {"sent": 6}
    assert [cafe.state(each) for each in messages] == ["sent"] * 6
    assert names(post) == [f"guest{number}" for number in range(1, 7)]
    with cafe.db.begin() as conn:
        assert list(check(conn)) == []


@pytest.mark.parametrize("stands", [False, True], ids=["no commit", "a commit whose answer is lost"])
def test_a_database_that_is_away_at_the_fence_is_waited_for_where_answers_wait_too(cafe, home, clock, lose, stands):
    made, post = waiting(cafe, 6), Post()
    post.before_fence = lambda: lose(stands, *[False] * 6) if len(post.groups) == 2 else None
    assert send_due(a_desk(cafe, home, clock, email=post)).to_json() == {"sent": 6}
    assert [cafe.state(each) for each in made] == ["sent"] * 6
    assert len(names(post)) == 6


def test_a_lease_that_is_lost_is_that_ones_alone(cafe, home, clock):
    made, post = waiting(cafe, 3), Post()
    post.before_fence = lambda: cafe.set(made[1], lease_token=7)
    send_due(a_desk(cafe, home, clock, email=post))
    assert [cafe.state(each) for each in made] == ["sent", "claimed", "sent"]
    assert names(post) == ["guest1", "guest3"]


@pytest.mark.parametrize("where", ["before_fence", "after_fence"])
def test_a_worker_that_is_gone_in_the_middle_sends_nothing_twice(cafe, home, clock, where, monkeypatch):
    made, post = waiting(cafe, 6), Post()

    def die():
        if len(post.groups) == 2:
            raise KilledError

    setattr(post, where, die)
    monkeypatch.setattr("engine.dispatch.stages.write_late", lambda _: None)  # the dead write nothing
    with pytest.raises(KilledError):
        send_due(a_desk(cafe, home, clock, email=post))
    clock.at += SIXTEEN_MINUTES
    again = Post()
    send_due(a_desk(cafe, home, clock, email=again))
    told = [cafe.state(each) for each in made]
    assert told == (["uncertain"] * 3 + ["sent"] * 3 if where == "before_fence" else ["sent"] * 3 + ["uncertain"] * 3)
    assert len(names(post) + names(again)) == len(set(names(post) + names(again)))
    with cafe.db.begin() as conn:
        assert list(check(conn)) == []


def test_what_kills_its_worker_is_found_alone_in_a_batch(cafe, home, clock, monkeypatch):
    made = waiting(cafe, 6)
    for _ in range(6):
        desk = a_desk(cafe, home, clock, email=Post())
        really = desk.composer.compose

        def compose(draft, together, at, really=really):
            if together[0].id == made[2]:
                raise KilledError
            return really(draft, together, at)

        monkeypatch.setattr(desk.composer, "compose", compose)
        try:
            send_due(desk)
            break
        except KilledError:
            clock.at += SIXTEEN_MINUTES
    assert [cafe.outcome(each) for each in made] == ["sent", "sent", "dead: poison", "sent", "sent", "sent"]


def test_answers_that_wait_are_written_down_where_a_question_to_the_database_ends_the_work(
    cafe, home, clock, monkeypatch
):
    made, desk = waiting(cafe, 8), a_desk(cafe, home, clock, email=Post())
    really = desk.composer.compose

    def compose(draft, together, at):
        if together[0].id == made[6]:
            raise OperationalError("", {}, sqlite3.OperationalError("database is locked"))
        return really(draft, together, at)

    monkeypatch.setattr(desk.composer, "compose", compose)
    with pytest.raises(OperationalError):
        send_due(desk)
    assert [cafe.state(each) for each in made] == ["sent"] * 3 + ["claimed"] * 5


def test_what_cannot_be_prepared_with_the_others_is_tried_alone(cafe, home, clock, monkeypatch):
    made, post = waiting(cafe, 3), Post()
    monkeypatch.setattr(Standing, "of_all", lambda *_, **__: 1 // 0)
    send_due(a_desk(cafe, home, clock, email=post))
    assert [cafe.state(each) for each in made] == ["sent"] * 3
    assert (post.groups, post.asked) == ([], 3)


def test_what_was_rolled_back_with_the_others_is_counted_once(cafe, home, clock, monkeypatch):
    made = waiting(cafe, 3)
    cafe.opt_out(cafe.row(made[1]).endpoint_id)
    desk = a_desk(cafe, home, clock, email=Post())
    monkeypatch.setattr(desk.composer, "read_all", lambda *_: 1 // 0)
    assert send_due(desk).to_json() == {"blocked": 1, "sent": 2}
    assert [cafe.state(each) for each in made] == ["sent", "blocked", "sent"]


def test_what_the_fence_refused_is_counted_also_where_the_journal_cannot_be_written(cafe, home, clock, monkeypatch):
    made, post = waiting(cafe, 3), Post()
    desk = a_desk(cafe, home, clock, email=post)
    post.before_fence = lambda: cafe.opt_out(cafe.row(made[1]).endpoint_id)

    def full(*_, **__):
        raise JournalError("the disk is full")

    monkeypatch.setattr(desk.journal, "note", full)
    with pytest.raises(JournalError):
        send_due(desk)
    assert [cafe.state(each) for each in made] == ["pending", "blocked", "pending"]
    assert desk.summary.to_json() == {"blocked": 1}


def test_a_bug_at_the_fence_of_a_group_is_tried_with_each_alone(cafe, home, clock, monkeypatch):
    made, post = waiting(cafe, 3), Post()
    monkeypatch.setattr(groups, "pass_together", lambda *_, **__: 1 // 0)
    desk = a_desk(cafe, home, clock, email=post)
    send_due(desk)
    assert [cafe.state(each) for each in made] == ["sent"] * 3
    assert [cafe.row(each).attempts for each in made] == [1, 1, 1]
    assert desk.summary.problems == ["The connector for email failed (ZeroDivisionError): please report it."]


def test_one_that_was_slower_than_its_group_goes_alone_and_nothing_is_against_it(cafe, home, clock):
    made, post = waiting(cafe, 3), Post()
    really = post.send_group

    def send_group(messages, handoff, upcoming=(), meanwhile=nothing):
        late = next((place for place, each in enumerate(messages) if each.recipient.startswith("guest2@")), None)
        if late is None:
            return really(messages, handoff, upcoming, meanwhile)
        rest = [place for place in range(len(messages)) if place != late]
        ends = really(
            [messages[each] for each in rest], lambda asked: [rest.index(each) for each in handoff(rest)] and asked
        )
        return [*ends[:late], BEHIND, *ends[late:]]

    post.send_group = send_group
    send_due(a_desk(cafe, home, clock, email=post))
    assert [cafe.outcome(each) for each in made] == ["sent"] * 3
    assert (post.asked, [cafe.row(each).attempts for each in made]) == (1, [1, 1, 1])
    with cafe.db.begin() as conn:
        assert conn.execute(select(channels)).all() == []


def test_a_channel_that_is_shut_meanwhile_lets_no_other_group_begin(cafe, home, clock):
    made = waiting(cafe, 12)  # two groups are ready, one is made meanwhile, and one is not yet made
    post = Post(becomes={f"guest{n}": Outcome("not_now", "early 421", channel="breaker") for n in range(1, 4)})
    send_due(a_desk(cafe, home, clock, email=post))
    assert len(post.groups) == 1
    assert {cafe.state(each) for each in made} == {"pending"}
    assert [cafe.row(each).rescues for each in made] == [0] * 12


@pytest.mark.parametrize(
    ("noted", "after"),
    [({"failures": 3}, (0, 0, None)), ({"refusals": 3}, (0, 0, None)), ({"rate": 30}, (0, 0, 34))],
    ids=["failures", "refusals", "a rate"],
)
def test_a_yes_to_a_group_ends_what_is_noted_against_its_channel(cafe, home, clock, noted, after):
    with cafe.db.begin() as conn:
        conn.execute(channels.insert().values(channel="email", rated_at=NOW - timedelta(hours=1), **noted))
    made = waiting(cafe, 4)
    send_due(a_desk(cafe, home, clock, email=Post()))
    assert [cafe.state(each) for each in made] == ["sent"] * 4
    with cafe.db.begin() as conn:
        assert conn.execute(select(channels.c.failures, channels.c.refusals, channels.c.rate)).one() == after


def test_a_yes_of_the_same_group_does_not_open_what_a_refusal_has_shut(cafe, home, clock):
    made = waiting(cafe, 6)
    post = Post(becomes={"guest1": Outcome("no", "550 5.7.1", channel="breaker")})
    send_due(a_desk(cafe, home, clock, email=post))
    assert len(post.groups) == 1
    assert [cafe.state(each) for each in made] == ["rejected", "sent", "sent", "pending", "pending", "pending"]


def test_a_yes_that_is_written_late_does_not_open_what_another_worker_has_shut(cafe, home, clock):
    made, post = waiting(cafe, 6), Post()

    def shut():
        if len(post.groups) == 2:
            with cafe.db.begin() as conn:
                conn.execute(channels.insert().values(channel="email", failures=5, open_until=NOW + timedelta(hours=1)))

    post.before_fence = shut
    send_due(a_desk(cafe, home, clock, email=post))
    assert [cafe.state(each) for each in made] == ["sent"] * 3 + ["pending"] * 3
    with cafe.db.begin() as conn:
        assert conn.scalar(select(channels.c.open_until)) == NOW + timedelta(hours=1)


def test_a_lease_begins_anew_when_a_message_is_handed_over(cafe, home, clock):
    made, post = waiting(cafe, 4), Post()
    leases = []

    def slow():
        clock.at += timedelta(minutes=8)

    post.before_fence = slow
    post.after_fence = lambda: leases.append(cafe.row(made[0 if not leases else 3]).leased_until - clock.at)
    assert send_due(a_desk(cafe, home, clock, email=post)).to_json() == {"sent": 4}
    assert leases == [timedelta(minutes=15)] * 2


def test_the_lease_of_one_that_goes_alone_begins_anew_too(cafe, home, clock):
    message, sink, leases = cafe.message(), Sink(), []

    def send(_, handoff):
        clock.at += timedelta(minutes=8)
        assert handoff()
        leases.append(cafe.row(message).leased_until - clock.at)
        return SENT

    sink.send = send
    assert send_due(a_desk(cafe, home, clock, email=sink)).to_json() == {"sent": 1}
    assert leases == [timedelta(minutes=15)]


def test_whoever_listens_may_end_the_work_after_each_group(cafe, home, clock):
    made, post = waiting(cafe, 9), Post()
    desk, told = a_desk(cafe, home, clock, email=post), []

    def listen(count):
        told.append(count)
        if len(told) == 2:
            raise KilledError

    desk.progress = listen
    with pytest.raises(KilledError):
        send_due(desk)
    assert (told, desk.summary.messages) == ([3, 3], 6)
    assert [cafe.state(each) for each in made] == ["sent"] * 6 + ["claimed"] * 3
