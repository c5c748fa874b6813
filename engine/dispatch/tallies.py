"""What has been used of each budget: a row a budget and period, kept up by every move of a dispatch.

A row is made when its budget is first asked, from the dispatches as they are; from then on each hand-over adds to it in
its own transaction, and what comes to nothing is given back. So it always equals what the dispatches say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, case, exists, func, select, update

from engine.database.months import is_month
from engine.database.sql import Id, upsert
from engine.database.tables import budget_uses, coupons, dispatches, rules
from engine.language.budgets import Kind

#: The ``rule_id`` of the whole home's budgets.
HOME = 0
#: What counts: it went out, or may have.
COUNTED = ("handoff", "sent", "uncertain")
CHANNELS: Mapping[Kind, tuple[str, ...]] = {
    "email": ("email",),
    "sms": ("sms",),
    "messages": ("email", "sms"),
    "sms_segments": ("sms",),
    "coupons": ("coupon",),
    "coupon_value": ("coupon",),
}
#: Coupons' come last: who refuses a message holds its budgets, and gives its coupon's back.
_PLACES: Final[Mapping[str, int]] = {kind: place for place, kind in enumerate(CHANNELS)}
TURN: Final = (
    case(_PLACES, value=budget_uses.c.kind),
    budget_uses.c.rule_id,
    budget_uses.c.begins,
    budget_uses.c.ends,
)
_COLUMNS = (dispatches.c.id, dispatches.c.rule_id, dispatches.c.channel, dispatches.c.handed_at, dispatches.c.segments)


@dataclass(frozen=True, slots=True)
class Tally:
    """One budget's period, from the first of the two instants to before the second."""

    rule_id: int  #: ``HOME``, or a rule's row
    kind: Kind
    begins: datetime
    ends: datetime

    @property
    def turn(self) -> tuple[int, int, datetime, datetime]:
        """Its place in the one order in which budgets are locked; ``TURN`` is the same as SQL."""
        return _PLACES[self.kind], self.rule_id, self.begins, self.ends

    def itself(self) -> ColumnElement[bool]:
        """SQL: the row is this period's."""
        row = budget_uses.c
        same = (row.rule_id == self.rule_id, row.kind == self.kind)
        return and_(*same, row.begins == self.begins, row.ends == self.ends)

    def used(self, conn: Connection) -> int:
        """Give what has been used, in messages, segments, coupons or minor units; locks nothing."""
        known = conn.scalar(select(budget_uses.c.used).where(self.itself()))
        return self.counted(conn) if known is None else int(known)

    def lock(self, conn: Connection) -> None:
        """Let nobody else use the budget until the transaction ends; the row is made where there is none."""
        mine = select(budget_uses.c.used).where(self.itself()).with_for_update()
        if conn.scalar(mine) is None:
            row = {"rule_id": self.rule_id, "kind": self.kind, "begins": self.begins, "ends": self.ends}
            fresh = upsert(conn, budget_uses).values(**row, used=self.counted(conn))
            conn.execute(fresh.on_conflict_do_nothing(index_elements=list(row)))
            conn.execute(mine)

    def counted(self, conn: Connection) -> int:
        """Count what the period has used from the dispatches."""
        d = dispatches.c
        amount: ColumnElement[Any] = func.count()
        held = select(d.id).select_from(dispatches)
        if self.kind == "sms_segments":
            amount = func.coalesce(func.sum(func.coalesce(d.segments, 1)), 0)
        elif self.kind in {"coupons", "coupon_value"}:
            held = held.join(coupons, coupons.c.dispatch_id == d.id).where(coupons.c.revoked_at.is_(None))
            if self.kind == "coupon_value":
                amount = func.coalesce(func.sum(coupons.c.worth), 0)
        # Every rule of the home by its id: so the index by rule, channel and time is of use.
        whose = d.rule_id == self.rule_id if self.rule_id != HOME else d.rule_id.in_(select(rules.c.id))
        wanted = held.with_only_columns(amount).where(
            whose,
            d.channel.in_(CHANNELS[self.kind]),
            d.state.in_(COUNTED),
            d.handed_at >= self.begins,
            d.handed_at < self.ends,
        )
        return int(conn.scalar(wanted) or 0)


def lock(conn: Connection, tallies: Iterable[Tally]) -> None:
    """Lock budgets, always in one order, so that two workers wait for each other in no circle."""
    for each in sorted(set(tallies), key=lambda tally: tally.turn):
        each.lock(conn)


def counted_ones(conn: Connection, *where: ColumnElement[bool]) -> Sequence[Row[*tuple[Any, ...]]]:
    """Give the dispatches that count now, as ``change`` takes them."""
    return conn.execute(select(*_COLUMNS).where(dispatches.c.state.in_(COUNTED), *where)).all()


@dataclass(frozen=True, slots=True)
class Used:
    """By what something is used that has a budget: a rule's messages, or coupons, of one moment."""

    rule_id: int
    channel: str
    handed_at: datetime


def change(conn: Connection, concerned: Sequence[Row[*tuple[Any, ...]]], sign: int) -> None:
    """Add what dispatches use (``sign`` 1) to the budgets that have a row, or give it back (-1)."""
    for each in concerned:
        if each.handed_at is not None:
            used = Used(each.rule_id, each.channel, each.handed_at)
            value = 0
            if each.channel == "coupon":
                value = conn.scalar(select(coupons.c.worth).where(coupons.c.dispatch_id == each.id)) or 0
            add(conn, used, sign, sign * (1 if each.segments is None else each.segments), sign * value)


def add(conn: Connection, used: Used, count: int, segments: int, value: int = 0) -> None:
    """Add to the budgets that have a row: so many messages or coupons, segments of SMS, and minor units of coupons."""
    kinds = sorted(kind for kind, channels in CHANNELS.items() if used.channel in channels)
    if not kinds:
        return
    row = budget_uses.c
    same = and_(
        row.rule_id.in_((HOME, used.rule_id)),
        row.kind.in_(kinds),
        row.begins <= used.handed_at,
        row.ends > used.handed_at,
    )
    if not conn.execute(select(row.used).where(same).order_by(*TURN).with_for_update()).all():
        return
    amount = case((row.kind == "sms_segments", segments), (row.kind == "coupon_value", value), else_=count)
    conn.execute(update(budget_uses).where(same).values(used=row.used + amount))


def count_in(conn: Connection, ids: Sequence[int], months: tuple[int, ...]) -> None:
    """Add what these messages use, which count from now on; coupons are not asked for what they are worth."""
    for row in conn.execute(_count_in(months), {"ids": ids}):
        add(conn, Used(row.rule_id, row.channel, row.handed_at), row.number, row.billed)


@lru_cache(maxsize=64)
def _count_in(months: tuple[int, ...]) -> Select[Any]:
    """SQL: what dispatches of these months use. Nothing, and at once, where no budget was ever asked."""
    d = dispatches.c
    return (
        select(
            d.rule_id,
            d.channel,
            d.handed_at,
            func.count().label("number"),
            func.sum(func.coalesce(d.segments, 1)).label("billed"),
        )
        .where(is_month(d.month, *months), d.id.in_(bindparam("ids", expanding=True, type_=Id)))
        .where(exists(select(budget_uses.c.used)))
        .group_by(d.rule_id, d.channel, d.handed_at)
        .order_by(d.rule_id, d.channel)
    )


def recount(conn: Connection) -> int:
    """Count what every budget has used anew from the dispatches; give in how many periods that changed anything."""
    changed = 0
    for each in conn.execute(select(budget_uses).order_by(*TURN).with_for_update()).all():
        tally = Tally(each.rule_id, each.kind, each.begins, each.ends)
        used = tally.counted(conn)
        if used != each.used:
            conn.execute(update(budget_uses).where(tally.itself()).values(used=used))
            changed += 1
    return changed
