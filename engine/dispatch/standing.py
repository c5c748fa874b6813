"""What was answered at a fence of the messages that come after, as long as it must be the same answer.

Messages of one portion are asked about together when they are prepared. Then they come to the fence group after group,
and each is asked there, in the transaction of its own hand-over, with everybody else kept from writing. Where the
database can tell that nothing was written since the last of these transactions but leases, values, plain hand-overs and
yeses of this worker, and the second is the same, the question, the rows and so the answer are the same too: it is not
asked again. What a hand-over itself changes is what caps and journeys of the same guest and the same inbox go by: of
their messages one is in the answer, and the others are asked alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from engine.database.stillness import State, state_of
from engine.dispatch.claims import Claim
from engine.dispatch.fence import Policy
from engine.dispatch.plain import Plain, may_go, plainly, with_room

#: So many are prepared at once, and asked about: what a statement costs beside its rows is then little, and their
#: values are fresh.
PORTION: Final = 100


@dataclass
class Standing:
    """The answers that stand, of one worker's messages by one carrier."""

    coming: dict[int, Claim] = field(default_factory=dict, repr=False)  #: not yet at the fence, by their ids
    _answer: Plain = field(default_factory=Plain, repr=False)  #: of those that were asked together
    _asked: set[int] = field(default_factory=set, repr=False)  #: the ids of all that were to be asked about
    _second: int = -1  #: when they were asked
    _served: int = 0  #: of so many was the last answer of use at the fence
    _state: State | None = None  #: of the database, then or after the last plain hand-over

    def of_all(
        self, conn: Connection, claims: Sequence[Claim], policy: Policy, at: datetime, *, carrier: str
    ) -> dict[int, int]:
        """Ask of a whole portion, before its messages are made; give those that plainly may go, with the guests' days.

        The transaction must keep all others from writing.
        """
        plain = self.plainly(conn, claims, policy, at, carrier=carrier, segments=[1] * len(claims))
        self._served = 0  # nothing has been at the fence
        return plain.days

    def plainly(
        self,
        conn: Connection,
        claims: Sequence[Claim],
        policy: Policy,
        at: datetime,
        *,
        carrier: str,
        segments: Sequence[int],
    ) -> Plain:
        """Give what ``plain.plainly`` gives, asked now or before. The transaction must keep all others from writing."""
        for each in claims:
            self.coming.pop(each.id, None)
        state = state_of(conn)
        if state is None:
            return plainly(conn, claims, policy, at, carrier=carrier, segments=segments)
        second = int(at.timestamp())
        if state != self._state or second != self._second or not self._asked.issuperset(each.id for each in claims):
            # Where others write all the time, an answer is of no use for long: then little is asked ahead.
            ahead = islice(self.coming.values(), 2 * self._served)
            self._ask([*claims, *ahead], conn, policy, at, carrier)
            self._state, self._second, self._served = state, second, 0
        self._served += len(claims)
        days = {each.id: self._answer.days[each.id] for each in claims if each.id in self._answer.days}
        return with_room(conn, replace(self._answer, days=days), claims, policy, at, segments)

    def written(self, conn: Connection) -> None:
        """Note that what was written since ``plainly``, and all that will be, is nothing that an answer goes by.

        Plain hand-overs and yeses are not, nor are leases, and the values of messages.
        """
        self._state = state_of(conn)

    def forget(self) -> None:
        """Ask anew next time."""
        self._state = None

    def _ask(self, wanted: Sequence[Claim], conn: Connection, policy: Policy, at: datetime, carrier: str) -> None:
        """Ask of all at once, but for those with a guest or an inbox of another's: its hand-over changes theirs."""
        self._asked = {each.id for each in wanted}
        guests: set[int] = set()
        inboxes: set[int | None] = set()
        alone = []
        for each in wanted:
            if each.customer_id not in guests and each.endpoint_id not in inboxes:
                alone.append(each)
            guests.add(each.customer_id)
            inboxes.add(each.endpoint_id)
        self._answer = may_go(conn, alone, policy, at, carrier=carrier)
