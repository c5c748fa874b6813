"""The state machine of a dispatch: its states, and the one table of moves between them.

Every move is a compare-and-set: it names the state that it leaves (a lease holder also its token) and says which rows
it changed, so whoever comes late changes nothing. Nothing ever leaves ``handoff`` by age for a state that can send.
Every move leaves a row in ``audit``, in its own transaction: ``history.py`` replays them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Update,
    and_,
    bindparam,
    exists,
    func,
    insert,
    not_,
    null,
    select,
    update,
)

from engine.database.arrays import alike, as_columns, as_values, takes_arrays
from engine.database.compiled import Compiled
from engine.database.months import is_month
from engine.database.partial import WAITING, is_in
from engine.database.sql import json_text, written_out
from engine.database.tables import audit, coupons, dispatches
from engine.dispatch import tallies
from engine.dispatch.tallies import COUNTED

State = Literal[
    "held",
    "pending",
    "claimed",
    "handoff",
    "sent",
    "uncertain",
    "rejected",
    "blocked",
    "expired",
    "cancelled",
    "dead",
]
#: ``worker`` takes what is free, ``holder`` owns the lease, ``anyone`` comes after the lease, ``staff`` is a person,
#: ``engine`` acts on erasure, opt-out or a rule switched off, ``reconciler`` on evidence: of the journal or a provider.
Who = Literal["worker", "holder", "anyone", "staff", "engine", "reconciler"]

#: States in which evaluation writes a dispatch: it may be blocked, or too late, before it began.
INITIAL: frozenset[State] = frozenset({"held", "pending", "blocked", "expired"})
#: States that nothing leaves by itself (``uncertain`` and ``dead`` by a person only).
FINAL: frozenset[State] = frozenset({"sent", "uncertain", "rejected", "blocked", "expired", "cancelled", "dead"})
#: States that can still come to a hand-over.
OPEN: tuple[State, ...] = ("held", "pending", "claimed")
#: States in which a worker has it.
UNDER_WAY: tuple[State, ...] = ("claimed", "handoff")
#: Where a hand-over leads that somebody has answered: then its record was written before.
ANSWERED: frozenset[State] = frozenset({"sent", "rejected", "blocked"})
#: Ends in which the guest has seen nothing of the message.
UNSEEN: tuple[State, ...] = ("blocked", "expired", "cancelled", "rejected")
MESSAGES = ("email", "sms")
#: What leaves this machine by a connector of its own; an alert leaves by one of the messages'.
CARRIED = (*MESSAGES, "webhook")
#: Steps inside the database: done in the claim's own transaction.
INSIDE = ("coupon", "points", "tag")

#: What rows of the trail say: a move of a dispatch; or the state in which its trail begins, where that was not pending.
MOVE, BEGIN = "move", "begin"

#: The most rows that one statement of a bulk move takes, so that no transaction grows with the outbox.
BULK = 1_000


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed move. ``final`` is whether its end is."""

    before: State
    after: State
    who: frozenset[Who]

    @property
    def final(self) -> bool:
        """Tell whether the dispatch is done with this move."""
        return self.after in FINAL


def _move(before: State, after: State, *who: Who) -> tuple[tuple[State, State], Transition]:
    return (before, after), Transition(before, after, frozenset(who))


#: (from, to) -> who may. The states' meaning: docs, and ``log --help``.
TRANSITIONS: Mapping[tuple[State, State], Transition] = dict(
    (
        _move("held", "pending", "staff"),
        _move("held", "cancelled", "staff", "engine"),
        _move("held", "blocked", "engine"),
        _move("held", "expired", "anyone"),
        _move("pending", "claimed", "worker"),
        _move("pending", "expired", "anyone"),
        _move("pending", "cancelled", "staff", "engine"),
        _move("pending", "blocked", "engine"),
        _move("claimed", "handoff", "holder"),
        _move("claimed", "pending", "holder", "anyone"),
        _move("claimed", "sent", "holder"),  # a step inside the database: done in the claim's own transaction
        _move("claimed", "blocked", "holder", "engine"),
        _move("claimed", "expired", "holder"),
        _move("claimed", "cancelled", "holder"),
        _move("claimed", "rejected", "holder"),  # a definite no before the fence: RCPT refused
        _move("claimed", "dead", "holder", "anyone"),
        _move("handoff", "sent", "holder", "reconciler"),
        _move("handoff", "pending", "holder"),
        _move("handoff", "rejected", "holder"),
        _move("handoff", "blocked", "holder"),  # the provider knows of an opt-out that we did not
        _move("handoff", "dead", "holder"),
        _move("handoff", "uncertain", "holder", "anyone", "reconciler"),
        # A restored database knows less than its journal: what was handed over since the backup may have arrived.
        _move("held", "uncertain", "reconciler"),
        _move("pending", "uncertain", "reconciler"),
        _move("claimed", "uncertain", "reconciler"),
        _move("dead", "uncertain", "reconciler"),
        _move(
            "uncertain", "uncertain", "reconciler"
        ),  # tokens were used since: the trail and the lease go on after them
        # A copied database sends nothing by itself: the other one may still be at work.
        _move("pending", "held", "reconciler"),
        _move("claimed", "held", "reconciler"),
        _move("uncertain", "sent", "holder", "reconciler", "staff"),  # the yes came late, or staff know that it arrived
        _move("uncertain", "pending", "staff"),
        _move("dead", "pending", "staff"),
    )
)


def move(
    conn: Connection,
    before: State,
    after: State,
    *where: ColumnElement[bool],
    who: Who,
    now: datetime,
    actor: str = "",
    reason: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> list[int]:
    """Move the dispatches that are in ``before`` and meet ``where``; give the ids that really moved.

    Raises ``ValueError`` for a move that the table does not allow to ``who``, and for ``values`` that would change
    where it leads: a mistake in the program, never data.
    """
    allowed = TRANSITIONS.get((before, after))
    if allowed is None or who not in allowed.who:
        raise ValueError(f"{who} may not move a dispatch from {before} to {after}")
    if values is not None and not values.keys().isdisjoint(("state", "finished_at")):
        raise ValueError("the state and its end are the table's")
    changes: dict[str, Any] = {"state": after, "reason": reason, "finished_at": now if allowed.final else None}
    if after not in ("claimed", "handoff"):
        changes |= {"leased_until": None, "lease_holder": None}
    if before == "handoff" and after == "pending":
        changes |= {"handed_at": None, "handed_day": None, "content_hash": None, "carrier": None}
    changes |= values or {}
    gone = _counted_until_now(conn, before, after, *where)
    rows = conn.execute(
        update(dispatches)
        .where(dispatches.c.state == before, *where)
        .values(changes)
        .returning(dispatches.c.id, dispatches.c.lease_token, dispatches.c.month)
    ).all()
    moved = [row.id for row in rows]
    if rows:
        noted = {"at": now, "actor": actor or who, "who": who, "action": MOVE, "before": before, "after": after}
        each_of = [{"dispatch_id": row.id, "token": row.lease_token, "month": row.month} for row in rows]
        write_trail(conn, [{**noted, "subject": reason, **row} for row in each_of])
    if before not in COUNTED and after in COUNTED and moved:
        its_months = is_month(dispatches.c.month, *(row.month for row in rows))
        tallies.change(conn, tallies.counted_ones(conn, its_months, dispatches.c.id.in_(moved)), 1)
    tallies.change(conn, [each for each in gone if each.id in moved], -1)
    if after in UNSEEN and moved:
        _take_coupons_back(conn, moved, [row.month for row in rows], now)
    return moved


class OvertakenError(Exception):
    """Somebody else has moved one of several dispatches meanwhile: the caller rolls back, and asks each alone."""


def move_each(
    conn: Connection,
    before: State,
    after: State,
    each: Sequence[Mapping[str, Any]],
    *,
    who: Who,
    now: datetime,
    actor: str = "",
    tallied: bool = True,
    trail: list[dict[str, Any]] | None = None,
) -> None:
    """Move several messages at once, each of its own ``id``, ``month`` and ``token``, with the columns it changes.

    What ``move`` does of one, for moves that take nothing out of a budget and no coupon back: all of them, or it raises
    ``OvertakenError``. Raises ``ValueError`` for a move that the table does not allow to ``who``. ``tallied`` is false
    where no budget has a row yet. The trail is left to the caller who gives a list for it: see ``write_trail``.
    """
    allowed = TRANSITIONS.get((before, after))
    takes = (before in COUNTED and after not in COUNTED) or after in UNSEEN
    if allowed is None or who not in allowed.who or takes:
        raise ValueError(f"{who} may not move several dispatches from {before} to {after}")
    if not each:
        return
    finished = now if allowed.final else None
    noted = {"at": now, "actor": actor or who, "who": who, "action": MOVE, "before": before, "after": after}
    for month in sorted({one["month"] for one in each}):
        rows = [{**one, "finished_at": finished} for one in each if one["month"] == month]
        for row in rows:
            del row["month"]
        if _move_rows(conn, rows, month, noted) != len(rows):
            raise OvertakenError
    if not takes_arrays(conn):
        its = [{"dispatch_id": one["id"], "month": one["month"], "token": one["token"]} for one in each]
        rows = [{**noted, "subject": None, **one} for one in its]
        if trail is None:
            write_trail(conn, rows)
        else:
            trail += rows
    if tallied and before not in COUNTED and after in COUNTED:
        tallies.count_in(conn, [one["id"] for one in each], tuple(sorted({one["month"] for one in each})))


def write_trail(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the trail, such as ``move_each`` left to its caller, in the same transaction."""
    if rows and takes_arrays(conn):
        same = alike(rows)
        _trail(same).run(conn, [as_values(rows, same)])
    elif rows:
        _TRAIL.run(conn, rows)


_OF_THE_TRAIL = ("at", "actor", "who", "action", "before", "after", "subject", "dispatch_id", "month", "token")
_TRAIL = Compiled(insert(audit), _OF_THE_TRAIL)


@lru_cache(maxsize=256)  # as below
def _trail(same: frozenset[str]) -> Compiled:
    its = as_columns({name: audit.c[name].type for name in _OF_THE_TRAIL}, same)
    return Compiled(insert(audit).from_select([*its], select(*its.values())))


def _move_rows(conn: Connection, rows: Sequence[Mapping[str, Any]], month: int, noted: Mapping[str, Any]) -> int:
    """Move rows of one month; give how many of them. Their trail is written with it where the database can do so."""
    before, after, names = noted["before"], noted["after"], tuple(rows[0])
    if not takes_arrays(conn):
        return _each(before, after, month, names).run(conn, [as_values([each], names) for each in rows])
    same = alike(rows)
    its_trail = {f"trail_{name}": value for name, value in noted.items()}
    return _each_noted(before, after, month, names, same).run(conn, [as_values(rows, same) | its_trail])


def _moving(before: State, after: State, month: int, its: Mapping[str, ColumnElement[Any]]) -> Update:
    """SQL: the move of the dispatch that ``its`` values tell, with those that it changes."""
    d = dispatches.c
    changes: dict[str, Any] = {name: value for name, value in its.items() if name not in {"id", "token"}}
    if "provider_id" in changes:  # a server that tells none takes none away
        changes["provider_id"] = func.coalesce(changes["provider_id"], d.provider_id)
    if after not in UNDER_WAY:
        changes |= {"leased_until": null(), "lease_holder": null()}
    changes |= {"state": after, "reason": null()}
    mine = (d.month == written_out(month), d.id == its["id"], d.lease_token == its["token"], d.state == before)
    return update(dispatches).where(*mine).values(changes)


@cache
def _each(before: State, after: State, month: int, names: tuple[str, ...]) -> Compiled:
    """SQL: the move of one of several, made once. ``is_month`` is for one execution at a time."""
    return Compiled(_moving(before, after, month, as_columns({name: _TYPES[name] for name in names}, names)))


@lru_cache(maxsize=256)  # what is the same in all rows changes with them
def _each_noted(before: State, after: State, month: int, names: tuple[str, ...], same: frozenset[str]) -> Compiled:
    """SQL: the move of all of several at once, with their trail; it changes as many rows as it has moved."""
    its = as_columns({name: _TYPES[name] for name in names}, same)
    moving = _moving(before, after, month, its).returning(dispatches.c.id, dispatches.c.lease_token).cte("moved")
    noted = {name: bindparam(f"trail_{name}", type_=audit.c[name].type) for name in _NOTED}
    rows = {**noted, "month": written_out(month), "dispatch_id": moving.c.id, "token": moving.c.lease_token}
    return Compiled(insert(audit).from_select(list(rows), select(*rows.values())))


_NOTED = ("at", "actor", "who", "action", "before", "after")
_TYPES = {**{each.name: each.type for each in dispatches.c}, "token": dispatches.c.lease_token.type}


def _counted_until_now(
    conn: Connection, before: State, after: State, *where: ColumnElement[bool]
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Give what a move is about to take out of the budgets: the move forgets when it was handed over."""
    if before not in COUNTED or after in COUNTED:
        return []
    return tallies.counted_ones(conn, dispatches.c.state == before, *where)


def _take_coupons_back(conn: Connection, ended: Sequence[int], months: Sequence[int], now: datetime) -> None:
    """Revoke each issued coupon that no message of its match can show any more, unless it goes out ``always``."""
    step, message, later = (dispatches.alias(name) for name in ("coupon_step", "ended", "later"))
    concerned = (
        select(step.c.id)
        .join(message, and_(message.c.match_id == step.c.match_id, message.c.step > step.c.step))
        .where(message.c.id.in_(ended), step.c.channel == "coupon")
        .where(*(is_month(each.c.month, *months) for each in (step, message)))
        .where(
            not_(
                exists().where(
                    is_month(later.c.month, *months),
                    later.c.match_id == step.c.match_id,
                    later.c.step > step.c.step,
                    later.c.channel.in_(CARRIED),
                    later.c.state.not_in(UNSEEN),
                )
            )
        )
    )
    taken = conn.scalars(
        update(coupons)
        .where(
            coupons.c.dispatch_id.in_(concerned),
            coupons.c.code.is_not(None),
            coupons.c.redeemed_at.is_(None),
            coupons.c.revoked_at.is_(None),
            json_text(coupons.c.terms, "always").is_distinct_from("true"),
        )
        .values(revoked_at=now)
        .returning(coupons.c.dispatch_id)
    ).all()
    if taken:
        tallies.change(conn, tallies.counted_ones(conn, dispatches.c.id.in_(taken)), -1)


def move_all(
    conn: Connection, before: State, after: State, *where: ColumnElement[bool], limit: int = BULK, **how: Any
) -> Iterator[list[int]]:
    """Move in portions of ``limit`` rows; the caller may commit between two of them.

    Those that wait are taken as they would be too late, all others oldest first.
    """
    d = dispatches.c
    waits = before in WAITING
    wanted = (is_in(d.state, before) if waits else d.state == before, *where)
    while True:
        portion = conn.scalars(
            select(d.id)
            .where(*wanted)
            .order_by(*(d.expires_at, d.id) if waits else (d.id,))
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        if portion:
            yield move(conn, before, after, dispatches.c.id.in_(portion), **how)
        if len(portion) < limit:
            return
