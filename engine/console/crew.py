"""Several workers on this machine: processes, each with a database connection and mail connection of its own.

They claim from the one outbox, past each other's rows, so it makes no difference which of them sends what. This process
sends nothing meanwhile: it adds up what they say, and frees at once what a worker that died had under way.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import not_, or_, select

from engine.console import exits
from engine.console.session import Clock, Session
from engine.database.complaints import DatabaseUnavailable, explain
from engine.database.engines import open_db
from engine.database.tables import dispatches
from engine.dispatch import abandoned, outbox
from engine.dispatch.desk import Desk, Summary, open_desk
from engine.dispatch.journal import JournalError
from engine.dispatch.stages import add_freed, lay_down, work
from engine.vocabulary.home import load_home

#: So long may workers take to end their message after Ctrl-C; then they are killed, and what they had out is uncertain.
GRACE: Final = 10.0
#: So many messages are worth another worker.
SHARE: Final = 50


@dataclass
class Part(Summary):
    """What a worker did since it last said so."""

    ended: list[int] = field(default_factory=list)  #: the dispatches that it counted, but for those that wait again
    steps: int = 0  #: dispatches that are done; 0: the rest is said at the end
    holder: str = ""  #: the name of its leases
    claimed: int = 0  #: messages claimed: said before any of them leaves

    def count(self, dispatch_id: int, state: str) -> None:
        """Count one dispatch."""
        super().count(dispatch_id, state)
        if state != "pending":
            self.ended.append(dispatch_id)


@dataclass(frozen=True)
class Failed:
    """Why a worker could not go on, in words."""

    what: Literal["database", "journal", "bug"]
    said: str


class _StopError(Exception):
    """The others want no more, or are gone."""


@dataclass(frozen=True)
class Crew:
    """Sends what is due by up to ``workers`` processes; what one alone has soon done, this one does itself."""

    workers: int
    root: Path
    environ: Mapping[str, str] = field(repr=False)
    clock: Clock
    rehearsal: bool = False

    @classmethod
    def of(cls, session: Session, workers: int, clock: Clock, *, rehearsal: bool) -> Crew:
        """Make the crew of a home."""
        return cls(workers, session.home.root, dict(session.environ), clock, rehearsal)

    def __call__(self, desk: Desk, limit: int | None) -> None:
        """Send up to ``limit`` messages that are due; it all stands in the desk's summary.

        Raises ``DatabaseUnavailable`` and ``JournalError`` where that kept a worker from its work.
        """
        due = _due(desk, self.workers * SHARE if limit is None else min(limit, self.workers * SHARE))
        count = min(self.workers, -(-due // SHARE))
        if count <= 1:
            work(desk, limit)
            return
        shares = [None if limit is None else limit // count + (number < limit % count) for number in range(count)]
        hands = [_Hand.start(self, share) for share in shares]
        failures: list[Failed] = []
        try:
            self._listen(desk, hands, failures, limit)
        except BaseException:
            self._call_off(desk, hands)
            raise
        if failures:
            desk.recognise()  # if that is what ails them, it is said here once
        self._tell(desk, failures, len(hands))

    def _listen(self, desk: Desk, hands: list[_Hand], failures: list[Failed], limit: int | None) -> None:
        """Add up what the workers say until all have ended."""
        busy = {hand.pipe: hand for hand in hands}
        died, spent = False, 0
        while busy:
            for ready in wait(list(busy)):
                hand = busy[ready]  # type: ignore[index]
                said = hand.heard()
                if isinstance(said, Part):
                    desk.summary.add(said, said.ended)
                    desk.progress(said.steps)
                    hand.add(said)
                    spent += said.messages
                elif isinstance(said, Failed):
                    failures.append(said)
                else:
                    del busy[hand.pipe]
                    unheard = self._ended(desk, hand)
                    died |= unheard is not None
                    spent += unheard or 0
        if died:  # what was freed, where nobody else is left to take it up
            work(desk, None if limit is None else max(limit - spent, 0))

    @staticmethod
    def _ended(desk: Desk, hand: _Hand) -> int | None:
        """See how a worker ended: free at once what it had, and say so, unless it was done.

        Gives of one that died how many messages it may have handed over unheard; None: it did not die.
        """
        hand.process.join()
        hand.pipe.close()
        with desk.db.begin() as conn:
            kept = outbox.not_handed(conn, hand.holder)
            freed = abandoned.rescue(conn, desk.now())
            is_free = not outbox.not_handed(conn, hand.holder)
        add_freed(desk, freed)
        code = hand.process.exitcode or 0
        if code < 0:
            uncertain = f"; {freed['uncertain']} may have been delivered" if freed["uncertain"] else ""
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            free = f"was freed at once{uncertain}" if is_free else "is taken up by a later run, in 15 minutes"
            desk.summary.problem(f"A worker was ended from outside ({name}). What it had under way {free}.")
        return max(hand.under_way - kept, 0) if code < 0 else None

    @staticmethod
    def _call_off(desk: Desk, hands: list[_Hand]) -> None:
        """Let all end their message, kill who does not, and free what they had."""
        for hand in hands:
            hand.pipe.close()  # they see it after the message under way
        for hand in hands:
            hand.process.join(GRACE)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
        with desk.db.begin() as conn:
            add_freed(desk, abandoned.rescue(conn, desk.now()))

    @staticmethod
    def _tell(desk: Desk, failures: list[Failed], workers: int) -> None:
        for each in failures:
            if each.what == "bug":
                desk.summary.problem(each.said)
        kept = [each for each in failures if each.what != "bug"]
        if len(kept) == workers:
            raise (JournalError if kept[0].what == "journal" else DatabaseUnavailable)(kept[0].said)
        for each in kept:
            desk.summary.problem(f"A worker could not go on, and the others did its work. {each.said}")


@dataclass
class _Hand:
    """A worker, seen from the process that made it."""

    process: BaseProcess
    pipe: Pipe
    holder: str = ""  #: the name of its leases; empty: it has claimed nothing
    under_way: int = 0  #: messages that it claimed, and has not said to be done

    @classmethod
    def start(cls, crew: Crew, limit: int | None) -> _Hand:
        context = multiprocessing.get_context("spawn")  # a fork would share the database's connections
        mine, its = context.Pipe()
        process = context.Process(target=serve, args=(its, crew, limit), daemon=True)
        process.start()
        its.close()
        return cls(process, mine)

    def add(self, said: Part) -> None:
        """Keep what it said of its claims."""
        self.holder = said.holder or self.holder
        self.under_way += said.claimed - said.messages

    def heard(self) -> Part | Failed | None:
        """Give what it says next; None: nothing more will come."""
        try:
            said: Part | Failed = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return said


def serve(pipe: Pipe, crew: Crew, limit: int | None) -> None:
    """Work in a process of its own. Ctrl-C is for the process that made it, and the end of that ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        home = load_home(crew.root, crew.environ)
        db = open_db(home.config.database_url)
        try:
            desk = open_desk(db, home, now=crew.clock, rehearsal=crew.rehearsal, sleep=time.sleep)
            desk.summary = Part()
            desk.progress = lambda count: _report(pipe, desk, count)
            desk.claimed = lambda count: _say(pipe, Part(holder=desk.holder, claimed=count))
            try:
                _work(desk, limit)
                _say(pipe, desk.summary)
            finally:
                desk.close()
        finally:
            db.dispose()
    except _StopError:
        return
    except Exception as error:  # noqa: BLE001 (the last net: the other process says it)
        _say(pipe, _failure(error, crew.clock()))


def _work(desk: Desk, limit: int | None) -> None:
    try:
        work(desk, limit, batch=SHARE)  # more at once would leave none for the others
    except BaseException:
        lay_down(desk)
        raise


def _report(pipe: Pipe, desk: Desk, count: int) -> None:
    """Say what was done since, and look whether anybody listens."""
    part, desk.summary = desk.summary, Part()
    assert isinstance(part, Part)
    part.steps = count
    _say(pipe, part)
    if pipe.poll():  # nothing is ever written to a worker: it is the end of the line
        raise _StopError


def _say(pipe: Pipe, said: object) -> None:
    try:
        pipe.send(said)
    except OSError:
        raise _StopError from None


def _failure(error: Exception, now: datetime) -> Failed:
    if isinstance(error, JournalError):
        return Failed("journal", str(error))
    said = explain(error)
    if said is not None:
        return Failed("database", said)
    _, told = exits.end(error, command="dispatch", now=now, color=False)
    return Failed("bug", f"A worker could not go on. {told}")


def _due(desk: Desk, most: int) -> int:
    """Count what is due on channels that are open, up to ``most``."""
    at, d = desk.now(), dispatches.c
    shut = or_(d.channel.in_(sorted(desk.unusable)), outbox.channel_shut(at), outbox.stopped())
    waits = select(d.id).where(d.state == "pending", d.due_at <= at, d.expires_at > at, not_(shut))
    with desk.db.begin() as conn:
        return len(conn.scalars(waits.limit(most)).all())
