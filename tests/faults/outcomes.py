"""What a scene must have come to in the end, whether anybody was killed or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from engine.database.tables import (
    coupons,
    customer_facts,
    customers,
    dispatches,
    matches,
    metadata,
    points,
    rules,
    tags,
)

from .scenes import MAIL, NAME, PHONE


def decided(db: Engine) -> list[str]:
    """Give every match and dispatch, by names that are the same in every run."""
    m, d = matches.c, dispatches.c
    columns = (
        rules.c.rule, m.customer_id, m.occasion, m.verdict, m.reason, d.step, d.part, d.channel, d.state, d.due_at,
        d.expires_at,
    )  # fmt: skip
    query = (
        select(*columns).join_from(matches, rules, rules.c.id == m.rule_id).outerjoin(dispatches, d.match_id == m.id)
    )
    with db.begin() as conn:
        return sorted(map(str, conn.execute(query)))


def given(db: Engine) -> list[str]:
    """Give what every guest has of coupons, points and tags, and what the facts say of it."""
    with db.begin() as conn:
        codes = conn.execute(
            select(coupons.c.customer_id, func.count(), func.count(coupons.c.code), func.count(coupons.c.revoked_at))
            .group_by(coupons.c.customer_id)
            .order_by(coupons.c.customer_id)
        ).all()
        ledger = select(points.c.customer_id, func.count(), func.sum(points.c.points)).group_by(points.c.customer_id)
        facts = select(customer_facts.c.customer_id, customer_facts.c.points).order_by(customer_facts.c.customer_id)
        rows = [*codes, *conn.execute(ledger.order_by(points.c.customer_id)), *conn.execute(facts)]
        rows += conn.execute(select(tags.c.customer_id, tags.c.tag).order_by(tags.c.customer_id)).all()
    return [str(row) for row in rows]


def traces_left(db: Engine, root: Path) -> list[str]:
    """Give where the guest who was erased is still to be found: every byte of every file, every row of every table."""
    found = []
    needles = [NAME.encode(), MAIL.encode(), PHONE[1:].encode()]
    for file in sorted(each for each in root.rglob("*") if each.is_file()):
        raw = file.read_bytes().lower()
        found += [f"{file.relative_to(root)}: {each.decode()}" for each in needles if each.lower() in raw]
    with db.begin() as conn:
        found += [f"a row of {name}" for name, text in _rows(conn) if any(each.decode() in text for each in needles)]
        if conn.scalar(select(func.count()).where(customers.c.erased_at.is_not(None))) != 1:
            found.append("not one guest is erased")
    return found


def _rows(conn: Connection) -> Iterator[tuple[str, str]]:
    for table in metadata.sorted_tables:
        for row in conn.execute(select(table)):
            yield table.name, str(row)
