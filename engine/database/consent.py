"""Permission to use an endpoint: suppression and consent, as SQL and as facts written.

Consent belongs to the endpoint, not to the customer: two records with one address are one inbox. ``consents`` is
append-only; the newest row of the endpoint for the topic (or for all marketing) counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, ScalarSelect, bindparam, case, insert, null, or_, select, update

from engine.database.sql import Id
from engine.database.tables import consents, endpoints

Purpose = Literal["marketing", "service"]

#: FOR NO KEY UPDATE: a row written elsewhere that only points at the endpoint, a guest's in a long import, does not
#: wait and is not waited for.
_LOCK = (
    select(endpoints.c.id)
    .where(endpoints.c.id.in_(bindparam("ids", expanding=True, type_=Id)))
    .order_by(endpoints.c.id)
    .with_for_update(key_share=True)
)


def last_state(endpoint_id: ColumnElement[Any], topic: str | None) -> ScalarSelect[str]:
    """SQL: ``yes``, ``no`` or NULL, the newest word of the endpoint on ``topic`` (None: on all marketing)."""
    given = consents.alias("given")
    about = given.c.topic.is_(None) if topic is None else or_(given.c.topic.is_(None), given.c.topic == topic)
    return (
        select(given.c.state)
        .where(given.c.endpoint_id == endpoint_id, about)
        .order_by(given.c.at.desc(), given.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def block_reason(endpoint_id: ColumnElement[Any], *, purpose: Purpose, topic: str | None) -> ColumnElement[str | None]:
    """SQL: why nothing may go to the endpoint (``no_endpoint``, ``suppressed``, ``no_consent``), or NULL.

    Scalar look-ups on purpose: on PostgreSQL they are four times faster than joins here (``benchmarks``).
    """
    reached = endpoints.alias("reached")
    suppressed = select(reached.c.suppressed_at).where(reached.c.id == endpoint_id).scalar_subquery()
    blocks: list[tuple[ColumnElement[bool], str]] = [
        (endpoint_id.is_(None), "no_endpoint"),
        (suppressed.is_not(None), "suppressed"),
    ]
    if purpose == "marketing":
        blocks.append((last_state(endpoint_id, topic).is_distinct_from("yes"), "no_consent"))
    return case(*blocks, else_=null())


def lock_endpoint(conn: Connection, endpoint_id: int) -> None:
    """Hold the endpoint's row until the transaction ends: opt-out and fence never pass each other."""
    lock_endpoints(conn, [endpoint_id])


def lock_endpoints(conn: Connection, endpoint_ids: Sequence[int]) -> None:
    """Hold the rows of a few hundred endpoints until the transaction ends, taken in the order of their ids.

    SQLite's ``BEGIN IMMEDIATE`` holds the whole database already and ignores FOR UPDATE.
    """
    conn.execute(_LOCK, {"ids": endpoint_ids})


def record_consent(
    conn: Connection,
    endpoint_id: int,
    state: Literal["yes", "no"],
    *,
    at: datetime,
    source: str,
    basis: Literal["express", "implied"] = "express",
    topic: str | None = None,
    customer_id: int | None = None,
    evidence: str | None = None,
) -> None:
    """Append what a guest said about marketing to one endpoint; takes effect with the caller's commit."""
    lock_endpoint(conn, endpoint_id)
    conn.execute(
        insert(consents).values(
            endpoint_id=endpoint_id,
            customer_id=customer_id,
            topic=topic,
            basis=basis,
            state=state,
            at=at,
            source=source,
            evidence=evidence,
        )
    )


def suppress(conn: Connection, endpoint_id: int, why: str, *, at: datetime) -> None:
    """Stop everything, service messages too, to one endpoint; the first reason stays on record."""
    lock_endpoint(conn, endpoint_id)
    conn.execute(
        update(endpoints)
        .where(endpoints.c.id == endpoint_id, endpoints.c.suppressed_at.is_(None))
        .values(suppressed_at=at, suppressed_why=why)
    )
