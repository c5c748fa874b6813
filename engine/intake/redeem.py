"""Redeeming a coupon: by its code, or by the till's name of the discount for a guest who holds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, update

from engine.database.tables import coupons, orders, stores
from engine.language import codes
from engine.language.offers import Offer
from engine.language.textkey import text_key

_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class _Bill:
    total: int
    store_id: str | None
    store_key: str | None


def live(at: datetime) -> ColumnElement[bool]:
    """SQL: the coupon has been issued, and neither redeemed nor taken back, and is good at ``at``."""
    c = coupons.c
    return and_(
        c.code.is_not(None),
        c.redeemed_at.is_(None),
        c.revoked_at.is_(None),
        or_(c.issued_at.is_(None), c.issued_at <= at),
        or_(c.valid_until.is_(None), c.valid_until > at),
    )


def redeem(
    conn: Connection,
    *,
    code: str | None = None,
    customer_id: int | None = None,
    till_name: str | None = None,
    order_id: int | None,
    at: datetime,
    offers: Mapping[str, Offer],
) -> bool:
    """Redeem one live coupon: that of ``code``, or the guest's own whose offer the till calls ``till_name``.

    The store and the least bill of its terms are held against the order; without one they are not asked. Of several the
    one that runs out first goes. Of two callers at once one gets True: the coupon changes in one conditional UPDATE.
    """
    read = codes.read(code) if code else None
    if read:
        found = list(conn.execute(_open(at).where(coupons.c.code == read)))
    else:
        found = _called(conn, customer_id, till_name, at, offers)
    bill = _bill(conn, order_id) if found and order_id is not None else None
    for coupon in found:
        if bill is not None and not _fits(coupon.terms, bill):
            continue
        done = (
            update(coupons)
            .where(coupons.c.id == coupon.id, live(at))
            .values(redeemed_at=at, redeemed_order_id=order_id)
            .returning(coupons.c.id)
        )
        if conn.scalar(done) is not None:
            return True
    return False


def _open(at: datetime) -> Select[Any]:
    columns = select(coupons.c.id, coupons.c.offer, coupons.c.terms)
    return columns.where(live(at)).order_by(coupons.c.valid_until.is_(None), coupons.c.valid_until, coupons.c.id)


def _called(
    conn: Connection, customer_id: int | None, till_name: str | None, at: datetime, offers: Mapping[str, Offer]
) -> list[Any]:
    """The guest's open coupons that the till knows by this name, then or now."""
    if customer_id is None or not till_name:
        return []
    key = text_key(till_name)

    def is_called(coupon: Any) -> bool:
        now = offers.get(coupon.offer)
        names = {coupon.terms.get("till"), now.till if now else None}
        return key in {text_key(name) for name in names if name}

    return [
        coupon for coupon in conn.execute(_open(at).where(coupons.c.customer_id == customer_id)) if is_called(coupon)
    ]


def _bill(conn: Connection, order_id: int) -> _Bill | None:
    row = conn.execute(
        select(orders.c.total, stores.c.external_id, stores.c.name_key)
        .select_from(orders.outerjoin(stores, stores.c.id == orders.c.store_id))
        .where(orders.c.id == order_id)
    ).one_or_none()
    return _Bill(*row) if row else None


def _fits(terms: Mapping[str, Any], bill: _Bill) -> bool:
    named = [str(store) for store in terms.get("stores") or ()]
    if named and bill.store_id not in named and bill.store_key not in {text_key(store) for store in named}:
        return False
    return _before_discount(terms, bill.total) >= (terms.get("minimum_spend") or 0)


def _before_discount(terms: Mapping[str, Any], total: int) -> int:
    """What the bill was before the coupon; the total is what was paid after it."""
    value = terms.get("value") or 0
    if terms.get("kind") == "percent" and value < _WHOLE:
        return total * _WHOLE // (_WHOLE - value)
    return total + value if terms.get("kind") == "amount" else total
