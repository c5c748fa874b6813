"""A connector that does what it is told, turn by turn, and the witness of what it let out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.base import Handoff, Message, Outcome


class Killed(BaseException):
    """The worker is gone, in the middle of it."""


#: What a message is about, whatever the database calls it: rule, number of the visit at the till, step.
Name = tuple[str, int, int]


@dataclass(frozen=True)
class Taken:
    """What the other side accepted."""

    name: Name
    at: datetime
    asked: bool  #: the fence was
    guest: int
    endpoint: int
    marketing: bool


@dataclass(frozen=True)
class Turn:
    """What happens to one message, and what it ``ends`` as. ``early``: the answer comes before the fence is asked."""

    ends: tuple[str, str | None] = ("sent", None)
    kind: str = "sent"
    endpoint: str = "ok"
    channel: str = "ok"
    early: bool = False
    counts: bool = True
    retry: timedelta | None = None
    asks: int = 1  #: how often it asks the fence; 0: a connector with a bug
    raises: bool = False
    dies: str = ""  #: where the worker is killed: ``prepared``, ``handed`` or ``accepted``
    before: str = ""  #: what happens elsewhere before the fence, and after it
    after: str = ""

    @property
    def accepts(self) -> bool:
        """Whether the other side takes the message."""
        return self.kind in ("sent", "unknown")

    def outcome(self, now: datetime) -> Outcome:
        """What it says became of the message."""
        retry = None if self.retry is None else now + self.retry
        said = {"endpoint": self.endpoint, "channel": self.channel, "retry_at": retry, "counts_attempt": self.counts}
        return Outcome(self.kind, f"{self.kind} as told", **said)


@dataclass
class Scripted:
    """One worker's connector. ``do`` lets something happen elsewhere; ``taken`` is told of each message let out."""

    turns: list[Turn]
    now: Callable[[], datetime]
    do: Callable[[str], None]
    taken: Callable[[Message, bool], None]
    gone: bool = field(default=False)

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        turn = self.turns.pop(0) if self.turns else Turn()
        if turn.dies == "prepared":
            raise Killed
        if turn.before:
            self.do(turn.before)
        if turn.early and turn.raises:
            raise RuntimeError
        if turn.early:
            return turn.outcome(self.now())
        if turn.asks and not handoff():
            return Outcome("not_now", "fence", counts_attempt=False)
        if turn.dies == "handed":
            raise Killed
        if turn.asks == 2 and not handoff():
            return Outcome("not_now", "fence", counts_attempt=False)
        if turn.accepts:
            self.taken(message, bool(turn.asks))
        if turn.dies == "accepted":
            raise Killed
        if turn.after:
            self.do(turn.after)
        if turn.raises:
            raise RuntimeError
        return turn.outcome(self.now())

    def close(self) -> None:
        pass
