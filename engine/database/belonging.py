"""Whose messages: of a guest, or to an address, whether they were handed over or not.

What was handed over is in an index by both (``ix_dispatches_customer_day``); what was not is found by its match.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, select, union_all

from engine.database.sql import alias_of
from engine.database.tables import dispatches, matches, rules


def of_guest(customer_id: ColumnElement[int] | int, its: Any = dispatches.c) -> ColumnElement[bool]:
    """SQL: the dispatch (its columns: ``its``) is of one of the guest's matches."""
    match = alias_of(matches, "mine")
    match_id: ColumnElement[int] = its.match_id
    return match_id.in_(select(match.c.id).where(match.c.customer_id == customer_id).correlate_except(match))


def to_endpoint(endpoint_id: int) -> ColumnElement[bool]:
    """SQL: the dispatch goes, went, or was not let to this address, which its match names."""
    m, d = alias_of(matches, "theirs").c, dispatches.c
    of_a_rule = m.rule_id.in_(select(rules.c.id))  # so are a match's addresses indexed
    named = (select(m.id).where(of_a_rule, address == endpoint_id) for address in (m.email_id, m.sms_id))
    return and_(d.endpoint_id == endpoint_id, d.match_id.in_(union_all(*named)))
