"""Rules of one run side by side: whom each matches is found at once, what they queue is written in their order.

Whom a rule matches rests on nothing that another one matches in the same run. What is due at one moment goes out in the
order of its ids, and of two messages a cap lets the first through: so a rule queues once all before it are through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from queue import SimpleQueue
from threading import Condition
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from engine.database.complaints import is_full
from engine.database.engines import break_off, hang_up, sleep_on
from engine.evaluation.results import RuleResult
from engine.evaluation.turns import BrokenOff, Turn
from engine.language.rule import Rule

#: So many rules at most: of the fifteen connections that an engine opens the run itself has some.
MOST: Final = 12
#: Whoever goes on after an interrupt is told again after a second, as a statement may have begun meanwhile; who does
#: not hear it so often has a server that is gone.
_AGAIN, _TIMES = 1.0, 5


Evaluate = Callable[[Rule, AbstractContextManager[Connection], Turn], RuleResult]


def side_by_side(db: Engine, rules: Sequence[Rule], workers: int, evaluate: Evaluate) -> list[RuleResult]:
    """Evaluate the rules, up to ``workers`` at once; give the results in the order of the rules.

    ``evaluate`` begins the transaction that it is given. What it raises is raised here once the rules before it are
    through: those have queued, and none after it does. An interrupt ends them all; what was not committed is rolled
    back, and no thread is left.
    """
    line = _Line(len(rules))
    with _connections(db, min(workers, len(rules), MOST)) as opened, ThreadPoolExecutor(len(opened)) as pool:
        free = SimpleQueue[Connection]()
        for each in opened:
            free.put(each)
        places = [_Place(line, number, free) for number in range(len(rules))]
        asked = [pool.submit(place.take, evaluate, rule) for place, rule in zip(places, rules, strict=True)]
        try:
            return [each.result() for each in asked]
        except BaseException:
            line.end(0)
            pool.shutdown(wait=False, cancel_futures=True)
            _end(asked, places)
            raise


@contextmanager
def _connections(db: Engine, most: int) -> Iterator[list[Connection]]:
    """Open so many connections, or as many as the server still has, one at least.

    All before the first rule begins: one that found none left would be waited for by those after it, which have them.
    """
    with ExitStack() as opened:
        found = [opened.enter_context(db.connect())]
        try:
            while len(found) < most:
                found.append(opened.enter_context(db.connect()))
        except OperationalError as error:
            if not is_full(error):
                raise
        yield found


def _end(asked: Sequence[Future[RuleResult]], places: Sequence[_Place]) -> None:
    """Break off what is under way, and wait for its end."""
    told = 0
    while under_way := [each for each in asked if not each.done()]:
        for place in places:
            place.interrupt(hang_up if told == _TIMES else break_off)
        told += 1
        wait(under_way, timeout=_AGAIN)


class _Line:
    """Who is through of those who stand in line, by their numbers."""

    def __init__(self, length: int) -> None:
        self._moved = Condition()
        self._through: set[int] = set()
        self._first = 0  #: all before it are through
        self._end = length  #: from here on nobody's turn comes

    def wait(self, number: int, before: Callable[[], None]) -> None:
        """Wait until all before ``number`` are through; ``before`` is called if that has to be waited for."""
        with self._moved:
            stands = self._first < number
        if stands:
            before()
        with self._moved:
            self._moved.wait_for(lambda: self._first >= number)
            if number >= self._end:
                raise BrokenOff

    def leave(self, number: int) -> None:
        """Be through."""
        with self._moved:
            self._through.add(number)
            while self._first in self._through:
                self._first += 1
            self._moved.notify_all()

    def end(self, number: int) -> None:
        """Let nobody from ``number`` on have a turn."""
        with self._moved:
            self._end = min(self._end, number)


class _Place:
    """A turn in a line: all of it is for the thread that takes it, but for ``interrupt``."""

    def __init__(self, line: _Line, number: int, free: SimpleQueue[Connection]) -> None:
        self._line, self._number, self._free = line, number, free
        self._conn: Connection | None = None
        self._raw: Any = None  #: the driver's connection: SQLAlchemy's is not made for threads

    def take(self, evaluate: Evaluate, rule: Rule) -> RuleResult:
        """Evaluate a rule."""
        conn = self._free.get()
        try:
            return evaluate(rule, self._transaction(conn), self)
        except BaseException:
            self._line.end(self._number + 1)
            raise
        finally:
            self._free.put(conn)
            self._line.leave(self._number)

    @contextmanager
    def _transaction(self, conn: Connection) -> Iterator[Connection]:
        with conn.begin():
            self._conn, self._raw = conn, conn.connection.driver_connection
            try:
                yield conn
            finally:
                self._conn = self._raw = None

    def come(self) -> None:
        """Wait, also in a transaction, for as long as it takes."""
        conn = self._conn
        self._line.wait(self._number, lambda: None if conn is None else sleep_on(conn))

    def interrupt(self, how: Callable[[Any], None]) -> None:
        """Do this to the connection, if there is one."""
        raw = self._raw
        if raw is not None:
            how(raw)
