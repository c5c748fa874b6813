"""The moment of handing over: the fence that a connector asks, and the answer that is written down after it.

What a database that is away, or comes back in the middle, does to either stands here. A commit may stand although its
answer was lost on the way: so whoever asks again looks first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import func, or_, select
from sqlalchemy.exc import DBAPIError, OperationalError

from connectors.base import Message, Outcome
from engine.database.complaints import explain, passes
from engine.database.tables import dispatches
from engine.dispatch.channels import Transport
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Answer, Desk
from engine.dispatch.fence import LostLease, Verdict, pass_fence, take_back
from engine.dispatch.journal import JournalError
from engine.dispatch.outcomes import is_plain, record, record_together, written
from engine.dispatch.states import OvertakenError, State
from engine.language.sms import segments

EPOCH = datetime.fromtimestamp(0, UTC)
#: So often is the fence asked, and an answer written, where two transactions stood in each other's way.
TRIES = 3
#: Seconds between the tries to write an answer down: a server that is restarted is back by then, a lease not yet over.
PAUSES = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 20.0)


def is_hopeless(error: DBAPIError) -> bool:
    """Tell whether it is known what ails the database, and that it does not pass: a full disk, one that fails."""
    return explain(error) is not None and not passes(error)


@dataclass
class Fence:
    """What a connector calls just before the message can leave. Asked a second time it says no: the lease is spent."""

    desk: Desk
    together: Sequence[Claim]
    message: Message
    transport: Transport
    asked: bool = False
    passed: bool = False
    at: datetime = EPOCH  #: when it was asked last
    against: list[tuple[Claim, Verdict]] = field(default_factory=list)
    broken: DBAPIError | None = None  #: the database could not be asked: nothing may leave
    unwritten: JournalError | None = None  #: the journal does not have it: nothing may leave

    def __call__(self) -> bool:
        """Tell whether the message may leave: a commit that stands, and a record in the journal, say so."""
        self.asked = True
        body = self.message.body
        fingerprint = hashlib.sha256(body if isinstance(body, bytes) else body.encode()).digest()
        for _ in range(TRIES):
            self.at = self.desk.now()
            try:
                with self.desk.db.begin() as conn:
                    self.against = pass_fence(
                        conn,
                        self.together,
                        self.desk.policy,
                        self.at,
                        content_hash=fingerprint,
                        segments=segments(body).count
                        if self.message.channel == "sms" and isinstance(body, str)
                        else None,
                        carrier=self.transport,
                        sender=self.desk.journal.sender,
                    )
            except LostLease:
                if self.broken is None or not self._stands(fingerprint):
                    return False
                self.against = []
            except DBAPIError as error:
                if explain(error) is None and not isinstance(error, OperationalError):
                    raise
                self.broken = error
                if is_hopeless(error):
                    return False
                continue
            self.broken = None
            self.passed = not self.against and is_written(self, [(each, fingerprint) for each in self.together])
            return self.passed
        return False

    def _stands(self, fingerprint: bytes) -> bool:
        """Tell whether an earlier question was answered with a commit, and only its answer was lost on the way here."""
        mine = or_(*(each.mine() for each in self.together))
        passed = [mine, dispatches.c.state == "handoff", dispatches.c.content_hash == fingerprint]
        try:
            with self.desk.db.begin() as conn:
                stand = conn.scalar(select(func.count()).where(*passed)) == len(self.together)
        except DBAPIError as error:
            self.broken = error
            return False
        self.broken = None
        return stand


class Asking(Protocol):
    """A fence that was asked, of one message or of a group."""

    desk: Desk
    at: datetime
    broken: DBAPIError | None
    unwritten: JournalError | None


def is_written(fence: Asking, handed: Sequence[tuple[Claim, bytes]]) -> bool:
    """Write into the journal what has passed, each with its content's hash; else take it back: it has not left."""
    desk = fence.desk
    try:
        desk.journal.note(handed, at=fence.at)
    except JournalError as error:
        fence.unwritten = error
    else:
        return True
    for _ in range(TRIES):
        try:
            with desk.db.begin() as conn:
                take_back(conn, [each for each, _ in handed], desk.now())
        except DBAPIError as error:
            fence.broken = error
        else:
            fence.broken = None
            break
    return False


def recorded(desk: Desk, together: Sequence[Claim], outcome: Outcome, fence: Fence) -> list[State | None]:
    """Write the outcome down, again where the database did not let us: it is known, and would become uncertain.

    Where it never does, the answer is kept for ``write_late`` and the error is raised.
    """
    return _insist(desk, Answer(together, outcome, handed=fence.passed, channel=fence.transport))


def _insist(desk: Desk, answer: Answer, tries: int = 0) -> list[State | None]:
    while True:
        try:
            return _write(desk, answer, again=tries > 0)
        except DBAPIError as error:
            tries += 1
            enough = TRIES if is_hopeless(error) or not isinstance(error, OperationalError) else len(PAUSES) + 1
            if tries >= enough:
                if answer not in desk.unwritten:
                    desk.unwritten.append(answer)
                raise
            desk.sleep(PAUSES[tries - 1])


def write_down(desk: Desk) -> None:
    """Write the answers down that wait for it, in one transaction where all are plain; again as ``recorded`` does."""
    answers = list(desk.unwritten)
    if answers and all(map(is_plain, answers)):
        try:
            with desk.db.begin() as conn:
                record_together(conn, answers, desk.now())
        except (OvertakenError, DBAPIError):
            pass  # each alone, and looked for first: the commit may stand
        else:
            note_written(desk, answers)
    while desk.unwritten:
        answer = desk.unwritten[0]
        _count(desk, answer, _insist(desk, answer, tries=1))
        del desk.unwritten[0]


def note_written(desk: Desk, answers: Sequence[Answer]) -> None:
    """Count plain answers that stand in the database; they wait no more."""
    for answer in answers:
        _count(desk, answer, ["sent"])
    desk.unwritten = [each for each in desk.unwritten if not any(each is answer for answer in answers)]


def _count(desk: Desk, answer: Answer, states: Sequence[State | None]) -> None:
    for claim, state in zip(answer.together, states, strict=True):
        if state is not None:
            desk.summary.count(claim.id, state)


def write_late(desk: Desk) -> None:
    """Write down the answers for which the database was away too long; what is then unknown is so for good."""
    while desk.unwritten:
        answer = desk.unwritten[0]
        _count(desk, answer, _write(desk, answer, again=True))
        del desk.unwritten[0]


def _write(desk: Desk, answer: Answer, *, again: bool) -> list[State | None]:
    with desk.db.begin() as conn:
        done = written(conn, answer.together, answer.outcome) if again else None
        if done is not None:  # its commit stood, and only the answer to that was lost
            return done
        return record(
            conn,
            answer.together,
            answer.outcome,
            handed=answer.handed,
            channel=answer.channel,
            now=desk.now(),
        )
