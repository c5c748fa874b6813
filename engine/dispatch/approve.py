"""Letting go what waits for a person: approval of a rule, and the staff's cancel. Both leave a trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, func, insert, select, update

from engine.database.partial import is_in
from engine.database.sql import upsert
from engine.database.tables import approvals, audit, dispatches, rules
from engine.dispatch.states import BULK, State, move, move_all
from engine.evaluation.lost import RESTORED

Mode = Literal["first", "always", "two"]
#: Different people who must agree, by the config's ``approvals``.
NAMES = {"first": 1, "always": 1, "two": 2}
WAITING: tuple[State, ...] = ("held", "pending")


def is_for_approval() -> ColumnElement[bool]:
    """SQL: it waits for its rule. What may have gone out before a restore waits for a decision of its own."""
    return and_(dispatches.c.state == "held", dispatches.c.reason.is_distinct_from(RESTORED))


def waits_for_approval() -> ColumnElement[bool]:
    """SQL: the same, to look for it among all that there is."""
    return and_(is_in(dispatches.c.state, "held"), is_for_approval())


class UnknownRuleError(Exception):
    """No rule of that id has been evaluated yet."""


@dataclass(frozen=True, slots=True)
class Approved:
    """What one approval did to one rule."""

    rule: str
    released: int  #: dispatches that may go now
    expired: int  #: for which it came too late
    waits_for: int  #: how many different names are still wanted; 0: approved

    @property
    def approved(self) -> bool:
        """Tell whether the rule is approved now."""
        return self.waits_for == 0


def approve(conn: Connection, rule_id: str | None, *, name: str, now: datetime, mode: Mode) -> list[Approved]:
    """Approve the rule with that id, or (None) every rule that waits; give what it did to each.

    ``name`` is who approves; with ``two`` the second of two different names lets the dispatches go. What is released is
    due now, and later steps by the same delay later. Raises ``UnknownRuleError``.
    """
    waiting = select(dispatches.c.rule_id).where(waits_for_approval()).distinct()
    chosen = select(rules).order_by(rules.c.rule).with_for_update()
    chosen = chosen.where(rules.c.id.in_(waiting)) if rule_id is None else chosen.where(rules.c.rule == rule_id)
    found = conn.execute(chosen).all()
    if rule_id is not None and not found:
        raise UnknownRuleError(rule_id)
    return [_approve(conn, row, name, now, mode) for row in found]


def _approve(conn: Connection, rule: Row[*tuple[Any, ...]], name: str, now: datetime, mode: Mode) -> Approved:
    signature = {"rule_id": rule.id, "content_hash": rule.content_hash, "name": " ".join(name.split()).casefold()}
    conn.execute(upsert(conn, approvals).values(**signature, at=now).on_conflict_do_nothing())
    names = conn.scalar(
        select(func.count()).where(approvals.c.rule_id == rule.id, approvals.c.content_hash == rule.content_hash)
    )
    missing = max(NAMES[mode] - (names or 0), 0)
    conn.execute(
        insert(audit).values(
            at=now, actor=name, action="approve", subject=rule.rule, after="waits" if missing else "approved"
        )
    )
    if missing:
        return Approved(rule.rule, 0, 0, missing)
    conn.execute(
        update(rules)
        .where(rules.c.id == rule.id)
        .values(approved_hash=rule.content_hash, approved_by=name, approved_at=now)
    )
    released, expired = _release(conn, rule.id, name, now)
    return Approved(rule.rule, released, expired, 0)


def _release(conn: Connection, rule_row: int, name: str, now: datetime) -> tuple[int, int]:
    """Move ``held`` to ``pending``, match by match; what is too late already expires."""
    released = expired = 0
    while True:
        found = conn.scalars(
            select(dispatches.c.match_id)
            .where(waits_for_approval(), dispatches.c.rule_id == rule_row)
            .order_by(dispatches.c.expires_at, dispatches.c.id)
            .limit(BULK)
        ).all()
        if not found:
            return released, expired
        portion = sorted(set(found))
        of_portion = dispatches.c.match_id.in_(portion)
        late = move(
            conn, "held", "expired", of_portion, dispatches.c.expires_at <= now, who="anyone", now=now, reason="late"
        )
        expired += len(late)
        released += _release_portion(conn, portion, name, now)


def _release_portion(conn: Connection, portion: Sequence[int], name: str, now: datetime) -> int:
    rows = conn.execute(
        select(dispatches.c.id, dispatches.c.match_id, dispatches.c.due_at).where(
            dispatches.c.match_id.in_(portion), is_for_approval()
        )
    ).all()
    first: dict[int, datetime] = {}
    for row in rows:
        first[row.match_id] = min(first.get(row.match_id, row.due_at), row.due_at)
    by_delay: dict[timedelta, list[int]] = {}
    for row in rows:
        by_delay.setdefault(max(now - first[row.match_id], timedelta(0)), []).append(row.id)
    moved = 0
    for delay, ids in by_delay.items():
        chosen = dispatches.c.id.in_(ids)
        later = {"due_at": dispatches.c.due_at + int(delay.total_seconds())}
        moved += len(move(conn, "held", "pending", chosen, who="staff", now=now, actor=name, values=later))
    return moved


def cancel(conn: Connection, *, name: str, now: datetime, rule_id: str | None = None, ids: Sequence[int] = ()) -> int:
    """Cancel what has not gone out: all of a rule, or single dispatches by id; give how many. Nothing in ``handoff``.

    Raises ``UnknownRuleError``.
    """
    chosen = dispatches.c.id.in_(ids)
    if rule_id is not None:
        row = conn.scalar(select(rules.c.id).where(rules.c.rule == rule_id))
        if row is None:
            raise UnknownRuleError(rule_id)
        chosen = dispatches.c.rule_id == row
    cancelled = 0
    for before in WAITING:
        for moved in move_all(conn, before, "cancelled", chosen, who="staff", now=now, actor=name, reason="staff"):
            cancelled += len(moved)
    return cancelled


def resolve_forgotten(conn: Connection, ids: Sequence[int], *, send: bool, name: str, now: datetime) -> list[int]:
    """Let staff say of what is held since a restore whether it goes out (again), or not; give the ids that moved."""
    these = (dispatches.c.id.in_(ids), dispatches.c.reason == RESTORED)
    how: dict[str, Any] = {"who": "staff", "now": now, "actor": name}
    if send:
        return move(conn, "held", "pending", *these, dispatches.c.expires_at > now, values={"due_at": now}, **how)
    return move(conn, "held", "cancelled", *these, reason="staff", **how)
