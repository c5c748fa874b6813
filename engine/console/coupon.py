"""A coupon at the counter: whose it is, what it is good for, and taking it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from engine.console.exits import MistypedError, Refusal
from engine.console.page import Column, Page, visible
from engine.console.session import Session
from engine.console.words import moment, money
from engine.database.tables import audit, coupons, customers, dispatches, orders, rules
from engine.intake.redeem import redeem
from engine.language.codes import read, shown
from engine.language.config import Config
from engine.language.times import business_day


def shown_coupon(session: Session, code: str, at: datetime, shape: str) -> str:
    """Say whose a coupon is and whether it is good, as text or as one JSON object."""
    with session.look() as conn:
        coupon = coupon_of(conn, code)
    page = Page()
    if shape == "json":
        page.json_lines([to_json(coupon, at, session)])
    else:
        coupon_report(page, coupon, at, session)
    return page.text


def coupon_of(conn: Connection, code: str) -> Row[Any]:
    """Give the coupon of a code as somebody typed it, with its guest and rule."""
    wanted = read(code)
    if wanted is None:
        raise MistypedError(f'"{code}" is no code: it has 13 letters and digits, such as K7QM-2XRT-9BWN-H. Look again')
    row = conn.execute(
        select(coupons, customers.c.external_id, customers.c.name.label("guest"), rules.c.rule)
        .join(customers, customers.c.id == coupons.c.customer_id)
        # A coupon outlives the month of its step: then nobody knows its rule any more.
        .outerjoin(dispatches, dispatches.c.id == coupons.c.dispatch_id)
        .outerjoin(rules, rules.c.id == dispatches.c.rule_id)
        .where(coupons.c.code == wanted)
    ).one_or_none()
    if row is None:
        raise MistypedError(f"there is no coupon {shown(wanted)}")
    return row


def why_not(coupon: Row[Any], at: datetime, session: Session) -> str | None:
    """Say why the coupon is not good at ``at``, or None where it is."""
    zone = session.zone
    if coupon.redeemed_at is not None:
        return f"it was redeemed on {moment(coupon.redeemed_at, zone)}"
    if coupon.revoked_at is not None:
        return f"it was taken back on {moment(coupon.revoked_at, zone)}: its message never reached the guest"
    if coupon.issued_at is not None and at < coupon.issued_at:
        return f"it was issued later, on {moment(coupon.issued_at, zone)}"
    if coupon.valid_until is not None and at >= coupon.valid_until:
        return f"it was good until {last_day(coupon.valid_until, session.home.config)}"
    return None


def to_json(coupon: Row[Any], at: datetime, session: Session) -> dict[str, Any]:
    """Give the object that ``coupon show --format json`` prints."""
    times = ("issued_at", "valid_until", "redeemed_at", "revoked_at")
    return {
        "code": shown(coupon.code),
        "offer": coupon.offer,
        "customer": coupon.external_id,
        "rule": coupon.rule,
        "good": why_not(coupon, at, session) is None,
        **{name: None if getattr(coupon, name) is None else getattr(coupon, name).isoformat() for name in times},
        "terms": coupon.terms,
    }


def coupon_report(page: Page, coupon: Row[Any], at: datetime, session: Session) -> None:
    """Say what the coupon is, and whether it is good."""
    terms: Mapping[str, Any] = coupon.terms
    page.line(f"{shown(coupon.code)}  {_name(terms, coupon.offer)}", "strong")
    minimum = money(terms.get("minimum_spend"), session.home.config.business.currency)
    rows = [
        ("guest", f"{coupon.external_id} {visible(coupon.guest or '')}".strip()),
        ("rule", coupon.rule),
        ("issued", moment(coupon.issued_at, session.zone)),
        ("good until", last_day(coupon.valid_until, session.home.config) if coupon.valid_until else "for ever"),
        ("least bill", minimum),
        ("stores", ", ".join(terms.get("stores") or ())),
    ]
    page.table([Column("", style="faint"), Column("")], [row for row in rows if row[1]], indent=2)
    bad = why_not(coupon, at, session)
    page.line(f"Not good: {bad}." if bad else "Good.", "bad" if bad else "good", indent=2)


def redeemed(session: Session, code: str, *, order: str | None, at: datetime, by: str) -> str:
    """Redeem the coupon and say so; of two callers at once one is refused.

    Raises ``Refusal`` with the reason where it is not good, or not for that order.
    """
    with session.db.begin() as conn:
        coupon = coupon_of(conn, code)
        bad = why_not(coupon, at, session)
        if bad is not None:
            raise Refusal(f"{shown(coupon.code)} is not good: {bad}")
        order_id = None if order is None else _order(conn, order)
        if not redeem(conn, code=coupon.code, order_id=order_id, at=at, offers=session.home.offers):
            raise Refusal(
                f"{shown(coupon.code)} is not good for order {order}: its store or its least bill is another"
                if order is not None
                else f"{shown(coupon.code)} was redeemed by somebody else in this moment"
            )
        conn.execute(
            insert(audit).values(
                at=session.clock(),
                actor=by,
                action="redeem",
                subject=f"coupon {coupon.id}",
                before="issued",
                after="redeemed",
            )
        )
    return f"{shown(coupon.code)} is redeemed: {_name(coupon.terms, coupon.offer)}.\n"


def _order(conn: Connection, name: str) -> int:
    found = conn.scalars(select(orders.c.id).where(orders.c.external_id == name)).all()
    if len(found) != 1:
        raise MistypedError(f'there {"is no order" if not found else "are several orders"} "{name}"')
    return int(found[0])


def _name(terms: Mapping[str, Any], offer: str) -> str:
    name = terms.get("name") or offer
    return visible(str(name if not isinstance(name, Mapping) else next(iter(name.values()))))


def last_day(until: datetime, config: Config) -> date:
    """Give the last business day on which it is good; ``until`` is exclusive."""
    return business_day(until - timedelta(seconds=1), config.business.timezone, config.day_starts)
