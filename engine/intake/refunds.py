"""What was given back: recorded as the file says it, then attached to its sale.

By the id that the row names; where a till gives refunds an id of their own, to the guest's latest earlier sale at the
same store with the same total, else with a greater one. What finds no sale stays recorded and counts for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exists, func, insert, select, update

from engine.database.by_keys import by_keys
from engine.database.planning import by_index
from engine.database.sql import row_by_row
from engine.database.tables import orders, refunds
from engine.intake.desk import CHUNK, Desk, chunks
from engine.intake.upserts import ids


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund or void of a file. ``at`` is epoch seconds; ``amount`` None means the whole order."""

    external_id: str
    kind: str
    at: int
    amount: int | None
    customer_id: int | None
    store_id: int | None

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it the same refund again."""
        return (self.external_id, self.kind, self.at)


class Refunds:
    """Writes the refunds of one file and attaches them at its end, when its sales are all in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hints: dict[tuple[str, str, int], Refund] = {}
        self._orders: set[int] = set()  #: orders of which something changed

    def add(self, batch: Iterable[Refund]) -> None:
        """Record a batch."""
        report = self._desk.report
        wanted: dict[tuple[str, str, int], Refund] = {}
        for each in batch:
            report.refunds += each.kind == "refund"
            report.voids += each.kind == "void"
            report.unchanged += each.key in wanted
            wanted[each.key] = each
        known = self._known(wanted)
        fresh = [each for key, each in wanted.items() if key not in known]
        for key, each in wanted.items():
            if key in known and known[key].amount != each.amount:
                self._desk.conn.execute(update(refunds).where(refunds.c.id == known[key].id).values(amount=each.amount))
                self._orders.update(filter(None, [known[key].order_id]))
                report.changed += 1
            elif key in known:
                report.unchanged += 1
            if key not in known or known[key].order_id is None:
                self._hints[key] = each
        if fresh:
            self._desk.conn.execute(insert(refunds), [self._row(each) for each in fresh])
        report.new += len(fresh)

    def finish(self) -> None:
        """Attach what can be attached, and let the orders know."""
        with by_index(self._desk.conn):
            self._by_id()
            if self._desk.is_till:
                for refund in sorted(self._hints.values(), key=lambda each: (each.at, each.external_id)):
                    self._by_nearness(refund)
            for chunk in chunks(sorted(self._orders), CHUNK):
                self._mark(chunk)
            self._count_unattached()

    def _known(self, keys: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str, int], Any]:
        wanted = set(keys)
        known = {}
        r, ids = refunds.c, sorted({key[0] for key in wanted})
        for row in by_keys(self._desk.conn, tuple(r), r.external_id, ids, r.source == self._desk.source):
            key = (row.external_id, row.kind, int(row.refunded_at.timestamp()))
            if key in wanted:
                known[key] = row
        return known

    def _row(self, refund: Refund) -> dict[str, Any]:
        return {
            "source": self._desk.source,
            "external_id": refund.external_id,
            "order_id": None,
            "kind": refund.kind,
            "refunded_at": refund.at,
            "amount": refund.amount,
        }

    def _by_id(self) -> None:
        """Refunds of earlier files too: their sale may have come only now."""
        conn, source, r = self._desk.conn, self._desk.source, refunds.c
        waiting = conn.execute(select(r.id, r.external_id).where(r.order_id.is_(None), r.source == source)).all()
        sales = ids(self._desk, orders, {row.external_id for row in waiting})
        found = [(row.id, sales[row.external_id]) for row in waiting if row.external_id in sales]
        if found:
            write = update(refunds).where(refunds.c.id == bindparam("its_id")).values(order_id=bindparam("its_sale"))
            conn.execute(write, [{"its_id": refund, "its_sale": sale} for refund, sale in found])
            self._orders.update(sale for _, sale in found)

    def _by_nearness(self, refund: Refund) -> None:
        mine = self._known([refund.key]).get(refund.key)
        if refund.customer_id is None or mine is None or mine.order_id is not None:
            return
        sale = self._same_total(refund) or self._greater_total(refund)
        if sale is not None:
            self._desk.conn.execute(update(refunds).where(refunds.c.id == mine.id).values(order_id=sale))
            self._orders.add(sale)

    def _sales_before(self, refund: Refund) -> Any:
        # Sought among the guest's own: PostgreSQL would go back from the latest of all, or through the till's.
        o, ordered_at = orders.c, orders.c.ordered_at + 0
        return (
            select(o.id)
            .where(
                o.customer_id == refund.customer_id,
                row_by_row(o.source == self._desk.source),
                o.store_id.is_not_distinct_from(refund.store_id),
                ordered_at <= refund.at,
            )
            .order_by(ordered_at.desc(), o.id.desc())
            .limit(1)
        )

    def _same_total(self, refund: Refund) -> int | None:
        if refund.amount is None:
            return None
        untouched = ~exists().where(refunds.c.order_id == orders.c.id)
        found = self._sales_before(refund).where(orders.c.total == refund.amount, untouched)
        sale: int | None = self._desk.conn.scalar(found)
        return sale

    def _greater_total(self, refund: Refund) -> int | None:
        if refund.amount is None:
            return None
        given = select(func.coalesce(func.sum(func.coalesce(refunds.c.amount, orders.c.total)), 0))
        back = given.where(refunds.c.order_id == orders.c.id).correlate(orders).scalar_subquery()
        found = self._sales_before(refund).where(orders.c.total > refund.amount, orders.c.total - back >= refund.amount)
        sale: int | None = self._desk.conn.scalar(found)
        return sale

    def _mark(self, order_ids: list[int]) -> None:
        """Write on the orders since when something of them was given back; their guests' facts are to be made anew."""
        conn = self._desk.conn
        first = select(func.min(refunds.c.refunded_at)).where(refunds.c.order_id == orders.c.id).scalar_subquery()
        conn.execute(update(orders).where(orders.c.id.in_(order_ids)).values(refunded_at=first))
        owners = select(orders.c.customer_id).where(orders.c.id.in_(order_ids), orders.c.customer_id.is_not(None))
        self._desk.touch(owners)

    def _count_unattached(self) -> None:
        for chunk in chunks(list(self._hints), CHUNK):
            self._desk.report.unattached += sum(row.order_id is None for row in self._known(chunk).values())
