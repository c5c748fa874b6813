"""How a fault is counted: what the other side accepted, held against what the database says.

The database is never its own witness: ``accepted`` comes from a server that nobody killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from engine.database.engines import reading
from engine.database.tables import dispatches
from engine.dispatch.history import check

#: What a message that was accepted may be afterwards.
KNOWN_AS_GONE = frozenset({"sent", "uncertain"})
#: Where nothing may stay when faults have stopped and a clean run has been.
UNDER_WAY = frozenset({"claimed", "handoff"})


class MissingError(Exception):
    """What a fault needs is not on this machine; the text says what, and how to get it."""


class ForbiddenError(MissingError):
    """This machine does not permit it, and no installation changes that: passed over in CI too, saying so."""


@dataclass(frozen=True)
class Scale:
    """How much of a fault is tried: all of it (``make faults``), or a sample that ``make test`` has the time for.

    ``tries`` 0 leaves the number to the fault. The same seed gives the same moments.
    """

    everything: bool = False
    tries: int = 0
    seed: int = 20260504

    def pick(self, sample: int, everything: int) -> int:
        """Give how many tries: what was asked for, else one of these."""
        return self.tries or (everything if self.everything else sample)


@dataclass(frozen=True)
class Counts:
    """What was found after a fault. ``wrong`` are sentences on what else does not hold (I7, a history off the table)."""

    twice: int = 0
    lost: int = 0
    stuck: int = 0
    uncertain: int = 0
    wrong: tuple[str, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.twice + other.twice,
            self.lost + other.lost,
            self.stuck + other.stuck,
            self.uncertain + other.uncertain,
            self.wrong + other.wrong,
        )


@dataclass(frozen=True)
class Tally:
    """A row of the table. ``allowed`` is how many may be uncertain, by the window that the fence leaves; None: one a try."""

    fault: str
    tries: int = 0
    twice: int = 0
    lost: int = 0
    stuck: int = 0
    uncertain: int = 0
    seconds: float = 0.0
    note: str = ""
    allowed: int | None = None
    wrong: tuple[str, ...] = field(default=())

    @classmethod
    def of(
        cls, fault: str, tries: int, counts: Counts, *, seconds: float = 0.0, note: str = "", allowed: int | None = None
    ) -> Tally:
        return cls(
            fault,
            tries,
            counts.twice,
            counts.lost,
            counts.stuck,
            counts.uncertain,
            seconds,
            note,
            allowed,
            counts.wrong,
        )

    @property
    def window(self) -> int:
        """How many may be uncertain."""
        return self.tries if self.allowed is None else self.allowed

    @property
    def held(self) -> bool:
        """Nothing twice, nothing lost, nothing stuck, and no more uncertain than the fault can explain."""
        return not (self.twice or self.lost or self.stuck or self.wrong) and self.uncertain <= self.window

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.fault,
            self.tries + other.tries,
            self.twice + other.twice,
            self.lost + other.lost,
            self.stuck + other.stuck,
            self.uncertain + other.uncertain,
            self.seconds + other.seconds,
            "; ".join(dict.fromkeys(each for each in (self.note, other.note) if each)),
            None if self.allowed is None and other.allowed is None else self.window + other.window,
            self.wrong + other.wrong,
        )


def reconcile(
    db: Engine,
    accepted: Mapping[str, int],
    keys: Mapping[str, int],
    *,
    now: datetime | None = None,
    only: Iterable[int] | None = None,
) -> Counts:
    """Hold the rows against what the other side accepted: I1 to I4, I7, and each history against the table of moves.

    ``accepted``: key or Message-ID of a message -> how often it was accepted. ``keys``: the same -> its dispatch.
    ``now``: the time of the last clean run; what was due then and still waits counts as stuck.
    ``only``: look at these dispatches, where the database holds others.
    """
    with db.begin() as conn:
        rows = conn.execute(select(dispatches).order_by(dispatches.c.id)).all()
    wanted = None if only is None else set(only)
    rows = [row for row in rows if wanted is None or row.id in wanted]
    times = Counter[int]()
    strangers = 0
    for key, count in accepted.items():
        if key in keys:
            times[keys[key]] += count
        else:
            strangers += 1  # somebody got what nobody decided
    there = {row.id for row in rows}
    lost = strangers + sum(1 for each in keys.values() if each not in there and (wanted is None or each in wanted))
    lost += sum(1 for row in rows if times[row.id] and row.state not in KNOWN_AS_GONE)
    carried = set(keys.values())
    lost += sum(1 for row in rows if row.id in carried and row.state == "sent" and not times[row.id])
    late = [row for row in rows if row.state == "pending" and now is not None and row.due_at <= now]
    return Counts(
        twice=sum(count - 1 for count in times.values() if count > 1),
        lost=lost,
        stuck=sum(1 for row in rows if row.state in UNDER_WAY) + len(late),
        uncertain=sum(1 for row in rows if row.state == "uncertain"),
        wrong=(*integrity(db), *histories(db)),
    )


def states_of(db: Engine) -> dict[int, str]:
    """Read the state of every dispatch, as it is now."""
    with db.begin() as conn:
        return {row.id: row.state for row in conn.execute(select(dispatches.c.id, dispatches.c.state))}


def histories(db: Engine) -> list[str]:
    """Replay the trail of every dispatch: each history must be a path of the table of moves."""
    with reading(db).begin() as conn:
        return [f"dispatch {each.dispatch_id}: {each.said}" for each in check(conn)]


def integrity(db: Engine) -> list[str]:
    """Ask the database whether it is whole (I7): SQLite looks at every page and reference, PostgreSQL at every index."""
    try:
        with db.connect() as conn:
            if db.dialect.name == "sqlite":
                said = [row[0] for row in conn.exec_driver_sql("PRAGMA integrity_check")]
                broken = conn.exec_driver_sql("PRAGMA foreign_key_check").all()
                return [each for each in said if each != "ok"] + [f"points at nothing: {each}" for each in broken]
            conn.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS amcheck")
            conn.exec_driver_sql(_EVERY_INDEX)
    except DBAPIError as error:
        return [f"integrity: {error.orig}"]
    return []


#: Every index of ours is in order, and every row is found in it.
_EVERY_INDEX = """
SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace
"""
