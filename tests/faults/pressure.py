"""Caps, budgets and the red button against several workers, in every order that chance finds.

Two messages for one place (a guest, an inbox that two guests share, the last of a budget), and two workers; or one
worker, and a person who presses the button. Each stops before each statement and each commit (``lockstep.py``).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from dispatch.world import NOW, Budgets, Cafe, Caps, Clock, a_desk, a_home
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from engine.database.tables import budget_uses
from engine.dispatch import health
from engine.dispatch.claims import Claim, claim
from engine.dispatch.links import message_key
from engine.dispatch.stages import _deliver
from engine.dispatch.tallies import Tally as Used
from engine.language.budgets import Budget
from engine.language.rule import Limits
from engine.vocabulary.home import Home

from .lockstep import Score, listening, play
from .optouts import Witness
from .places import Place, place
from .tally import Counts, Scale, Tally, reconcile

_MANY = Caps(1_000, 1_000)


@dataclass
class Stage:
    """A café, two desks, and what the other side took."""

    cafe: Cafe
    home: Home
    taken: Counter[str] = field(default_factory=Counter)
    score: Score = field(default_factory=Score)

    def claimed(self, *messages: int) -> list[Claim]:
        with self.cafe.db.begin() as conn:
            held = claim(conn, now=NOW, holder="here:1:a", usable=["email", "sms"], limit=len(messages))
        assert {each.id for each in held} == set(messages)
        return held

    def deliver(self, held: Claim) -> None:
        witness = Witness(self.taken, lambda: self.score)
        _deliver(a_desk(self.cafe, self.home, Clock(), email=witness, sms=witness), [held])

    def count(self, *messages: int) -> int:
        return sum(self.taken[message_key(self.home.key, each)] for each in messages)


Act = Callable[[], object]
#: Lays one try out: the acts, its messages, and what to ask afterwards (None: all is well).
Laid = tuple[Mapping[str, Act], tuple[int, ...], Callable[[], str | None]]


def _two(stage: Stage, messages: tuple[int, int], waits: str) -> Laid:
    """Two workers, and room for one of their messages: the other one waits, and says why."""
    first, second = stage.claimed(*messages)
    acts = {"one": partial(stage.deliver, first), "other": partial(stage.deliver, second)}

    def against() -> str | None:
        ends = sorted(stage.cafe.outcome(each) for each in messages)
        went = stage.count(*messages)
        return None if went == 1 and ends == [f"pending: {waits}", "sent"] else f"{waits}: {went} went out; {ends}"

    return acts, messages, against


def _one_guest(stage: Stage) -> Laid:
    """One guest, an email and an SMS, one a day."""
    stage.cafe.caps, stage.cafe.budgets = Caps(1, 2), Budgets()
    guest = stage.cafe.guest()
    return _two(stage, (stage.cafe.message(guest), stage.cafe.message(guest, "sms")), "capped")


def _one_inbox(stage: Stage) -> Laid:
    """Two guests with one address, one a day."""
    stage.cafe.caps, stage.cafe.budgets = Caps(1, 2), Budgets()
    guest = stage.cafe.guest(sms_id=None)
    other = stage.cafe.guest("Ana", sms_id=None, email_id=guest.email_id)
    return _two(stage, (stage.cafe.message(guest), stage.cafe.message(other)), "capped")


def _last_of_a_budget(stage: Stage) -> Laid:
    """Two guests of one rule whose budget has never been asked, and has room for one."""
    stage.cafe.caps, stage.cafe.budgets = _MANY, Budgets({"messages": Budget(100_000, "month")})
    rule = stage.cafe.rule(limits=Limits(budget={"email": Budget(1, "day")}))
    acts, messages, right = _two(stage, (stage.cafe.message(rule=rule), stage.cafe.message(rule=rule)), "budget")

    def against() -> str | None:
        return right() or _miscounted(stage)

    return acts, messages, against


def _miscounted(stage: Stage) -> str | None:
    with stage.cafe.db.begin() as conn:
        for row in conn.execute(select(budget_uses)).all():
            there = Used(row.rule_id, row.kind, row.begins, row.ends).counted(conn)
            if there != row.used:
                return f"budget: {row.used} noted, {there} used"
    return None


def _button(stage: Stage) -> Laid:
    """A worker, and a person who presses the red button: who commits first wins."""
    stage.cafe.caps, stage.cafe.budgets = _MANY, Budgets()
    message = stage.cafe.message()
    (held,) = stage.claimed(message)

    def press() -> None:
        with stage.cafe.db.begin() as conn:
            health.stop(conn, by="Dana", now=NOW)

    def against() -> str | None:
        with stage.cafe.db.begin() as conn:
            health.start(conn, by="Dana", now=NOW)
        taken, pressed = stage.score.first("worker", "taken"), stage.score.first("person", "commit")
        end = stage.cafe.outcome(message)
        if taken is None:
            return None if end == "pending: stopped" else f"stop: {end}"
        passed = max(place for place, each in enumerate(stage.score.moments[:taken]) if each == ("worker", "commit"))
        if pressed is not None and passed > pressed:
            return "stop: a message passed the fence after the button was pressed"
        return None if end == "sent" else f"stop: {end}"

    return {"worker": partial(stage.deliver, held), "person": press}, (message,), against


CONTESTS: Mapping[str, Callable[[Stage], Laid]] = {
    "one guest": _one_guest,
    "one inbox": _one_inbox,
    "the last of a budget": _last_of_a_budget,
    "the red button": _button,
}


def contested(
    where: Place, tries: int, seed: int, names: Sequence[str] = tuple(CONTESTS)
) -> tuple[Counts, Counter[str]]:
    """Play ``tries`` orders of each contest; give the counts, and how often the red button came first or last."""
    chance = random.Random(f"{seed} {where.kind}")
    stage, ends, counts = Stage(Cafe(where.db), a_home(where.root)), Counter[str](), Counts()
    keys: dict[str, int] = {}
    with where.db.connect().execution_options(isolation_level="AUTOCOMMIT") as watch, listening(where.db):
        if where.kind == "sqlite":
            watch.close()  # one more reader would keep the log from being cut
        for name in [*names] * tries:
            stage.score = Score()
            acts, messages, against = CONTESTS[name](stage)
            keys |= {message_key(stage.home.key, each): each for each in messages}
            broke = [each for each in play(where.db, watch, chance, stage.score, **acts) if each.ended is not None]
            fought = [each for each in broke if isinstance(each.ended, OperationalError)]
            ends.update(f"fought ({getattr(each.ended.orig, 'sqlstate', each.ended.orig)})" for each in fought)
            wrong = f"{broke[0].name} broke: {broke[0].ended!r}" if len(broke) > len(fought) else against()
            counts += Counts(wrong=(f"{name}: {wrong}",) if wrong else ())
            ends[f"{name}: {stage.count(*messages)} of {len(messages)}"] += 1
            for each in messages:  # what waits for tomorrow is in nobody's way today
                if stage.cafe.state(each) == "pending":
                    stage.cafe.set(each, due_at=NOW.replace(year=2027))
    return counts + reconcile(where.db, stage.taken, keys), ends


def _fault(kind: str, sample: int, everything: int) -> Callable[[Scale], Tally]:
    def run(scale: Scale) -> Tally:
        tries = scale.pick(sample, everything)
        with place(kind) as where:
            counts, ends = contested(where, tries, scale.seed)
        note = ", ".join(f"{end} {number}" for end, number in sorted(ends.items()) if number)
        return Tally.of(f"caps, budgets and stop, {kind}", tries * len(CONTESTS), counts, note=note, allowed=0)

    return run


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    "caps, budgets and stop, postgres": _fault("postgres", 25, 1_000),
    "caps, budgets and stop, sqlite": _fault("sqlite", 24, 300),
}
