"""Several messages at the fence together: one transaction, one record in the journal, and then they leave.

Each of them passes or not by itself, on what it would be asked alone; what they share is the commit. In the same
transaction the answers to the messages before them are written down. Where anything is not as expected, each is asked
alone, as ``fence.py`` does it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, or_, select
from sqlalchemy.exc import DBAPIError, OperationalError

from connectors.base import Message, nothing
from engine.database.complaints import explain
from engine.database.tables import dispatches
from engine.dispatch.claims import LEASE, Claim
from engine.dispatch.desk import Answer, Desk
from engine.dispatch.fence import (
    LostLease,
    Policy,
    UnreadableRuleError,
    Verdict,
    carry_out,
    decide,
    lock_group,
)
from engine.dispatch.handing import EPOCH, TRIES, is_hopeless, is_written, note_written
from engine.dispatch.health import shut_until
from engine.dispatch.journal import JournalError
from engine.dispatch.outcomes import is_plain, record_together
from engine.dispatch.standing import Standing
from engine.dispatch.states import OvertakenError, move_each, write_trail
from engine.language.sms import segments


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed dispatch with its message, and what the fence writes of that."""

    claim: Claim
    message: Message = field(repr=False)
    content_hash: bytes
    segments: int | None

    @classmethod
    def of(cls, claim: Claim, message: Message) -> Ready:
        """Look at the bytes that are to leave."""
        body = message.body
        content = body if isinstance(body, bytes) else body.encode()
        billed = segments(body).count if message.channel == "sms" and isinstance(body, str) else None
        return cls(claim, message, hashlib.sha256(content).digest(), billed)


@dataclass(frozen=True, slots=True)
class Question:
    """What the fence is asked for all of a group alike."""

    policy: Policy
    at: datetime
    carrier: str
    sender: str
    wait: bool  #: for those who hold a guest or an inbox, a moment; else such a message goes back


def pass_together(
    conn: Connection, ready: Sequence[Ready], asked: Question, answers: Sequence[Answer], standing: Standing
) -> dict[int, Verdict | None]:
    """Let messages go, each or not; the caller commits. Gives each dispatch's verdict.

    None: its lease is lost, or, where nobody is waited for, somebody else holds its guest or inbox.
    ``answers`` are plain ones to messages before them by the same carrier: they are written down with it.
    No two of them are of one guest or go to one inbox. ``standing`` is what was answered at the fence before.
    Raises ``OvertakenError``: then the caller rolls back.
    """
    verdicts: dict[int, Verdict | None] = {each.claim.id: None for each in ready}
    ready, at = _lock_all(conn, ready, asked), asked.at
    claims = [each.claim for each in ready]
    billed = [each.segments or 1 for each in ready]
    plain = standing.plainly(conn, claims, asked.policy, at, carrier=asked.carrier, segments=billed)
    going = _handed(ready, plain.days, asked)
    trail: list[dict[str, Any]] = []
    how: dict[str, Any] = {"who": "holder", "now": at, "actor": asked.sender, "tallied": plain.tallied, "trail": trail}
    move_each(conn, "claimed", "handoff", going, **how)
    if answers:
        record_together(conn, answers, at, calm=plain.calm, trail=trail)
    write_trail(conn, trail)
    verdicts |= {number: Verdict("handoff", day=day) for number, day in plain.days.items()}
    if len(plain.days) == len(ready) and plain.calm:
        standing.written(conn)
    else:
        standing.forget()
    for each in ready:
        if each.claim.id not in plain.days:
            verdicts[each.claim.id] = _alone(conn, each, asked)
    return verdicts


def _handed(ready: Sequence[Ready], days: Mapping[int, int], asked: Question) -> list[dict[str, Any]]:
    """Give what a hand-over writes of each that has a day."""
    return [
        {
            "id": each.claim.id,
            "month": each.claim.month,
            "token": each.claim.token,
            "handed_at": asked.at,
            "handed_day": days[each.claim.id],
            "content_hash": each.content_hash,
            "segments": each.segments,
            "carrier": asked.carrier,
            "leased_until": asked.at + LEASE,  # others were handed over since it was begun
        }
        for each in ready
        if each.claim.id in days
    ]


def pass_one_by_one(conn: Connection, ready: Sequence[Ready], asked: Question) -> dict[int, Verdict | None]:
    """Do what ``pass_together`` does, and ask each alone: a lease that is lost is then that one's."""
    held = _lock_all(conn, ready, asked)
    nobodys: dict[int, Verdict | None] = {each.claim.id: None for each in ready}
    return nobodys | {each.claim.id: _alone(conn, each, asked) for each in held}


def _lock_all(conn: Connection, ready: Sequence[Ready], asked: Question) -> list[Ready]:
    policy = asked.policy
    held = {claim.id for claim in lock_group(conn, [each.claim for each in ready], wait=asked.wait)}
    kept, rules = [each for each in ready if each.claim.id in held], []
    for claim in (each.claim for each in kept):
        with contextlib.suppress(UnreadableRuleError):  # told when it is asked alone
            rules.append((policy.rule(conn, claim.version_id), claim))
    policy.budgets.lock(conn, rules, asked.at)
    return kept


def _alone(conn: Connection, each: Ready, asked: Question) -> Verdict | None:
    claim = each.claim
    try:
        verdict = decide(conn, claim, asked.policy, asked.at, segments=each.segments or 1)
    except UnreadableRuleError:
        verdict = Verdict("dead", "rule_unreadable")
    if verdict.passed and shut_until(conn, asked.carrier, asked.at) is not None:
        verdict = Verdict("pending", "channel", claim.due_at)
    try:
        carry_out(
            conn,
            claim,
            verdict,
            asked.at,
            content_hash=each.content_hash,
            segments=each.segments,
            carrier=asked.carrier,
            sender=asked.sender,
        )
    except LostLease:
        return None
    return verdict


@dataclass
class GroupFence:
    """What a connector calls just before messages can leave. Asked a second time it says no: the leases are spent."""

    desk: Desk
    ready: Sequence[Ready]
    carrier: str
    standing: Standing = field(default_factory=Standing)  #: what was answered at the fence of the messages before
    beside: Callable[[], None] = nothing  #: begins what another thread can do while the disk writes
    asked: set[int] = field(default_factory=set)  #: the places of those that stood ready
    passed: frozenset[int] = frozenset()  #: the places of those that may leave
    at: datetime = EPOCH  #: when it was asked last
    verdicts: dict[int, Verdict | None] = field(default_factory=dict)  #: by dispatch, of what was written
    broken: DBAPIError | None = None  #: the database could not be asked: nothing may leave
    unwritten: JournalError | None = None  #: the journal does not have them: nothing may leave

    def __call__(self, places: Sequence[int]) -> frozenset[int]:
        """Give those of the places whose messages may leave: a commit that stands, and the journal, say so."""
        if self.asked:
            return frozenset()
        self.asked = set(places)
        going = self._ask([self.ready[place] for place in places])
        if going:
            self.beside()
            going = going if is_written(self, [(each.claim, each.content_hash) for each in going]) else []
        ids = {each.claim.id for each in going}
        self.passed = frozenset(place for place in places if self.ready[place].claim.id in ids)
        return self.passed

    def _ask(self, asked: Sequence[Ready]) -> list[Ready]:
        """Give those whose hand-over is committed."""
        alone = False
        for number in range(TRIES):
            if self.broken is not None:  # its commit may stand, and only the answer to that was lost
                known = self._known(asked)
                if known is None:
                    continue
                if known[0]:
                    return known[0]
                asked = known[1]
            self.at = self.desk.now()
            try:
                self.verdicts = self._once(asked, first=number == 0, alone=alone)
            except OvertakenError:
                alone = True
                continue
            except DBAPIError as error:
                if explain(error) is None and not isinstance(error, OperationalError):
                    raise
                self.broken = error
                if is_hopeless(error):
                    return []
                continue
            self.broken = None
            return [each for each in asked if _went(self.verdicts.get(each.claim.id))]
        return []

    def _once(self, asked: Sequence[Ready], *, first: bool, alone: bool) -> dict[int, Verdict | None]:
        desk = self.desk
        question = Question(desk.policy, self.at, self.carrier, desk.journal.sender, wait=first)
        waiting = desk.unwritten if first else []
        answers = [each for each in waiting if is_plain(each) and each.channel == self.carrier]
        with desk.db.begin() as conn:
            if alone:
                verdicts = pass_one_by_one(conn, asked, question)
            else:
                verdicts = pass_together(conn, asked, question, answers, self.standing)
            self.beside()
        if answers:
            note_written(desk, answers)
        return verdicts

    def _known(self, asked: Sequence[Ready]) -> tuple[list[Ready], list[Ready]] | None:
        """Tell who stands in the hand-over by a commit of ours, and who is still claimed; None: nobody can tell."""
        try:
            with self.desk.db.begin() as conn:
                d = dispatches.c
                its = or_(*(each.claim.itself() for each in asked))
                found = conn.execute(select(d.id, d.lease_token, d.state, d.content_hash).where(its)).all()
        except DBAPIError as error:
            self.broken = error
            return None
        self.broken = None
        rows = {(row.id, row.lease_token): row for row in found}
        mine = [(each, row) for each in asked if (row := rows.get((each.claim.id, each.claim.token))) is not None]
        stand = [each for each, row in mine if row.state == "handoff" and row.content_hash == each.content_hash]
        return stand, [each for each, row in mine if row.state == "claimed"]


def _went(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.passed
