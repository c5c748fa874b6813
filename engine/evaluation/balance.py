"""What one rule's run has written, counted again: each guest one verdict, and each who is acted on every step once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
)

from engine.database.months import in_the_month
from engine.database.sql import Id
from engine.database.tables import customer_facts, dispatches, matches
from engine.evaluation.permission import in_branches
from engine.language.rule import Step

_M, _D = matches.c, dispatches.c
_OF_MONTH = in_the_month(_D.month)
_OF_RULE = (_M.run_id == bindparam("run", type_=Id), _M.rule_id == bindparam("rule_row", type_=Id))


@dataclass(frozen=True, slots=True)
class Judged:
    """So many matches have that verdict, of guests in that zone and country (NULL: not known)."""

    verdict: str
    reason: str | None
    zone_id: int | None
    country: str | None
    count: int


class Counted(NamedTuple):
    """How many matches a rule has in a run, how many of them have not their due number of dispatches, and those."""

    matched: int
    uneven: int
    queued: Mapping[str, int]  #: by state


@dataclass(frozen=True)
class Balance:
    """Counts the rows of one rule in one run."""

    conn: Connection
    run: int
    rule_row: int
    month: int  #: in which the ledger keeps the run

    @property
    def _asked(self) -> dict[str, int]:
        return {"run": self.run, "rule_row": self.rule_row}

    @property
    def _asked_of_ledger(self) -> dict[str, int]:
        return {**self._asked, "month": self.month}

    def judged(self) -> list[Judged]:
        """Count the matches by verdict and reason, and by where their guests are."""
        return [Judged(*row) for row in self.conn.execute(_judged(), self._asked)]

    def counted(self, steps: Sequence[Step]) -> Counted:
        """Count the matches, those of them with another number of dispatches than their steps, and the dispatches."""
        branched = _branched(steps)
        asked = _counted(_due(steps, branched)) if branched else _counted_plainly()
        rows = self.conn.execute(asked, {**self._asked_of_ledger, "parts": _always(steps)}).all()
        (of_matches,) = (row for row in rows if row.state is None)
        queued = {row.state: int(row.number) for row in rows if row is not of_matches}
        return Counted(int(of_matches.number), int(of_matches.uneven or 0), dict(sorted(queued.items())))

    def holds(self, counted: Counted, judged: Sequence[Judged], steps: Sequence[Step]) -> bool:
        """Check that each guest has one outcome with its reason, and each who is acted on every step of the own way.

        How many that are is worked out from the branches, as the rows were; so besides, no row is of another's branch.
        """
        return (
            sum(each.count for each in judged) == counted.matched
            and all((each.verdict == "refused") == (each.reason is not None) for each in judged)
            and not counted.uneven
            and self._is_even(judged, counted.queued, steps)
        )

    def _is_even(self, judged: Sequence[Judged], queued: Mapping[str, int], steps: Sequence[Step]) -> bool:
        branched = _branched(steps)
        if not branched:
            due = _always(steps) * sum(each.count for each in judged if each.verdict == "act")
            return sum(queued.values()) == due
        strays = (
            select(_M.id)
            .join(dispatches, _D.match_id == _M.id)
            .where(*_OF_RULE, _OF_MONTH, _D.step == number, not_(ours))
            .limit(1)
            for number, ours in _owners(branched).items()
        )
        return all(self.conn.scalar(stray, self._asked_of_ledger) is None for stray in strays)


def _always(steps: Sequence[Step]) -> int:
    return sum(not step.branches for step in steps)


def _branched(steps: Sequence[Step]) -> list[tuple[Step, ColumnElement[bool]]]:
    return [(step, in_branches(_M.customer_id, step)) for step in steps if step.branches]


def _due(steps: Sequence[Step], branched: Sequence[tuple[Step, ColumnElement[bool]]]) -> ColumnElement[int]:
    """SQL: how many dispatches a match has that is acted on."""
    return sum((case((mine, 1), else_=0) for _, mine in branched), start=literal(_always(steps)))


@cache
def _judged() -> Select[Any]:
    f = customer_facts.c
    whose = matches.outerjoin(customer_facts, f.customer_id == _M.customer_id)
    columns = (_M.verdict, _M.reason, f.zone_id, f.country)
    return select(*columns, func.count()).select_from(whose).where(*_OF_RULE).group_by(*columns)


@cache
def _counted_plainly() -> CompoundSelect[Any]:
    return _counted(bindparam("parts", type_=Id))


def _counted(parts: ColumnElement[int]) -> CompoundSelect[Any]:
    """SQL: how many matches, and how many of them have not so many dispatches; then the dispatches by their state.

    Who is not acted on has none.
    """
    rows = select(func.count()).where(_OF_MONTH, _D.match_id == _M.id).correlate(matches).scalar_subquery()
    due = case((_M.verdict == "act", parts), else_=0)
    uneven = func.sum(case((rows != due, 1), else_=0))
    found = select(cast(null(), String).label("state"), func.count().label("number"), uneven.label("uneven"))
    of_run = dispatches.join(matches, _M.id == _D.match_id)
    queued = select(_D.state, func.count(), literal(0)).select_from(of_run).where(*_OF_RULE, _OF_MONTH)
    return union_all(found.select_from(matches).where(*_OF_RULE), queued.group_by(_D.state))


def _owners(branched: Sequence[tuple[Step, ColumnElement[bool]]]) -> dict[int, ColumnElement[bool]]:
    """SQL, by the number of a step in branches: the guest is one of those whose it is."""
    found: dict[int, ColumnElement[bool]] = {}
    for step, mine in branched:
        found[step.number] = or_(found[step.number], mine) if step.number in found else mine
    return found
