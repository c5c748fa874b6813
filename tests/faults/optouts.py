"""An opt-out while a message is at the fence, in every order that chance finds: who commits first wins, always.

A worker takes a claimed message through all its stages while somebody else writes an opt-out, a suppression or an
erasure; both stop before each statement and each commit, and a conductor lets one of them go on (``lockstep.py``).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dispatch.world import NOW, Cafe, Clock, a_desk, a_home
from sqlalchemy import Row
from sqlalchemy.exc import OperationalError

from connectors.base import Handoff, Handoffs, Message, Outcome, nothing
from engine.database.consent import record_consent, suppress
from engine.dispatch import batches
from engine.dispatch.claims import Claim, claim
from engine.dispatch.desk import Desk
from engine.dispatch.erasure import erase
from engine.dispatch.links import message_key
from engine.dispatch.stages import _deliver
from engine.vocabulary.home import Home

from .lockstep import Score, listening, play
from .places import Place, place
from .tally import Counts, Scale, Tally, reconcile

#: So many messages are laid out at once.
BATCH = 100
_HOLDER = "here:1:a"

Refusal = Callable[[Cafe, Home, Row], object]


def _no(cafe: Cafe, _home: Home, guest: Row) -> None:
    with cafe.db.begin() as conn:
        record_consent(conn, guest.email_id, "no", at=NOW, source="unsubscribe link")


def _suppressed(cafe: Cafe, _home: Home, guest: Row) -> None:
    with cafe.db.begin() as conn:
        suppress(conn, guest.email_id, "complaint", at=NOW)


def _erased(cafe: Cafe, home: Home, guest: Row) -> None:
    erase(cafe.db, home, guest.id, now=NOW, actor="staff")


REFUSALS: Mapping[str, Refusal] = {"no_consent": _no, "suppressed": _suppressed, "erased": _erased}


@dataclass
class Witness:
    """Takes what passes the fence, and notes in the score when that was."""

    taken: Counter[str]
    score: Callable[[], Score]

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        if not handoff():
            return Outcome("not_now", "fence", counts_attempt=False)
        self.taken[message.key] += 1
        self.score().note("taken")
        return Outcome("sent", "250", provider_id=message.key)

    def close(self) -> None:
        pass


@dataclass
class Post(Witness):
    """The same for messages that stand at the fence together; the score is of the one that is ``watched``."""

    most: int = 2
    watched: str = ""

    def send_group(
        self,
        messages: Sequence[Message],
        handoff: Handoffs,
        upcoming: Sequence[Message] = (),
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Outcome]:
        assert not upcoming
        meanwhile()
        may = handoff(range(len(messages)))
        for number, message in enumerate(messages):
            if number in may:
                self.taken[message.key] += 1
                if message.key == self.watched:
                    self.score().note("taken")
        no = Outcome("not_now", "fence", counts_attempt=False)
        sent = [Outcome("sent", "250", provider_id=message.key) for message in messages]
        return [each if number in may else no for number, each in enumerate(sent)]


@dataclass
class Stage:
    """A café whose messages are claimed, and one worker or two to take them on."""

    cafe: Cafe
    home: Home
    rule: tuple[int, int]
    run: int
    guests: Mapping[int, Row]  #: of a message, who gets it
    held: Mapping[int, Claim]
    desk: Desk
    witness: Witness
    beside: Mapping[int, int]  #: of a message, the one that stands at the fence with it; empty: each stands alone

    def deliver(self, message: int) -> None:
        if not isinstance(self.witness, Post):
            _deliver(self.desk, [self.held[message]])
            return
        self.witness.watched = message_key(self.home.key, message)
        pair = sorted((message, self.beside[message]))
        batches.deliver(self.desk, batches.Lane("email", self.witness, [self.held[each] for each in pair]), self.fail)

    @staticmethod
    def fail(claim: Claim) -> None:
        raise AssertionError(f"{claim.id} was not prepared with the other")


@dataclass
class Found:
    """What one order of things came to. ``against``: what broke the promise, in words."""

    passed: bool
    against: str | None = None
    fought: int = 0  #: transactions that the database ended for their lock


def interleaved(where: Place, tries: int, seed: int, *, together: bool = False) -> tuple[Counts, Counter[str]]:
    """Play ``tries`` orders; give the counts, and how often each end was reached."""
    chance = random.Random(f"{seed} {where.kind}")
    cafe, home = Cafe(where.db), a_home(where.root)
    ends, counts, left = Counter[str](), Counts(), tries
    with where.db.connect().execution_options(isolation_level="AUTOCOMMIT") as watch, listening(where.db):
        if where.kind == "sqlite":
            watch.close()  # one more reader would keep the log from being cut
        while left:
            stage = _laid_out(cafe, home, min(BATCH, left), chance, together=together)
            played = [each for each in stage.held if each not in stage.beside.values()]
            for message in played:
                why = chance.choice(list(REFUSALS))
                found = _played(stage, message, why, watch, chance)
                ends[f"{why}: {'passed' if found.passed else 'kept in'}"] += 1
                ends["fought"] += found.fought
                if found.against is not None:
                    counts += Counts(wrong=(found.against,))
            left -= len(played)
            keys = {message_key(home.key, each): each for each in stage.held}
            counts += reconcile(where.db, stage.witness.taken, keys, only=stage.held)
    return counts, ends


def _laid_out(cafe: Cafe, home: Home, number: int, chance: random.Random, *, together: bool) -> Stage:
    rule, run = cafe.rule(), cafe.run()
    guests, beside = {}, {}
    for _ in range(number):
        guest = cafe.guest(sms_id=None)
        if chance.random() < 0.3:  # somebody else with the same address: it stays theirs when the guest is erased
            cafe.guest("Ana", sms_id=None, email_id=guest.email_id)
        message = cafe.message(guest, rule=rule, run_id=run)
        guests[message] = guest
        if together:
            beside[message] = cafe.message(rule=rule, run_id=run)
    with cafe.db.begin() as conn:
        held = claim(conn, now=NOW, holder=_HOLDER, usable=["email"], limit=2 * number)
    score: list[Score] = [Score()]
    witness = (Post if together else Witness)(Counter(), lambda: score[0])
    desk = a_desk(cafe, home, Clock(), email=witness)
    stage = Stage(cafe, home, rule, run, guests, {each.id: each for each in held}, desk, witness, beside)
    stage.desk.holder = _HOLDER
    return stage


def _played(stage: Stage, message: int, why: str, watch: object, chance: random.Random) -> Found:
    """Play one order of things for one message."""
    guest = stage.guests[message]
    refusal = partial(REFUSALS[why], stage.cafe, stage.home, guest)
    score = Score()
    stage.witness.score = lambda: score
    actors = play(stage.cafe.db, watch, chance, score, worker=partial(stage.deliver, message), guest=refusal)
    broke = [each for each in actors if each.ended is not None]
    fought = sum(isinstance(each.ended, OperationalError) for each in broke)
    for each in broke:
        if not isinstance(each.ended, OperationalError):
            return Found(False, f"{each.name} broke: {each.ended!r}")
    taken, refused = score.first("worker", "taken"), score.first("guest", "commit")
    if broke:
        return Found(taken is not None, f"{broke[0].name} was ended by the database and tried no more", fought)
    row = stage.cafe.row(message)
    passed_at = None
    if taken is not None:  # the fence's commit is the worker's last one before the message was taken
        passed_at = max(place for place, each in enumerate(score.moments[:taken]) if each == ("worker", "commit"))
    if passed_at is not None and refused is not None and passed_at > refused:
        return Found(True, f"{why}: a message passed the fence after it was written", fought)
    other = stage.beside.get(message)
    if other is not None and stage.cafe.outcome(other) != "sent":
        return Found(taken is not None, f"{why}: the one beside it is {stage.cafe.outcome(other)}", fought)
    if other is not None and taken is None and (row.state, row.reason) == ("pending", "again"):
        return Found(False)  # its group waited half a second for the lock, on a slow machine: it is taken alone next
    wanted = "sent" if taken is not None else f"blocked: {_reason(why)}"
    is_so = f"{row.state}: {row.reason}" if row.reason else row.state
    return Found(taken is not None, None if is_so == wanted else f"{why}: {is_so} instead of {wanted}", fought)


def _reason(why: str) -> str:
    return why


def _fault(kind: str, sample: int, everything: int, *, together: bool = False) -> Callable[[Scale], Tally]:
    def run(scale: Scale) -> Tally:
        tries = scale.pick(sample, everything)
        with place(kind) as where:
            counts, ends = interleaved(where, tries, scale.seed, together=together)
        note = ", ".join(f"{end} {number}" for end, number in sorted(ends.items()) if number)
        return Tally.of(
            f"opt-out against {'a group' if together else 'send'}, {kind}", tries, counts, note=note, allowed=0
        )

    return run


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    "opt-out against send, postgres": _fault("postgres", 130, 10_000),
    "opt-out against send, sqlite": _fault("sqlite", 60, 2_000),
    "opt-out against a group, postgres": _fault("postgres", 60, 5_000, together=True),
    "opt-out against a group, sqlite": _fault("sqlite", 40, 1_000, together=True),
}
