"""Threads that share a database and take turns: at each statement and each commit one of them, by chance, goes on.

What orders them is a conductor, never a sleep: each actor stops before it sends anything to the database, and one at
a time is let go until it stops again, ends, or waits for a lock of the database (the database is asked whether it
does). So the order of the commits is known, and a seed gives the same order again, as far as waiting for locks lets it.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event, text

_HERE = threading.local()
#: After so long without a word of an actor the database is asked whether it waits; in seconds.
_PATIENCE = 0.002
_BLOCKED = text("SELECT cardinality(pg_blocking_pids(:pid))")


@dataclass
class Actor:
    """One thread. ``ended`` is what it raised, or None."""

    name: str
    act: Callable[[], object]
    score: Score
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    pid: int | None = None
    writing: bool = False  #: inside a transaction
    done: bool = False
    ended: BaseException | None = None

    def run(self) -> None:
        _HERE.actor = self
        self.stop("begin")
        try:
            self.act()
        except BaseException as error:  # noqa: BLE001 (the test looks at it)
            self.ended = error
        finally:
            _HERE.actor = None
            self.done = True
            self.score.heard.put((self, "end"))

    def stop(self, where: str) -> None:
        self.score.heard.put((self, where))
        self.go.acquire()


@dataclass
class Score:
    """What happened, in order: (actor, what). ``commit`` stands where the actor was let go to commit."""

    heard: queue.SimpleQueue[tuple[Actor, str]] = field(default_factory=queue.SimpleQueue)
    moments: list[tuple[str, str]] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Write down that the actor of this thread did something."""
        self.moments.append((_HERE.actor.name, what))

    def first(self, name: str, what: str) -> int | None:
        """Give the place of the first such moment."""
        return next((place for place, each in enumerate(self.moments) if each == (name, what)), None)


@contextmanager
def listening(db: Engine) -> Iterator[None]:
    """Let actors stop before each statement and each commit of theirs on this database."""

    def before_statement(conn: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        actor = getattr(_HERE, "actor", None)
        if actor is None:
            return
        if db.dialect.name == "postgresql":
            actor.pid = conn.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
        actor.stop(statement)
        actor.writing = True

    def before_commit(_: Connection) -> None:
        actor = getattr(_HERE, "actor", None)
        if actor is not None:
            actor.stop("commit")

    def over(_: Connection) -> None:
        actor = getattr(_HERE, "actor", None)
        if actor is not None:
            actor.writing = False

    heard = (("before_cursor_execute", before_statement), ("commit", before_commit), ("rollback", over))
    for name, listener in heard:
        event.listen(db, name, listener)
    try:
        yield
    finally:
        for name, listener in heard:
            event.remove(db, name, listener)


def play(
    db: Engine, watch: Connection, chance: random.Random, score: Score, **acts: Callable[[], object]
) -> list[Actor]:
    """Let these act, in an order that ``chance`` makes; ``watch`` is a connection of its own, to ask who waits.

    One has a lead of some steps, and whoever has the word keeps it for a while: so they meet anywhere on their ways.
    """
    actors = [Actor(name, act, score) for name, act in acts.items()]
    threads = [threading.Thread(target=each.run, daemon=True) for each in actors]
    for thread in threads:
        thread.start()
    ready: dict[str, str] = {}
    running = {each.name: each for each in actors}
    while len(ready) < len(actors):
        actor, where = score.heard.get()
        ready[actor.name] = where
    running = {}
    last, lead, keeps = chance.choice(actors), chance.randrange(40), chance.choice((0.5, 0.8, 0.95))
    while ready or running:
        _listen(db, watch, score, ready, running)
        if not ready:
            continue
        waiting = [each for each in actors if each.name in ready]
        lead -= 1
        if last not in waiting or (lead < 0 and chance.random() > keeps):
            last = chance.choice(waiting)
        where = ready.pop(last.name)
        if where == "commit":
            score.moments.append((last.name, "commit"))
            last.writing = False
        running[last.name] = last
        last.go.release()
    for thread in threads:
        thread.join()
    return actors


def _listen(db: Engine, watch: Connection, score: Score, ready: dict[str, str], running: dict[str, Actor]) -> None:
    """Hear those who were let go until each has stopped, ended, or waits for a lock that another holds."""
    while running:
        try:
            actor, where = score.heard.get(timeout=_PATIENCE)
        except queue.Empty:
            if all(_waits(db, watch, each, ready) for each in running.values()) and ready:
                return
            continue
        del running[actor.name]
        if where != "end":
            ready[actor.name] = where


def _waits(db: Engine, watch: Connection, actor: Actor, ready: dict[str, str]) -> bool:
    """Tell whether it waits for a lock; SQLite has one for all, and whoever is not running holds it."""
    if db.dialect.name == "sqlite":
        return bool(ready)
    return bool(watch.scalar(_BLOCKED, {"pid": actor.pid})) if actor.pid is not None else False
