"""What one worker sends with: its database, channels and clock, and the sum of what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import Connection, Engine

from connectors.base import Message, Outcome
from engine.dispatch.channels import Carriers, Channels, Transport
from engine.dispatch.claims import Claim
from engine.dispatch.drafting import Draft, Drafts, NoRecipientError
from engine.dispatch.fence import Policy
from engine.dispatch.health import Rates
from engine.dispatch.holders import this_worker
from engine.dispatch.instance import Surroundings, bear_witness, recognise, surroundings
from engine.dispatch.journal import Journal, Record
from engine.dispatch.journeys import Journeys, policy_of
from engine.dispatch.senders import enlist
from engine.dispatch.states import CARRIED
from engine.language.config import Config
from engine.language.rule import Rule
from engine.vocabulary.home import Home


class Composer(Protocol):
    """Reads what a message needs, and makes it."""

    def read(
        self,
        conn: Connection,
        rule: Rule,
        together: Sequence[Claim],
        at: datetime,
        *,
        values: Sequence[Mapping[str, Any]] | None = None,
    ) -> Draft:
        """Read everything as it is now, but for ``values`` that are given.

        Raises ``NoRecipientError`` and ``CannotSendError``.
        """
        ...

    def read_all(
        self, conn: Connection, asked: Sequence[tuple[Rule, Claim]], at: datetime
    ) -> list[Draft | NoRecipientError]:
        """Read the same for several messages to guests. Raises ``CannotSendError``."""
        ...

    def compose(self, draft: Draft, together: Sequence[Claim], at: datetime) -> Message:
        """Make the message. Raises ``RenderError`` and ``MessageError``."""
        ...


@runtime_checkable
class Finder(Protocol):
    """A connector that can look up what became of a message whose answer was lost."""

    def find(self, message: Message, since: datetime) -> frozenset[str] | None:
        """Give the provider's ids of all that may be this message, handed over at ``since``; None: no answer."""
        ...


@dataclass
class Summary:
    """What one sending did. ``problems`` are plain sentences without personal data, each once."""

    states: Counter[str] = field(default_factory=Counter)  #: new state -> dispatches
    inside: int = 0  #: of those that are ``sent``: coupons issued, points and tags given
    messages: int = 0  #: how many were worked on; several alerts may be one
    problems: list[str] = field(default_factory=list)
    _waiting: set[int] = field(default_factory=set, repr=False)

    def count(self, dispatch_id: int, state: str) -> None:
        """Count one dispatch; one that waits again counts once, and no longer when it is done."""
        if state == "pending":
            self._waiting.add(dispatch_id)
        else:
            self._waiting.discard(dispatch_id)
            self.states[state] += 1

    def problem(self, sentence: str) -> None:
        """Remember a sentence for the end of the run."""
        if sentence not in self.problems:
            self.problems.append(sentence)

    def add(self, other: Summary, ended: Sequence[int]) -> None:
        """Add what another worker did; ``ended`` are the dispatches that it counted, but for those that wait again."""
        self.states += other.states
        self.inside += other.inside
        self.messages += other.messages
        self._waiting = (self._waiting | other._waiting) - set(ended)
        for sentence in other.problems:
            self.problem(sentence)

    def to_json(self) -> dict[str, int]:
        """Give the counts by state, as ``run --format json`` prints them under ``sent``."""
        counts = Counter(self.states)
        if self._waiting:
            counts["pending"] += len(self._waiting)
        return dict(sorted(counts.items()))


@dataclass
class _Tentative(Summary):
    """What is counted in a transaction that may yet be rolled back."""

    counted: list[tuple[int, str]] = field(default_factory=list)

    def count(self, dispatch_id: int, state: str) -> None:
        """Remember it in its order."""
        self.counted.append((dispatch_id, state))


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one message, before it is written down. ``handed``: the fence was passed."""

    together: Sequence[Claim]
    outcome: Outcome
    handed: bool
    channel: Transport  #: what carried it


@dataclass
class Desk:
    """What one worker sends with. ``now`` gives an aware UTC datetime."""

    db: Engine
    policy: Policy
    carriers: Carriers
    composer: Composer
    journal: Journal
    now: Callable[[], datetime]
    holder: str = field(default_factory=this_worker)
    progress: Callable[[int], None] = lambda _: None  #: called with how many dispatches are done
    claimed: Callable[[int], None] = lambda _: None  #: called with how many messages are claimed, before any leaves
    summary: Summary = field(default_factory=Summary)
    unusable: set[str] = field(default_factory=set)
    around: Surroundings | None = None  #: where what has really left is witnessed; None: nowhere
    left: Record | None = None  #: the last that a connector took to somewhere else than a folder of this machine
    rates: Rates = field(default_factory=dict)  #: the owner's
    sleep: Callable[[float], None] = lambda _: None  #: waits so many seconds for a database that is away
    unwritten: list[Answer] = field(default_factory=list)  #: what came back while the database was away
    crew: Callable[[Desk, int | None], None] | None = None  #: who sends instead of this process
    looked_up_at: datetime | None = None  #: when it last asked a provider what became of uncertain messages

    def recognise(self) -> None:
        """Look whether this still is the database that was sent from: one may be put back at any time.

        Raises ``StrangeDatabaseError`` where it is another or an older one, and ``JournalError`` where nobody can tell.
        """
        if self.around is not None:
            self.journal.identity = recognise(self.db, self.around, self.now())

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin a transaction: what is counted in it counts where its commit stands; what is said is said."""
        summary, tentative = self.summary, _Tentative()
        self.summary = tentative
        try:
            with self.db.begin() as conn:
                yield conn
        finally:
            self.summary = summary
            for sentence in tentative.problems:
                summary.problem(sentence)
        for dispatch_id, state in tentative.counted:
            summary.count(dispatch_id, state)

    def close(self) -> None:
        """End what is kept open, and let it be witnessed what has left."""
        self.carriers.close()
        self.journal.close()
        if self.around is not None and self.left is not None:
            bear_witness(self.around, self.left)

    @property
    def usable(self) -> list[str]:
        """The channels that can be used in this run; alerts go by those of messages."""
        return [channel for channel in CARRIED if channel not in self.unusable]


def rates_of(config: Config) -> Rates:
    """Give the messages a minute that the config allows, of those channels for which it says so."""
    given = {"email": config.email.per_minute, "sms": config.sms.per_minute}
    return {channel: rate for channel, rate in given.items() if rate is not None}


def open_desk(
    db: Engine,
    home: Home,
    *,
    now: Callable[[], datetime],
    rehearsal: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    sleep: Callable[[float], None] = lambda _: None,
) -> Desk:
    """Make the desk of a home; nothing is connected before the first message. Close it with ``close``.

    ``rehearsal``: the time is not the clock's, so only files and servers on this machine are written to.
    Raises ``StrangeDatabaseError`` where the database was copied or restored.
    """
    carriers = Channels(home.root, home.config, now, rehearsal=rehearsal)
    around = surroundings(home.root)
    known = recognise(db, around, now())
    journal = Journal(around.journal, known, home.key, enlist(db, around, now()))
    return Desk(
        db=db,
        policy=policy_of(home, Journeys(home)),
        carriers=carriers,
        composer=Drafts(home, carriers),
        journal=journal,
        around=None if rehearsal else around,
        now=now,
        progress=progress,
        rates=rates_of(home.config),
        sleep=sleep,
    )
