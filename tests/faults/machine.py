"""The real engine and the reference model, side by side: whatever is done to one is done to the other.

Four guests: Li and Ana share an inbox. One rule for marketing (a coupon, an email, days later an SMS), one for service.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

from dispatch.world import CHICAGO, NOW, Cafe, Carried
from sqlalchemy import func, select, update

from connectors.base import Message
from engine.database.consent import moment_to_note, record_consent
from engine.database.consent import suppress as suppress_it
from engine.database.facts import recompute
from engine.database.tables import budget_uses, channels, dispatches, events, matches, rules
from engine.dispatch import claims, health, inside, outbox, stages
from engine.dispatch.approve import approve, cancel, resolve_forgotten
from engine.dispatch.desk import Desk
from engine.dispatch.drafting import Drafts
from engine.dispatch.erasure import erase
from engine.dispatch.history import check
from engine.dispatch.instance import recognise
from engine.dispatch.journal import FOLDER, Journal
from engine.dispatch.journeys import Journeys, policy_of
from engine.dispatch.links import message_key
from engine.dispatch.tallies import Tally
from engine.dispatch.unsubscribing import end_marketing
from engine.evaluation.runner import run_due
from engine.intake.events import record_event
from engine.language.times import business_day
from engine.vocabulary.home import Home

from . import restored
from .machine_homes import VARIANTS
from .places import Place
from .reference_model import FOUR, PER_DAY, PER_WEEK
from .scripted import Killed, Name, Scripted, Taken, Turn

PURPOSES = {"visit": "marketing", "thanks": "service"}
NEAR = f"{socket.gethostname()}:4194304999:gone"  # a worker of this machine whose process is no more
FAR = "elsewhere:1:a"


class World:
    """The café on a database, the model beside it, and the witness. Every method does the same to both."""

    def __init__(self, where: Place, homes: Mapping[str, Home]) -> None:
        self.where, self.db, self.now = where, where.db, NOW
        self.homes, self.variant = homes, "plain"
        self.cafe = Cafe(self.db)
        inbox = self.cafe.endpoint("email", "both@example.com")
        shared = [self.cafe.guest(name, email_id=inbox) for name in ("Li", "Ana")]
        guests = shared + [self.cafe.guest(name) for name in ("Bo", "Cy")]
        self.guests = [each.id for each in guests]
        inboxes = {
            (each.id, channel): getattr(each, f"{channel}_id") for each in guests for channel in ("email", "sms")
        }
        self.model = restored.Remembering(NOW, inboxes, self._in_the_model)
        with self.db.begin() as conn:
            recompute(conn, self.guests, NOW)
        self.model.identity = recognise(self.db, restored.around(self), NOW)
        self.model.family.add(self.model.identity)
        self.model.place = restored.place(self)
        self.visits: list[tuple[int, datetime]] = []  #: as the till has them: guest, when
        self.numbers: dict[int, int] = {}  #: event -> the visit's number at the till
        self.copies: list[restored.Copy] = []
        self.taken: list[Taken] = []
        self.forgotten: set[Name] = set()  #: what was accepted and the database knew nothing of after a restore
        self.again: Counter[Name] = Counter()  #: how often staff let it be sent again
        self.no: set[int] = set()  #: endpoints that want no marketing, or nothing; and guests who were erased
        self.shut: set[int] = set()
        self.gone: set[int] = set()
        self.about: dict[int, Any] = {}
        self.acknowledged: set[Name] = set()  #: what staff say arrived
        self.ids: dict[str, int] = {}
        self.workers = 0

    @property
    def home(self) -> Home:
        return self.homes[self.variant]

    # -- what happens -----------------------------------------------------------------------------------------------

    def later(self, by: timedelta) -> None:
        self.now += by
        self.model.now = self.now

    def visit(self, guest: int) -> None:
        self.visits.append((guest, self.now))
        self._import(len(self.visits) - 1)

    def import_again(self) -> None:
        """Import what the till has and the database does not: after a restore, visits are missing."""
        for number in sorted(set(range(len(self.visits))) - set(self.numbers.values())):
            self._import(number)

    def _import(self, number: int) -> None:
        guest, at = self.visits[number]
        with self.db.begin() as conn:
            record_event(conn, str(number), name="visit", customer_id=guest, store_id=None, at=at, data={})
            event = conn.scalar(select(func.max(events.c.id)))
        self.numbers[event] = number
        self.model.events[event] = (guest, at)

    def name_of(self, row: Any) -> Name:
        rule, event, step = row.key
        return rule, self.numbers[event], step

    def evaluate(self, rule: str) -> None:
        run_due(self.db, self.home, self.now, only=rule)
        name, wait, more = VARIANTS[self.variant]
        files = {"thanks": True} | ({"visit": not more} if name else {})
        self.model.evaluate(rule, files, PURPOSES[rule], wait)
        self._number_rows()

    def send(self, turns: list[Turn], *, near: bool = False, dies: str = "") -> None:
        """Let a worker send what is due; its connector does as told, and it is killed where it says so."""
        self.workers += 1
        holder = NEAR if near else f"{FAR}{self.workers}"
        began = self.now
        for work in (
            partial(self._send, holder, list(turns), dies),
            partial(self.model.send, holder, {NEAR}, list(turns), dies),
        ):
            with suppress(Killed):
                work()
        assert self.now == self.model.now >= began
        with self.db.begin() as conn:  # how fast a channel may go on is another test's
            conn.execute(update(channels).values(rate=None))

    def elsewhere(self, what: str) -> None:
        """Let something happen to the engine while a message is under way."""
        if what == "another worker":
            self.now += timedelta(minutes=20)
            self._send(f"{FAR}0", [], "")
        elif what == "stop":
            with self.db.begin() as conn:
                health.stop(conn, by="Ana", now=self.now)
        elif what == "opt out":
            for endpoint in self._all_endpoints():
                self._say(endpoint, "no")
        elif what == "erase":
            self._erase(self.guests[0])

    def _in_the_model(self, what: str) -> None:
        if what == "another worker":
            self.model.now += timedelta(minutes=20)
            self.model.send(f"{FAR}0", {NEAR}, [])
        elif what == "stop":
            self.model.stopped = True
        elif what == "opt out":
            self.model.consent = dict.fromkeys(self.model.consent, False)
        elif what == "erase":
            self._forget(self.guests[0])

    def says(self, guest: int, channel: str, word: str) -> None:
        endpoint = self.model.inboxes[guest, channel]
        self._say(endpoint, word)
        self.model.consent[endpoint] = word == "yes"

    def _say(self, endpoint: int, word: str) -> None:
        with self.db.begin() as conn:
            if word == "no":
                end_marketing(conn, endpoint, self.now, way="one-click")
            else:
                record_consent(conn, endpoint, word, at=moment_to_note(conn, endpoint, self.now), source="staff")
        (self.no.add if word == "no" else self.no.discard)(endpoint)

    def suppress(self, guest: int, channel: str) -> None:
        endpoint = self.model.inboxes[guest, channel]
        with self.db.begin() as conn:
            suppress_it(conn, endpoint, "complaint", at=self.now)
        self.shut.add(endpoint)
        self.model.suppressed.add(endpoint)

    def erase(self, guest: int) -> None:
        self._erase(guest)
        self._forget(guest)

    def _erase(self, guest: int) -> None:
        erase(self.db, self.home, guest, now=self.now, actor="staff")
        self.gone.add(guest)

    def _forget(self, guest: int) -> None:
        model = self.model
        if guest not in model.erased:
            model.erased.add(guest)
            left = {each for (whose, _), each in model.inboxes.items() if whose not in model.erased}
            model.suppressed |= {each for (whose, _), each in model.inboxes.items() if whose == guest} - left
        for row in model.rows:
            if row.guest == guest and row.state in ("held", "pending", "claimed"):
                model.become(row, "blocked", "erased")

    def edit(self, variant: str) -> None:
        self.variant = variant

    def press(self, button: str) -> None:
        with self.db.begin() as conn:
            (health.stop if button == "stop" else health.start)(conn, by="Ana", now=self.now)
        self.model.stopped = button == "stop"
        if button == "start":
            for channel in self.model.channels.values():
                if channel.stopped or (channel.open and channel.open > self.now):
                    vars(channel).update(failures=0, refusals=0, refused=frozenset(), open=None, stopped=False)

    def approve(self, rule: str) -> None:
        with self.db.begin() as conn:
            if conn.scalar(select(rules.c.id).where(rules.c.rule == rule)) is None:
                return
            approve(conn, rule, name="Ana", now=self.now, mode="first")
        self.model.approved.add(rule)
        waits: dict[tuple[str, int], list] = {}
        for row in self.model.rows:
            if row.key[0] == rule and row.state == "held" and row.reason != "restored":
                if row.expires <= self.now:
                    self.model.become(row, "expired", "late")
                else:
                    waits.setdefault(row.key[:2], []).append(row)
        for held in waits.values():
            delay = max(self.now - min(row.due for row in held), timedelta(0))
            for row in held:
                self.model.become(row, "pending", None, row.due + delay)

    def reject(self, rule: str) -> None:
        with self.db.begin() as conn:
            if conn.scalar(select(rules.c.id).where(rules.c.rule == rule)) is None:
                return
            cancel(conn, name="Ana", now=self.now, rule_id=rule)
        self._cancel([row for row in self.model.rows if row.key[0] == rule])

    def decide(self, what: str) -> None:
        """Staff decide about every message that they may decide so about."""
        every = [row.id for row in self.model.rows]
        with self.db.begin() as conn:
            if what == "cancel":
                cancel(conn, name="Ana", now=self.now, ids=every)
            elif what == "let go":
                resolve_forgotten(conn, every, send=True, name="Ana", now=self.now)
            elif what == "sent":
                outbox.acknowledge(conn, every, actor="Ana", now=self.now)
            else:
                outbox.requeue(conn, "dead" if what == "retry" else "uncertain", every, actor="Ana", now=self.now)
        if what == "cancel":
            self._cancel(self.model.rows)
        for row in self.model.rows:
            if what == "sent" and row.state == "uncertain":
                self.acknowledged.add(self.name_of(row))
                self.model.become(row, "sent")
            elif what == "let go" and (row.state, row.reason) == ("held", "restored") and row.expires > self.now:
                self.again[self.name_of(row)] += 1
                self.model.become(row, "pending", None, self.now)
            elif row.state == {"retry": "dead", "send-again": "uncertain"}.get(what) and row.expires > self.now:
                self.again[self.name_of(row)] += what == "send-again"
                self.model.become(row, "pending", None, self.now)
                row.attempts = row.rescues = 0

    def _cancel(self, rows: list) -> None:
        for row in rows:
            if row.state in ("held", "pending"):
                self.model.become(row, "cancelled", "staff")

    def _all_endpoints(self) -> set[int]:
        return set(self.model.inboxes.values())

    # -- the engine -------------------------------------------------------------------------------------------------

    def _send(self, holder: str, turns: list[Turn], dies: str) -> None:
        connector = Scripted(turns, lambda: self.now, self.elsewhere, self._witness)
        carriers = Carried({"email": connector, "sms": connector})
        journal = Journal(self.where.root / FOLDER, self.model.identity, self.home.key)
        policy = policy_of(self.home, Journeys(self.home))
        composer = Drafts(self.home, carriers)
        desk = Desk(self.db, policy, carriers, composer, journal=journal, now=lambda: self.now, holder=holder)
        with ExitStack() as stack:
            stack.callback(desk.close)
            if dies in DEATHS:
                stack.enter_context(DEATHS[dies]())
            stages.send_due(desk)

    def _witness(self, message: Message, asked: bool) -> None:
        number = self.ids[message.key]
        row = self.about[number]
        if asked:  # I5: what was refused and committed before it asked
            assert row.guest not in self.gone, f"{number} went to who was erased"
            refused = self.shut if row.purpose == "service" else self.shut | self.no
            assert row.endpoint not in refused, f"{number} was let out after a refusal"
        marketing = row.purpose == "marketing"
        self.taken.append(Taken(self.name_of(row), self.now, asked, row.guest, row.endpoint, marketing))

    def _number_rows(self) -> None:
        known = {row.key: row for row in self.model.rows}
        with self.db.begin() as conn:
            found = conn.execute(
                select(dispatches.c.id, rules.c.rule, matches.c.occasion, dispatches.c.step)
                .join(matches, matches.c.id == dispatches.c.match_id)
                .join(rules, rules.c.id == dispatches.c.rule_id)
            ).all()
        of_thanks = {"thanks": 1}
        for row in found:
            key = (row.rule, row.occasion, row.step + of_thanks.get(row.rule, 0))
            assert key in known, f"the engine queued {key}"
            known[key].id = row.id
            self.ids[message_key(self.home.key, row.id)] = row.id
            self.about[row.id] = known[key]
        assert all(row.id for row in self.model.rows), "the model queued more than the engine"

    # -- what must hold ---------------------------------------------------------------------------------------------

    def agree(self) -> None:
        """Every row is as the model says."""
        with self.db.begin() as conn:
            d = dispatches.c
            rows = conn.execute(select(d.id, d.state, d.reason, d.due_at, d.attempts, d.lease_token)).all()
        real = {row.id: (row.state, row.reason, row.due_at, row.attempts, row.lease_token) for row in rows}
        told = {row.id: (row.state, row.reason, row.due, row.attempts, row.token) for row in self.model.rows}
        assert real == told, {
            each: (real.get(each), told.get(each)) for each in real if real.get(each) != told.get(each)
        }

    def hold(self) -> None:
        """I1 to I5 against the witness, every history a path of the table, budgets counted right, caps kept."""
        with self.db.begin() as conn:
            rows = {row.id: row for row in conn.execute(select(dispatches))}
            assert not list(check(conn))
            for row in conn.execute(select(budget_uses)):
                tally = Tally(row.rule_id, row.kind, row.begins, row.ends)
                assert row.used == tally.counted(conn), tally
        times = Counter(each.name for each in self.taken)
        for name, count in times.items():
            assert count <= 1 + self.again[name], f"{name} was accepted {count} times"  # I1
        for number, row in rows.items():
            name = self.name_of(self.about[number])
            if times[name] and name not in self.forgotten and not self.again[name]:  # I2, I3
                assert row.state in ("sent", "uncertain", "handoff"), f"{name} was accepted, and is {row.state}"
            assert row.state != "sent" or row.channel == "coupon" or times[name] or name in self.acknowledged
        assert times.keys() <= {self.name_of(each) for each in self.about.values()} | self.forgotten
        self._caps()

    def _caps(self) -> None:
        for of in ("guest", "endpoint"):
            days: dict[int, dict[Name, int]] = {}
            for each in self.taken:
                if each.asked and each.marketing and each.name not in self.forgotten:
                    day = business_day(each.at, CHICAGO, FOUR).toordinal()
                    days.setdefault(getattr(each, of), {})[each.name] = day
            for handed in days.values():
                for day in handed.values():
                    assert sum(each == day for each in handed.values()) <= PER_DAY
                    assert sum(day - 7 < each <= day for each in handed.values()) <= PER_WEEK


def _dying(module: object, name: str, *, after: bool) -> object:
    """Kill whoever calls the function with something to do: before it, or when it is done and not committed."""
    real = getattr(module, name)

    def wrapped(*args: object, **how: object) -> object:
        done = real(*args, **how) if after else None
        if done or not after:
            raise Killed
        return done

    return mock.patch.object(module, name, wrapped)


#: Where a worker is killed that has not come to its connector.
DEATHS = {
    "stepping": partial(_dying, inside, "do_all", after=True),
    "claiming": partial(_dying, claims, "claim", after=True),
    "claimed": partial(_dying, stages, "_deliver", after=False),
}


def to_the_next_change(now: datetime) -> timedelta:
    """Give how long it is until the café's clock is changed."""
    hour = now.astimezone(UTC).replace(minute=0, second=0)
    before = hour.astimezone(CHICAGO).utcoffset()
    while hour.astimezone(CHICAGO).utcoffset() == before:
        hour += timedelta(hours=1)
    return hour - now
