"""The next messages are made while the disk is waited for: by a thread of their own, one at a time, in their order."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Event, main_thread
from threading import current_thread as this_thread

import pytest
from sqlalchemy import event

from engine.dispatch import batches
from engine.dispatch.stages import send_due

from .test_groups import Post, clock, home, waiting
from .world import a_desk

__all__ = ["clock", "home"]  # fixtures
IN_ORDER = [f"guest{number}" for number in range(1, 10)]


class AtOnce(Executor):
    """Does what it is given before it gives it back."""

    def submit(self, fn, /, *args, **kwargs):
        done = Future()
        done.set_result(fn(*args, **kwargs))
        return done


class Refused(Executor):
    """The machine has no thread left."""

    def submit(self, *_, **__):
        raise RuntimeError("can't start new thread")


class Slow(Executor):
    """Is done when somebody waits for it, and not before."""

    under_way = most = 0

    def submit(self, fn, /, *args, **kwargs):
        slow = self
        slow.under_way += 1
        slow.most = max(slow.most, slow.under_way)

        class Waiting(Future):
            def result(self, timeout=None):  # noqa: ARG002 (the real one's)
                slow.under_way -= 1
                return fn(*args, **kwargs)

        return Waiting()


def watched(desk, monkeypatch, each: Callable[[int], None]):
    """Have ``each`` told the dispatch of every message that has been made."""
    really = desk.composer.compose

    def compose(draft, together, at):
        message = really(draft, together, at)
        each(together[0].id)
        return message

    monkeypatch.setattr(desk.composer, "compose", compose)


def with_aside(cafe, home, clock, monkeypatch, aside, *, most=2):
    """Give a desk, its post, what is made and, for each record in the journal, how many messages were made before."""
    monkeypatch.setattr(batches, "ThreadPoolExecutor", lambda max_workers: aside)  # noqa: ARG005 (the real one's)
    post, made, seen = Post(most=most), [], []
    desk = a_desk(cafe, home, clock, email=post)
    watched(desk, monkeypatch, made.append)
    really = desk.journal.note
    monkeypatch.setattr(desk.journal, "note", lambda *args, **how: (seen.append(len(made)), really(*args, **how)))
    return desk, post, made, seen


def left(post):
    return [name for group in post.groups for name in group]


def test_the_next_message_is_made_by_another_thread_before_the_fence_is_committed(cafe, home, clock, monkeypatch):
    made, by, fences, at_the_fence = [], [], iter(range(1, 5)), False
    ids, post = waiting(cafe, 4), Post(most=1)
    third = Event()  # two are ready at the first fence
    desk = a_desk(cafe, home, clock, email=post)

    def note(number):
        made.append(number)
        by.append(this_thread())
        if number == ids[2]:
            third.set()

    def ask():
        nonlocal at_the_fence
        at_the_fence = next(fences) == 1

    def commit(_):
        nonlocal at_the_fence
        if at_the_fence:
            at_the_fence = False
            assert third.wait(30)

    watched(desk, monkeypatch, note)
    post.before_fence = ask
    event.listen(cafe.db, "commit", commit)
    assert send_due(desk).to_json() == {"sent": 4}
    assert made == ids
    assert [each is main_thread() for each in by] == [True, True, False, False]


@pytest.mark.parametrize(("most", "before"), [(1, [3, 4, 5, 6, 7, 8, 9, 9, 9]), (2, [6, 8, 9, 9, 9])])
def test_of_a_group_another_one_is_made_while_the_journal_is_written(cafe, home, clock, monkeypatch, *, most, before):
    desk, post, _, seen = with_aside(cafe, home, clock, monkeypatch, AtOnce(), most=most)
    waiting(cafe, 9)
    send_due(desk)
    assert seen == before  # of a group that leaves, the one after it, and as many of the next
    assert left(post) == IN_ORDER


@pytest.mark.parametrize("aside", [Slow(), Refused()])
def test_where_the_other_thread_is_late_or_there_is_none_each_is_made_once_in_its_turn(
    cafe, home, clock, monkeypatch, aside
):
    desk, post, made, seen = with_aside(cafe, home, clock, monkeypatch, aside)
    ids = waiting(cafe, 9)
    assert send_due(desk).to_json() == {"sent": 9}
    assert made == ids
    assert left(post) == IN_ORDER
    assert seen == [4, 6, 8, 9, 9]  # nobody at the fence waits for it
    assert getattr(aside, "most", 1) == 1
