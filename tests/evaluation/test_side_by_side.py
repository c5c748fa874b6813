"""Rules of a run side by side, on PostgreSQL: they decide what they would one after another, and queue in their order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from threading import Event, Thread
from typing import Any

import pytest
from postgres_server import PostgresServer
from small_world import CONFIG, Cafe, home_of
from sqlalchemy import select, text
from test_runs import BIRTHDAY, DAY, MONDAY

from engine.database.complaints import DatabaseUnavailable
from engine.database.engines import break_off, hang_up, open_db
from engine.database.tables import dispatches, matches, rules, runs
from engine.evaluation import abreast, runner

#: So many seconds a test waits for what comes at once, before it fails.
SOON = 60


@pytest.fixture
def cafe(postgres_url: str) -> Iterator[Cafe]:
    """Three guests have their birthday."""
    db = open_db(postgres_url)
    cafe = Cafe(db)
    for _ in range(3):
        cafe.guest(birthday=504)
    yield cafe
    db.dispose()


class Stages:
    """Stops rules on their way: what is done before one looks for its guests, after that, and before it queues."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before: dict[str, Callable[[], object]] = {}
        self.found: dict[str, Callable[[], object]] = {}
        self.queues: dict[str, Callable[[Any], object]] = {}
        self._names: dict[int, str] = {}
        look, count, write = runner.writing_matches, runner.Balance.judged, runner.write_dispatches

        def looking(conn: Any, rule: Any, scope: Any, rows: Any, *given: Any, **options: Any) -> Any:
            self._names[rows.rule] = rule.id
            self.before.get(rule.id, bool)()
            return look(conn, rule, scope, rows, *given, **options)

        def counting(balance: Any) -> Any:
            self.found.get(self._names[balance.rule_row], bool)()
            return count(balance)

        def writing(conn: Any, queue: Any) -> None:
            self.queues.get(queue.rule.id, bool)(conn)
            write(conn, queue)

        monkeypatch.setattr(runner, "writing_matches", looking)
        monkeypatch.setattr(runner.Balance, "judged", counting)
        monkeypatch.setattr(runner, "write_dispatches", writing)


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    return Stages(monkeypatch)


def named(name: str, more: str = "") -> str:
    """Give the birthday rule by another name."""
    return f"id: {name}\n{BIRTHDAY.split(chr(10), 1)[1]}{more}"


def queued(cafe: Cafe) -> list[str]:
    """Give the rule of each dispatch, in the order of these."""
    asked = select(rules.c.rule).join(matches, matches.c.rule_id == rules.c.id)
    asked = asked.join(dispatches, dispatches.c.match_id == matches.c.id).order_by(dispatches.c.id)
    with cafe.db.connect() as conn:
        return list(conn.scalars(asked))


def soon(event: Event) -> None:
    assert event.wait(SOON)


def idle_limit(conn: Any) -> str:
    return str(conn.scalar(text("SHOW idle_in_transaction_session_timeout")))


def test_rules_look_at_once_and_queue_in_their_order(cafe: Cafe, stages: Stages) -> None:
    found, limits = Event(), {}
    stages.before["a"] = lambda: soon(found)  # the first looks for nobody before the last has found everybody
    stages.found["c"] = found.set
    stages.queues["a"] = lambda conn: limits.update(a=idle_limit(conn))
    stages.queues["c"] = lambda conn: limits.update(c=idle_limit(conn))
    result = cafe.run(named("a"), named("b"), named("c"), now=MONDAY, workers=3)
    assert [(rule.rule, rule.matched) for rule in result.rules] == [("a", 3), ("b", 3), ("c", 3)]
    assert queued(cafe) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    assert limits == {"a": "10min", "c": "0"}  # who waits for others of the run is not ended for it


def test_a_rule_that_waits_for_its_turn_keeps_nobody_from_approving_it(
    cafe: Cafe, monkeypatch: pytest.MonkeyPatch
) -> None:
    approved = list[str]()

    def approving() -> None:
        with cafe.db.begin() as conn:
            asked = select(rules.c.rule).where(rules.c.rule == "b").with_for_update(nowait=True)
            approved.extend(conn.scalars(asked))

    cafe.run(named("a"), named("b"), now=MONDAY - DAY)
    when_it_waits(monkeypatch, 1, approving)
    cafe.run(named("a"), named("b"), now=MONDAY, workers=2)
    assert approved == ["b"]
    assert queued(cafe) == ["a"] * 3 + ["b"] * 3


def test_no_more_rules_look_at_once_than_there_are_workers(cafe: Cafe, stages: Stages) -> None:
    now, most, lock = set(), [0], threading.Lock()

    def looks() -> None:
        with lock:
            now.add(threading.get_ident())
            most[0] = max(most[0], len(now))

    names = "abcde"
    stages.before |= dict.fromkeys(names, looks)
    cafe.run(*map(named, names), now=MONDAY, workers=2)
    assert 1 <= most[0] <= 2
    assert queued(cafe) == [name for name in names for _ in range(3)]


WAITS = "messages:\n{0}  state: waiting\n{0}  at_least: 1\n"
SEGMENT = f"waiting:\n  conditions:\n    {WAITS.format(' ' * 4)}"
IN_SEGMENT = "conditions:\n  segment: waiting\n"
ASKING = {
    "a condition": (f"conditions:\n  {WAITS.format('  ')}", {}, ("act", 3)),
    "a group": (f"conditions:\n  any:\n    - {WAITS.format(' ' * 6)}    - tag: never\n", {}, ("act", 3)),
    "a segment": (IN_SEGMENT, {"segments": SEGMENT}, ("act", 3)),
    "whom the home excludes": (
        "",
        {"config": f"{CONFIG}exclude:\n  {WAITS.format('  ')}"},
        ("excluded", 3),
    ),
}


def when_it_waits(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], object]) -> None:
    """Do this when the rule of this number (from 0) comes to where it waits for its turn."""
    come = abreast._Place.come

    def coming(self: Any) -> None:
        if self._number == number:
            do()
        come(self)

    monkeypatch.setattr(abreast._Place, "come", coming)


def hold_the_first(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the rule "a" until "b" waits for its turn, or has looked without waiting."""
    goes = Event()
    stages.before["a"] = lambda: soon(goes)
    stages.found["b"] = goes.set
    when_it_waits(monkeypatch, 1, goes.set)


@pytest.mark.parametrize("how", ASKING)
def test_a_rule_that_asks_what_waits_sees_what_the_rules_before_it_queue(
    cafe: Cafe, stages: Stages, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    more, around, (what, number) = ASKING[how]
    cafe.home = home_of(**{"config": CONFIG, **around})
    hold_the_first(stages, monkeypatch)
    first, second = cafe.run(named("a"), named("b", more), now=MONDAY, workers=2).rules
    assert first.act == 3
    assert {"act": second.act, **second.refused}[what] == number


def test_so_does_one_whose_trigger_does(cafe: Cafe, stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    cafe.home = home_of(CONFIG, SEGMENT.replace("waiting", "blocked"))
    enters = "id: b\ntrigger:\n  enters: blocked\n"
    cafe.run(enters, now=MONDAY - DAY)
    by_sms = named("a", "actions:\n  - sms: hello\n  - email: hello\n")  # nobody has a phone
    hold_the_first(stages, monkeypatch)
    first, second = cafe.run(by_sms, enters, now=MONDAY, workers=2).rules
    assert (first.matched, second.matched) == (3, 3)


def test_a_bug_in_one_rule_stays_its_own(cafe: Cafe, stages: Stages) -> None:
    def breaks() -> None:
        raise KeyError

    stages.before["b"] = breaks
    with_bug = cafe.run(*map(named, "abc"), now=MONDAY, workers=3, balanced=False)
    assert [(type(rule.bug), rule.matched) for rule in with_bug.rules] == [
        (type(None), 3),
        (KeyError, 0),
        (type(None), 3),
    ]
    assert queued(cafe) == ["a"] * 3 + ["c"] * 3


def test_of_what_is_everybodys_trouble_the_rules_before_it_have_queued_and_none_after_it_does(
    cafe: Cafe, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, trouble = Event(), Event()

    def breaks() -> None:
        soon(found)
        trouble.set()
        raise DatabaseUnavailable("The disk is full.")

    stages.before["a"] = lambda: soon(trouble)
    stages.before["b"] = breaks
    stages.found["c"] = found.set
    ended = list[str]()
    evaluate, end = runner._Evaluation._evaluate, abreast._Line.end
    monkeypatch.setattr(runner._Evaluation, "_evaluate", _noting(evaluate, ended, through := Event()))

    def ending(line: Any, number: int) -> None:
        if number == 0:
            soon(through)  # the run is late to hear of it, and the third rule is through
        end(line, number)

    monkeypatch.setattr(abreast._Line, "end", ending)
    threads = threading.active_count()
    with pytest.raises(DatabaseUnavailable):
        cafe.run(*map(named, "abcd"), now=MONDAY, workers=3)
    assert queued(cafe) == ["a"] * 3
    assert "c BrokenOff" in ended
    assert {row.rule for row in cafe.rows(rules) if row.watermark is not None} == {"a"}
    assert [row.state for row in cafe.rows(runs)] == ["running"]
    assert threading.active_count() == threads


def test_where_the_server_has_few_connections_left_fewer_rules_look_at_once(
    postgres_server: PostgresServer, cafe: Cafe
) -> None:
    role, url = f"few_{cafe.db.url.database}", cafe.db.url
    postgres_server.run(f'CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 2')
    with cafe.db.begin() as conn:
        conn.execute(text(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"'))
        conn.execute(text(f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{role}"'))
    few = Cafe(open_db(url.set(username=role).render_as_string(hide_password=False)))
    with few.db.connect():  # the run's own, which holds its lock
        result = few.run(*map(named, "abcde"), now=MONDAY, workers=4)
    few.db.dispose()
    assert [rule.matched for rule in result.rules] == [3] * 5
    assert queued(cafe) == [name for name in "abcde" for _ in range(3)]


def test_an_interrupt_breaks_off_what_is_under_way_and_leaves_nothing_of_it(
    cafe: Cafe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second rule's statement waits for a row that somebody else holds, the third for its turn."""
    cafe.run(*map(named, "abc"), now=MONDAY - DAY)
    ended, third = list[str](), Event()
    when_it_waits(monkeypatch, 2, third.set)
    evaluate = runner._Evaluation._evaluate
    monkeypatch.setattr(runner._Evaluation, "_evaluate", _noting(evaluate, ended))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with cafe.db.begin() as other:
            other.execute(select(rules.c.id).where(rules.c.rule == "b").with_for_update())
            Thread(target=_interrupt_once_it_waits, args=(cafe, third), daemon=True).start()
            with pytest.raises(KeyboardInterrupt):
                cafe.run(*map(named, "abc"), now=MONDAY, workers=3)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(ended) == ["b QueryCanceled", "c BrokenOff"]
    assert queued(cafe) == ["a"] * 3


def test_after_an_interrupt_nobody_has_a_turn_anymore(
    cafe: Cafe, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rule cannot be broken off, as it asks the database nothing; the second waits for its turn."""
    second, interrupted = Event(), Event()
    when_it_waits(monkeypatch, 1, second.set)

    def queueing(_: Any) -> None:
        soon(second)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        soon(interrupted)

    def ending(asked: Any, _: Any) -> None:
        interrupted.set()
        wait(asked)

    stages.queues["a"] = queueing
    monkeypatch.setattr(abreast, "_end", ending)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            cafe.run(*map(named, "ab"), now=MONDAY, workers=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert queued(cafe) == ["a"] * 3


def test_a_server_that_does_not_break_off_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, told = Future[Any](), list[Any]()

    class Deaf:
        def interrupt(self, how: Any) -> None:
            told.append(how)
            if how is hang_up:
                under_way.set_result(None)

    monkeypatch.setattr(abreast, "wait", lambda *_, **__: None)
    abreast._end([under_way], [Deaf()])
    assert told == [break_off] * 5 + [hang_up]


def test_who_is_through_early_lets_nobody_pass() -> None:
    line, waited = abreast._Line(3), list[str]()
    line.leave(1)

    def goes() -> None:
        waited.append("for the first")
        line.leave(0)

    line.wait(2, goes)
    assert waited == ["for the first"]


def _interrupt_once_it_waits(cafe: Cafe, third: Event) -> None:
    soon(third)
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with cafe.db.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        while not (conn.scalar(waiting) and conn.scalar(select(dispatches.c.id).limit(1))):
            pass
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _noting(evaluate: Callable[..., Any], ended: list[str], third: Event | None = None) -> Callable[..., Any]:
    """Note how a rule fails, and say when the one of the name "c" is through."""

    def noted(self: Any, conn: Any, rule: Any, *given: Any) -> Any:
        try:
            return evaluate(self, conn, rule, *given)
        except Exception as error:
            ended.append(f"{rule.id} {type(getattr(error, 'orig', error)).__name__}")
            raise
        finally:
            if third is not None and rule.id == "c":
                third.set()

    return noted
