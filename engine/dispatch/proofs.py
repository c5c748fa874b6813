"""Proves the invariants anew from what is written down: each proof counts what it looked at and names what is wrong.

To be asked in one snapshot (``engines.snapshot``) while others are at work; the journal is read before it is taken.
Nothing is changed, and nothing is held in memory that grows with the guests, but eight bytes for each record of the
journal.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, not_, or_, select

from engine.database.months import begins, ends, month_of
from engine.database.retention import horizon
from engine.database.tables import (
    audit,
    budget_uses,
    coupons,
    delivery_events,
    dispatches,
    forgotten_months,
    matches,
    payloads,
    runs,
)
from engine.dispatch import history
from engine.dispatch.fence import UnreadableRuleError
from engine.dispatch.history import Moved, Problem, Standing
from engine.dispatch.instance import SETTLED
from engine.dispatch.journal import KEPT, TOKEN_BITS
from engine.dispatch.states import ANSWERED, BEGIN, FINAL, MOVE
from engine.dispatch.tallies import COUNTED, HOME, Tally
from engine.evaluation.permission import in_branches
from engine.language.rule import Rule

#: So many of the problems of one proof are kept; the others are counted.
NAMED = 20
#: What is over waits for the next run to end it; where none has come for so long, nobody calls it.
PATIENCE = timedelta(hours=26)
#: A hand-over as one number: the dispatch's, and so many bits for the token.
_BITS = TOKEN_BITS
#: The name of a journal, where the fence was passed by one who had it.
_NAMED = re.compile(r"[0-9a-f]{32}")


class Handed(Protocol):
    """A record of the journal, as far as it is asked here."""

    @property
    def dispatch_id(self) -> int:
        """The dispatch that was handed over."""
        ...

    @property
    def token(self) -> int:
        """The lease token of the hand-over."""
        ...

    @property
    def at(self) -> datetime:
        """When, aware."""
        ...


@dataclass(frozen=True, slots=True)
class Noted:
    """What the journal has, read before the snapshot that it is held against: what it knows, that must know too."""

    keys: array[int]  #: of every record, sorted
    first: datetime | None  #: when the first was written; None: there is none
    upto: int  #: the trail's last row before the reading: what was moved later it may not have yet

    @classmethod
    def read(cls, conn: Connection, journal: Iterable[Handed]) -> Noted:
        """Read records in any order. ``conn`` must be older than the snapshot that is proved."""
        upto = conn.scalar(select(func.max(audit.c.id))) or 0
        keys, first = array("q"), None
        for each in journal:
            keys.append(each.dispatch_id << _BITS | each.token)
            first = each.at if first is None else min(first, each.at)
        return cls(array("q", sorted(keys)), first, upto)


@dataclass
class Proof:
    """What was proved, or not. ``name`` is stable; ``invariant`` may be several, or none of them."""

    name: str
    invariant: str
    looked_at: str = ""  #: what, and how much of it
    wrong: int = 0
    problems: list[Problem] = field(default_factory=list)  #: the first ``NAMED`` of them
    notes: list[str] = field(default_factory=list)  #: what is not wrong, and yet worth a sentence

    def add(self, problem: Problem) -> None:
        """Count a problem."""
        self.wrong += 1
        if len(self.problems) < NAMED:
            self.problems.append(problem)

    def fault(self, dispatch_id: int | None, said: str, invariant: str = "") -> None:
        """Count a problem of this proof's (or the given) invariant."""
        self.add(Problem(dispatch_id, invariant or self.invariant, said))


RuleOf = Callable[[Connection, int], Rule]


def prove(
    conn: Connection,
    *,
    journal: Noted | None,
    rule: RuleOf,
    now: datetime,
    progress: Callable[[int], None],
    sender: str = "",
) -> Iterator[Proof]:
    """Give every proof in turn. ``journal``: this database's records; None: there is no journal.

    ``sender`` is the journal's name; ``rule`` gives the rule of a version, or raises ``UnreadableRuleError``;
    ``progress`` is told of dispatches done.
    """
    yield from _histories(conn, None if journal is None else _Beside.read(conn, journal, sender, now), progress)
    yield _ends(conn, now)
    yield _sums(conn, rule)
    yield _budgets(conn)
    yield _coupons(conn)
    yield _events(conn)
    yield _months(conn)


# ---------------------------------------------------------------------------------------------------------------------
# Histories, and the journal.


def _histories(conn: Connection, beside: _Beside | None, progress: Callable[[int], None]) -> Iterator[Proof]:
    path = Proof("histories", "I1")
    count = moved = 0
    for stands, moves in history.histories(conn):
        count += 1
        moved += len(moves)
        for problem in history.problems(stands, moves):
            path.add(problem)
        if beside is not None:
            beside.compare(stands, moves)
        if count % history.PORTION == 0:
            progress(history.PORTION)
    for problem in history.without_a_dispatch(conn):
        path.add(problem)
    path.looked_at = f"{count:,} steps, {moved:,} rows of their trails"
    yield path
    if beside is not None:
        yield beside.done()


@dataclass
class _Beside:
    """The journal, held against the trails. Both are gone through in the order of the dispatches."""

    noted: Noted
    settled: frozenset[tuple[int, int]]  #: what a person has settled after a restore: dispatch and token
    sender: str  #: the journal's name
    begins: int  #: the row of the trail after which each hand-over must stand in a journal
    kept: datetime  #: the moment from which on it keeps its records
    early: int = 0  #: hand-overs before that which it should have
    elsewhere: int = 0  #: hand-overs that stand in another machine's journal
    place: int = 0
    proof: Proof = field(default_factory=lambda: Proof("journal", "I2, I3"))

    @classmethod
    def read(cls, conn: Connection, noted: Noted, sender: str, now: datetime) -> _Beside:
        a = audit.c
        begins = conn.scalar(select(func.max(a.id)).where(a.action == "reconcile")) or 0
        known = conn.execute(select(a.dispatch_id, a.token).where(a.action == SETTLED, a.dispatch_id.is_not(None)))
        settled = frozenset((row.dispatch_id, row.token) for row in known)
        return cls(noted, settled, sender, begins, now - KEPT)

    def compare(self, stands: Standing, moves: Sequence[Moved]) -> None:
        keys = self.noted.keys
        first = bisect_left(keys, stands.id << _BITS, self.place)
        end = bisect_left(keys, stands.id + 1 << _BITS, first)
        self._unknown(keys[self.place : first])
        noted, self.place = {key & (1 << _BITS) - 1 for key in keys[first:end]}, end
        known = {move.token for move in moves if move.after in COUNTED}
        for token in sorted(token for token in noted - known if (stands.id, token) not in self.settled):
            said = f"it is {stands.state}; the journal knows of a hand-over with token {token}, its trail does not"
            self.proof.fault(stands.id, said, "I2" if stands.state in COUNTED else "I3")
        fences = {move.token: move for move in moves if move.before == "claimed" and move.after == "handoff"}
        for move in moves:
            answered = move.before == "handoff" and move.after in ANSWERED and move.who == "holder"
            fence = fences.get(move.token)
            if not answered or move.token in noted or fence is None or fence.at is None:
                continue
            if fence.row <= self.begins or fence.at < self.kept or move.row > self.noted.upto:
                continue
            if _NAMED.fullmatch(fence.actor) and fence.actor != self.sender:
                self.elsewhere += 1
            elif self.noted.first is None or fence.at < self.noted.first:
                self.early += 1
            else:
                said = f"it was handed over with token {move.token}, and the journal does not know of it"
                self.proof.fault(stands.id, said, "I2")

    def _unknown(self, keys: Iterable[int]) -> None:
        for key in keys:
            number, token = key >> _BITS, key & (1 << _BITS) - 1
            if (number, token) not in self.settled:
                said = "the journal knows that it was handed over, and the outbox has no such message"
                self.proof.fault(number, said, "I3")

    def done(self) -> Proof:
        keys = self.noted.keys
        self._unknown(keys[self.place :])
        for key, more in Counter(one for one, other in pairwise(keys) if one == other).items():
            said = f"the journal has it handed over {more + 1} times with token {key & (1 << _BITS) - 1}"
            self.proof.fault(key >> _BITS, said, "I1")  # a second try has another token
        if self.early:
            said = f"its beginning is missing: of {self.early:,} hand-overs before its first line it knows nothing"
            self.proof.fault(None, said, "I2")
        if self.elsewhere:
            said = f"{self.elsewhere:,} hand-overs stand in other machines' journals: call `regulars verify` there, too"
            self.proof.notes.append(said)
        self.proof.looked_at = f"{len(keys):,} records"
        return self.proof


# ---------------------------------------------------------------------------------------------------------------------
# What waits, and sums.


def _ends(conn: Connection, now: datetime) -> Proof:
    """Every decision is final, or waits for something that will end: its expiry, or its lease."""
    proof, d = Proof("ends", "I4"), dispatches.c
    totals = _by(conn, d.state)
    final = sum(count for state, count in totals.items() if state in FINAL)
    proof.looked_at = f"{final:,} steps done, {sum(totals.values()) - final:,} waiting"
    leased = d.state.in_(("claimed", "handoff"))
    over = case((leased, func.coalesce(d.leased_until, literal(0, d.leased_until.type))), else_=d.expires_at)
    waits = or_(leased, d.state.in_(("held", "pending")))
    reached = case((runs.c.as_of < runs.c.started_at, runs.c.as_of), else_=runs.c.started_at)  # one may be played
    looked = conn.scalar(select(func.max(reached)).where(runs.c.finished_at.is_not(None)))
    late = now - PATIENCE if looked is None else max(min(looked, now), now - PATIENCE)
    for row in conn.execute(select(d.id, d.state).where(waits, over <= late).order_by(d.id)):
        why = "its lease is over" if row.state in {"claimed", "handoff"} else "it is too late for it"
        proof.fault(row.id, f"it is {row.state}, {why}, and nothing has ended it")
    soon = conn.scalar(select(func.count()).where(waits, over > late, over <= now)) or 0
    if soon:
        proof.notes.append(f"the next run ends {soon:,} whose time is over")
    return proof


def _sums(conn: Connection, rule: RuleOf) -> Proof:
    """Each match has one verdict, a reason where it was refused, and where it acts all steps of the guest's own way."""
    proof, m, d = Proof("sums", "I4"), matches.c, dispatches.c
    verdicts = _by(conn, m.verdict)
    parts = conn.scalar(select(func.count()).select_from(dispatches)) or 0
    told = ", ".join(f"{verdicts.get(each, 0):,} {each}" for each in ("act", "control", "refused"))
    proof.looked_at = f"{sum(verdicts.values()):,} matches ({told}), {parts:,} steps"
    steps = select(d.id).where(d.match_id == m.id).exists()
    refused = m.verdict == "refused"
    for number in conn.scalars(select(m.id).where(refused.is_distinct_from(m.reason.is_not(None))).order_by(m.id)):
        proof.fault(None, f"match {number} has a reason without a refusal, or a refusal without a reason")
    for number in conn.scalars(select(m.id).where(m.verdict != "act", steps).order_by(m.id)):
        proof.fault(None, f"match {number} was not to be acted on, and has steps")
    since = horizon(conn)  # before it the steps were forgotten on purpose, and the matches were not
    there = [] if since is None else [m.matched_at >= since]
    unread = 0
    for version in conn.scalars(select(m.version_id).where(m.verdict == "act").distinct().order_by(m.version_id)):
        try:
            wanted = _parts(rule(conn, version))
        except UnreadableRuleError:
            unread += 1
            continue
        rows = select(func.count()).where(d.match_id == m.id).correlate(matches).scalar_subquery()
        uneven = select(m.id, rows).where(m.version_id == version, m.verdict == "act", rows != wanted, *there)
        for number, count in conn.execute(uneven.order_by(m.id)):
            proof.fault(None, f"match {number} has {count} steps, and not those of its rule")
    if unread:
        proof.notes.append(f"{unread:,} old versions of rules cannot be read any more, so their steps were not counted")
    return proof


def _by(conn: Connection, column: ColumnElement[Any]) -> dict[str, int]:
    return {str(row[0]): int(row[1]) for row in conn.execute(select(column, func.count()).group_by(column))}


def _parts(rule: Rule) -> ColumnElement[int]:
    """SQL: how many steps a guest of the rule gets, by the branches that are theirs."""
    always = literal(sum(not step.branches for step in rule.steps))
    branched = (in_branches(matches.c.customer_id, step) for step in rule.steps if step.branches)
    return sum((case((mine, 1), else_=0) for mine in branched), start=always)


# ---------------------------------------------------------------------------------------------------------------------
# Beside the states.


def _budgets(conn: Connection) -> Proof:
    """What is used of every budget equals what the dispatches say."""
    proof, count = Proof("budgets", ""), 0
    order = (budget_uses.c.rule_id, budget_uses.c.kind, budget_uses.c.begins, budget_uses.c.ends)
    for row in conn.execute(select(budget_uses).order_by(*order)).all():
        count += 1
        there = Tally(row.rule_id, row.kind, row.begins, row.ends).counted(conn)
        if there != row.used:
            whose = "the home" if row.rule_id == HOME else f"rule {row.rule_id}"
            said = (
                f"{row.kind} of {whose} from {row.begins:%Y-%m-%d}: {row.used:,} are noted as used, and {there:,} were"
            )
            proof.fault(None, said)
    proof.looked_at = f"{count:,} periods"
    return proof


def _coupons(conn: Connection) -> Proof:
    """A code is drawn once, by the step that is done, and none is used that was not."""
    proof, c, d = Proof("coupons", ""), coupons.c, dispatches.c
    proof.looked_at = f"{conn.scalar(select(func.count(c.code))) or 0:,} codes"
    twice = select(func.min(c.dispatch_id)).where(c.code.is_not(None)).group_by(c.code).having(func.count() > 1)
    for number in conn.scalars(twice):
        proof.fault(number, "its code was given to another coupon too")
    of_step = coupons.join(dispatches, d.id == c.dispatch_id)
    odd = or_((d.state == "sent").is_distinct_from(c.code.is_not(None)), d.channel != "coupon")
    for row in conn.execute(select(d.id, d.state).select_from(of_step).where(odd).order_by(d.id)):
        proof.fault(row.id, f"it is {row.state}, and its coupon {'has no' if row.state == 'sent' else 'has a'} code")
    unborn = and_(c.code.is_(None), c.redeemed_at.is_not(None))
    for number in conn.scalars(select(c.dispatch_id).where(unborn).order_by(c.dispatch_id)):
        proof.fault(number, "its coupon was used, and has no code")
    none = not_(select(c.id).where(c.dispatch_id == d.id).exists())
    to_have = d.state.in_(("held", "pending", "claimed", "sent"))  # what begins as blocked has none
    for number in conn.scalars(select(d.id).where(d.channel == "coupon", to_have, none).order_by(d.id)):
        proof.fault(number, "it is a coupon's step, and there is no coupon")
    return proof


def _events(conn: Connection) -> Proof:
    """What a provider told later is about something that was handed over."""
    proof, e, a = Proof("events", "I2"), delivery_events.c, audit.c
    proof.looked_at = f"{conn.scalar(select(func.count()).select_from(delivery_events)) or 0:,} reports of providers"
    handed = select(a.id).where(a.dispatch_id == e.dispatch_id, a.after.in_(COUNTED)).exists()
    rows = select(e.dispatch_id, e.kind).where(not_(handed)).order_by(e.dispatch_id, e.id)
    for row in conn.execute(rows):
        proof.fault(row.dispatch_id, f"a provider calls it {row.kind}, and it was never handed over")
    return proof


def _months(conn: Connection) -> Proof:
    """The ledger of a month is whole: each step, its trail and its reports are kept in the month of its match.

    And what belongs to a step belongs to one that is there, for no foreign key says so; but a coupon outlives its own.
    """
    proof, d, m, since = Proof("months", "I4"), dispatches.c, matches.c, horizon(conn)
    kept = list(conn.scalars(select(d.month).distinct().order_by(d.month)))
    proof.looked_at = f"{len(kept):,} months" + ("" if since is None else f" since {since:%Y-%m}")
    for month in kept:
        other = or_(m.matched_at < begins(month), m.matched_at >= ends(month))
        astray = select(d.id).join(matches, m.id == d.match_id).where(d.month == month, other)
        for number in conn.scalars(astray.order_by(d.id)):
            proof.fault(number, "it is kept in another month than that of its match")
    for its, what in ((audit, "a row of its trail"), (delivery_events, "a provider's report")):
        told = its.c.action.in_((MOVE, BEGIN)) if its is audit else its.c.id > 0
        apart = (
            select(its.c.dispatch_id).join(dispatches, d.id == its.c.dispatch_id).where(told, its.c.month != d.month)
        )
        for number in conn.scalars(apart.distinct().order_by(its.c.dispatch_id)):
            proof.fault(number, f"{what} is kept in another month")
    owned = {"values": payloads.c.dispatch_id, "reports": delivery_events.c.dispatch_id}
    for what, owner in owned.items():
        none = not_(select(d.id).where(d.id == owner).exists())
        for number in conn.scalars(select(owner).where(none).order_by(owner)):
            proof.fault(number, f"there are {what} of it, and it is not there")
    alone = not_(select(d.id).where(d.id == coupons.c.dispatch_id).exists())
    recent = [] if since is None else [coupons.c.issued_at >= since]
    lost = select(coupons.c.dispatch_id, coupons.c.issued_at).where(alone, *recent).order_by(coupons.c.dispatch_id)
    gone = list(conn.scalars(select(forgotten_months.c.month)))
    for row in conn.execute(lost).all():
        if not any(_may_be_of(conn, row.dispatch_id, row.issued_at, month) for month in gone):
            proof.fault(row.dispatch_id, "its coupon is there, and it is not")
    return proof


def _may_be_of(conn: Connection, dispatch_id: int, issued_at: datetime, month: int) -> bool:
    """Tell whether a step that is no longer there may have been of a month that was forgotten.

    A coupon may be issued long after its match, when a wait is over; but steps are numbered as they are decided: its
    neighbours that are left tell between which months it was.
    """
    d = dispatches.c
    before = conn.scalar(select(d.month).where(d.id < dispatch_id).order_by(d.id.desc()).limit(1))
    after = conn.scalar(select(d.month).where(d.id > dispatch_id).order_by(d.id).limit(1))
    return (before or month) <= month <= min(after or month, month_of(issued_at))
