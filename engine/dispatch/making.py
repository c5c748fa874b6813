"""The messages that come next, made while something else is waited for.

What is under way waits for a disk and for servers; the next messages need neither. One is made by a thread of its own
while the disk writes what the fence commits, and one while it writes the journal; the others while servers answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from contextlib import suppress
from datetime import datetime

from engine.dispatch.channels import CannotSendError
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Desk
from engine.dispatch.drafting import Draft
from engine.dispatch.fence import Verdict
from engine.dispatch.groups import Ready
from engine.dispatch.mime import MessageError
from engine.dispatch.render import RenderError
from engine.dispatch.settling import give_back, settle

#: A dispatch with all that its message is made of.
Prepared = tuple[Claim, Draft]


class Coming:
    """The messages that are not yet ready, in their order.

    One is made at a time: nobody makes any while ``aside``, a thread, has one under way. What goes wrong with one is
    told when it is its turn.
    """

    def __init__(self, desk: Desk, left: Iterable[Prepared], aside: Executor) -> None:
        self._desk = desk
        self._left = deque(left)
        self._aside = aside
        self._made: deque[tuple[Prepared, Ready | Exception]] = deque()
        self._under_way: tuple[Prepared, Future[Ready | Exception]] | None = None
        self.ahead = 0  #: so many are made before their turn

    def __len__(self) -> int:
        return len(self._made) + (self._under_way is not None) + len(self._left)

    @property
    def claims(self) -> list[Claim]:
        """Those that they are of."""
        self._fetch()
        return [claim for (claim, _), _ in self._made] + [claim for claim, _ in self._left]

    def beside(self) -> None:
        """Let the next one be made while the caller waits for a disk. Does nothing where one is being made."""
        if self._under_way is not None and not self._under_way[1].done():
            return
        self._fetch()
        if self._left and len(self._made) < self.ahead:
            with suppress(RuntimeError):  # the machine has no thread left: then it is made in its turn
                future = self._aside.submit(self._of, self._left[0], self._desk.now())
                self._under_way = self._left.popleft(), future

    def meanwhile(self) -> None:
        """Make the next ones."""
        self._fetch()
        while self._left and len(self._made) < self.ahead:
            self._make()

    def next(self) -> Ready | None:
        """Give the next one; where it cannot be made, that is written on it, and None."""
        self._fetch()
        if not self._made:
            self._make()
        (claim, draft), made = self._made.popleft()
        if isinstance(made, Ready):
            return made
        _unmade(self._desk, claim, draft, made)
        return None

    def _fetch(self) -> None:
        """Wait for the one that is under way."""
        if self._under_way is not None:
            prepared, future = self._under_way
            self._made.append((prepared, future.result()))
            self._under_way = None

    def _make(self) -> None:
        prepared = self._left.popleft()
        self._made.append((prepared, self._of(prepared, self._desk.now())))

    def _of(self, prepared: Prepared, at: datetime) -> Ready | Exception:
        claim, draft = prepared
        try:
            return Ready.of(claim, self._desk.composer.compose(draft, [claim], at))
        except Exception as error:  # noqa: BLE001 (raised again in its turn, where it is none of those that are known)
            return error


def _unmade(desk: Desk, claim: Claim, draft: Draft, error: Exception) -> None:
    """Write on a message why it cannot be made."""
    if isinstance(error, CannotSendError):
        desk.summary.problem(str(error))
        desk.unusable.add(draft.transport)
        with desk.begin() as conn:
            give_back(conn, desk, [claim])
    elif isinstance(error, (RenderError, MessageError)):
        desk.summary.problem(f"templates/{draft.template}: {error}")
        with desk.begin() as conn:
            settle(conn, desk, [claim], Verdict("dead", "template"))
    else:
        raise error
