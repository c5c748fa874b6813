"""What a sending gave up: why, and the cure. A dead message waits for a person, and nobody else would tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, func, select

from engine.console.words import counted, reason
from engine.database.partial import is_in
from engine.database.tables import dispatches

#: What only the owner can put right: a run that meets it ends as one with a broken rule does.
OWNERS: Final = frozenset({"rule_unreadable", "template", "no_recipient", "bad_terms"})


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A sentence for each reason, then the cure; ``by_owner``: one of the reasons is what the owner wrote."""

    sentences: Sequence[str] = ()
    by_owner: bool = False


def given_up(conn: Connection, since: datetime) -> GivenUp:
    """Read what died at ``since`` or later."""
    d = dispatches.c
    number = func.count()
    rows = conn.execute(
        select(d.reason, number)
        .where(is_in(d.state, "dead"), d.finished_at >= since)
        .group_by(d.reason)
        .order_by(number.desc(), d.reason)
    ).all()
    if not rows:
        return GivenUp()
    sentences = [
        f"{counted(count, 'step')} {'was' if count == 1 else 'were'} given up: {reason(why)}." for why, count in rows
    ]
    cure = "`regulars log --state dead` shows them; put it right, then `regulars dispatch retry ID` for those to send."
    return GivenUp([*sentences, cure], any(row.reason in OWNERS for row in rows))
