"""Asks for what no foreign key guards: what matches and messages copy from elsewhere is there, and agrees.

A key for each would be looked up for every row that a run writes, and nothing of ours takes these rows away.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Connection, func, not_, or_, select

from engine.database.tables import contents, dispatches, endpoints, matches, rule_versions, rules, runs, stores
from engine.dispatch.proofs import Proof

#: Column of a match -> what it names.
_OF_MATCH: Final[tuple[tuple[Column[Any], Column[Any], str], ...]] = (
    (matches.c.rule_id, rules.c.id, "a rule"),
    (matches.c.run_id, runs.c.id, "a run"),
    (matches.c.version_id, rule_versions.c.id, "a version of its rule"),
    (matches.c.email_id, endpoints.c.id, "an email address"),
    (matches.c.sms_id, endpoints.c.id, "a phone number"),
    (matches.c.store_id, stores.c.id, "a store"),
)
#: The same of a message.
_OF_DISPATCH: Final[tuple[tuple[Column[Any], Column[Any], str], ...]] = (
    (dispatches.c.endpoint_id, endpoints.c.id, "an address"),
    (dispatches.c.content_id, contents.c.id, "a template's version"),
)


def origins(conn: Connection) -> Proof:
    """Look for what matches and messages name and is not there, and for messages of another guest than their match."""
    proof, d, m = Proof("origins", ""), dispatches.c, matches.c
    count = sum(conn.scalar(select(func.count()).select_from(each)) or 0 for each in (matches, dispatches))
    proof.looked_at = f"{count:,} matches and steps"
    for column, there, what in _OF_MATCH:
        for number in conn.scalars(_naming_nothing(column, there)):
            proof.fault(None, f"match {number} names {what} that is not there")
    of_another = rule_versions.c.rule_id != m.rule_id
    for number in conn.scalars(
        select(m.id).join(rule_versions, rule_versions.c.id == m.version_id).where(of_another).order_by(m.id)
    ):
        proof.fault(None, f"match {number} names a version of another rule")
    for column, there, what in _OF_DISPATCH:
        for number in conn.scalars(_naming_nothing(column, there)):
            proof.fault(number, f"it names {what} that is not there")
    apart = or_(d.customer_id != m.customer_id, d.rule_id != m.rule_id)
    for number in conn.scalars(select(d.id).join(matches, m.id == d.match_id).where(apart).order_by(d.id)):
        proof.fault(number, "it is of another guest or rule than its match")
    return proof


def _naming_nothing(column: Column[Any], there: Column[Any]) -> Any:
    """SQL: the ids of rows whose ``column`` names a row that is not there."""
    mine = column.table.c.id
    none = not_(select(there).where(there == column).correlate(column.table).exists())
    return select(mine).where(column.is_not(None), none).order_by(mine)
