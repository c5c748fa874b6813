"""Replays the trail: is the history of every dispatch a path of the table of transitions?

Rows of ``audit`` are read in the order in which they were written, which for one dispatch is that of its moves: each is
inserted while its row is locked. A trail without a ``begin`` row began as pending, or ended as it was written: blocked,
or too late. What began as held has one, and so has all that an older Regulars left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal, NamedTuple

from sqlalchemy import Connection, select

from engine.database.tables import audit, dispatches, matches
from engine.dispatch.states import BEGIN, FINAL, INITIAL, INSIDE, MOVE, TRANSITIONS, Transition
from engine.dispatch.tallies import COUNTED

#: Of ``dispatch.md``: accepted at most once; what was accepted is known to be; what is not so known was not; it ends.
Invariant = Literal["I1", "I2", "I3", "I4"]

#: So many dispatches are looked at in one go.
PORTION = 1_000


class Moved(NamedTuple):
    """One row of the trail of one dispatch. A ``begin`` row has no ``before`` and no ``who``."""

    before: str | None
    after: str | None
    who: str | None
    token: int | None
    row: int = 0  #: of ``audit``
    actor: str = ""
    at: datetime | None = None

    @property
    def begins(self) -> bool:
        """Tell whether the trail begins here, with a state instead of a move."""
        return self.before is None


class Standing(NamedTuple):
    """How a dispatch stands now."""

    id: int
    state: str
    lease_token: int
    finished: bool
    channel: str
    at_once: bool  #: its end is the moment of its match


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in a sentence without personal data; with one dispatch, or (None) with what the sentence names."""

    dispatch_id: int | None
    invariant: str
    said: str


def check(conn: Connection) -> Iterator[Problem]:
    """Replay the trail of every dispatch; give what is wrong. To be asked in one snapshot while others are at work."""
    for stands, moves in histories(conn):
        yield from problems(stands, moves)
    yield from without_a_dispatch(conn)


def problems(stands: Standing, moves: Sequence[Moved]) -> Iterator[Problem]:
    """Give what is wrong with one history."""
    for invariant, said in replay(stands, moves):
        yield Problem(stands.id, invariant, said)


def histories(conn: Connection, *, portion: int = PORTION) -> Iterator[tuple[Standing, list[Moved]]]:
    """Read how every dispatch stands and its trail, ``portion`` at a time, in the order of their ids."""
    d, last = dispatches.c, 0
    at_once = d.finished_at.is_not_distinct_from(matches.c.matched_at)
    columns = (d.id, d.state, d.lease_token, d.finished_at.is_not(None), d.channel, at_once)
    query = select(*columns).join(matches, matches.c.id == d.match_id).order_by(d.id).limit(portion)
    while rows := conn.execute(query.where(d.id > last)).all():
        first, last = last, rows[-1].id
        trails = _trails(conn, first, last)
        for row in rows:
            stands = Standing(*row)
            yield stands, trails.get(stands.id, [])


def _trails(conn: Connection, after: int, last: int) -> dict[int, list[Moved]]:
    a = audit.c
    rows = conn.execute(
        select(a.dispatch_id, a.before, a.after, a.who, a.token, a.id, a.actor, a.at)
        .where(a.dispatch_id > after, a.dispatch_id <= last, a.action.in_((MOVE, BEGIN)))
        .order_by(a.dispatch_id, a.id)
    )
    found: dict[int, list[Moved]] = {}
    for number, *told in rows:
        found.setdefault(number, []).append(Moved(*told))
    return found


def without_a_dispatch(conn: Connection) -> Iterator[Problem]:
    """Give what the trail knows of and the outbox does not: rows are never deleted."""
    a, d = audit.c, dispatches.c
    gone = ~select(d.id).where(d.id == a.dispatch_id).exists()
    rows = conn.scalars(
        select(a.dispatch_id).where(a.action.in_((MOVE, BEGIN)), a.dispatch_id.is_not(None), gone).order_by(a.id)
    )
    for number, _ in groupby(rows):
        yield Problem(number, "I4", "the trail knows of it, and the outbox does not")


def replay(stands: Standing, moves: Iterable[Moved]) -> Iterator[tuple[Invariant, str]]:
    """Follow one trail from the beginning to how the dispatch stands; give an invariant and a sentence a problem."""
    walk = _Walk(stands)
    for each in moves:
        yield from walk.begin(each) if each.begins else walk.step(each)
    yield from walk.arrive()


@dataclass
class _Walk:
    """Where a trail has led so far."""

    stands: Standing
    state: str | None = None  #: None: no row yet
    token: int = 0
    handed: bool = False  #: it was handed over, and nothing has taken that back
    fenced: int = 0  #: the token of the last hand-over

    def begin(self, row: Moved) -> Iterator[tuple[Invariant, str]]:
        if self.state is not None:
            yield "I4", "its trail begins twice"
        self.state, self.token = row.after, row.token or 0
        self.handed = row.after in COUNTED
        self.fenced = self.token if self.handed else 0

    def step(self, row: Moved) -> Iterator[tuple[Invariant, str]]:
        """Take one move."""
        touches = "handoff" in (row.before, row.after)
        if self.state is None and row.before != "pending":
            yield "I1" if touches else "I4", f"its first move is from {row.before}, and nothing says that it began so"
        elif self.state is not None and row.before != self.state:
            yield "I1" if touches else "I4", f"it went from {row.before} to {row.after}, and it was {self.state}"
        allowed = _TABLE.get((row.before, row.after))
        if allowed is None:
            yield "I1" if touches else "I4", f"it went from {row.before} to {row.after}, which nobody may do"
        elif row.who not in allowed.who:
            yield "I1" if touches else "I4", f"{row.who} moved it from {row.before} to {row.after}, and may not"
        yield from self._channel(row)
        yield from self._tokens(row)
        yield from self._handed_over(row)
        self.state = row.after

    def _channel(self, row: Moved) -> Iterator[tuple[Invariant, str]]:
        inside = self.stands.channel in INSIDE
        if (row.before, row.after) == ("claimed", "sent") and not inside:
            yield "I2", "it was called sent without the fence"
        elif row.after == "handoff" and inside:
            yield "I1", "a step inside the database was handed over"

    def _tokens(self, row: Moved) -> Iterator[tuple[Invariant, str]]:
        """A claim has a token of its own; whatever moves it until the next claim bears that one.

        What the journal knew of a restored database brings along the tokens that were used since the backup.
        """
        wanted = self.token + (row.after == "claimed")
        if row.who == "reconciler" and row.after == "uncertain":
            wanted = max(wanted + (row.before == "uncertain"), row.token or 0)
        if row.token != wanted:
            yield "I1", f"the move from {row.before} to {row.after} bears token {row.token} instead of {wanted}"
        self.token = wanted if row.token is None else row.token

    def _handed_over(self, row: Moved) -> Iterator[tuple[Invariant, str]]:
        """Twice only after a definite "not now", or after a person has decided."""
        if row.after == "handoff":
            if self.handed:
                yield "I1", "it was handed over again, and nobody had said that the first time came to nothing"
            if self.fenced == self.token:
                yield "I1", f"two hand-overs bear token {self.token}"
            self.fenced = self.token
        if row.after in COUNTED:
            self.handed = True
        elif row.after == "pending" and (row.before, row.who) in _TAKEN_BACK:
            self.handed = False

    def arrive(self) -> Iterator[tuple[Invariant, str]]:
        """Compare with how the dispatch stands."""
        now = self.stands
        if self.state is None and not (now.state == "pending" or (now.state in INITIAL & FINAL and now.at_once)):
            yield "I3" if now.state not in COUNTED else "I2", f"it is {now.state}, and no move led there"
        elif self.state is not None and now.state != self.state:
            invariant: Invariant = "I3" if self.state in COUNTED else "I2" if now.state in COUNTED else "I4"
            yield invariant, f"it is {now.state}, and its trail ends in {self.state}"
        if now.lease_token != self.token:
            yield "I1", f"it has token {now.lease_token}, and its trail ends with {self.token}"
        if now.finished != (now.state in FINAL):
            is_or_not = "has an end" if now.finished else "has no end"
            yield "I4", f"it is {now.state} and {is_or_not}"


#: (from, who): the ways to ``pending`` by which a message that was handed over may be so again.
_TAKEN_BACK = frozenset({("handoff", "holder"), ("uncertain", "staff"), ("dead", "staff")})
#: The table, asked with what stands in a trail.
_TABLE: Mapping[tuple[str | None, str | None], Transition] = {
    (before, after): one for (before, after), one in TRANSITIONS.items()
}
