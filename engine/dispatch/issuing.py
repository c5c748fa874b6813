"""Many coupon steps at once: those that plainly may be done, asked about and done in a few statements.

Nothing here says no. Whoever is not named is done alone by ``inside.py``, and only that answer counts.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, exists, select, update
from sqlalchemy.exc import IntegrityError

from engine.database.compiled import Compiled
from engine.database.months import is_month
from engine.database.sql import EpochSeconds, Id
from engine.database.tables import budget_uses, coupons, customers, dispatches, rules
from engine.dispatch import tallies
from engine.dispatch.claims import Claim
from engine.dispatch.coupons import OF_A_MESSAGE, moment, valid_until
from engine.dispatch.fence import Policy
from engine.dispatch.outbox import stopped
from engine.dispatch.plain import alike, readable
from engine.dispatch.states import CARRIED, UNSEEN, OvertakenError, move_each
from engine.language.rule import Rule

_IDS: Final = bindparam("ids", expanding=True, type_=Id)
_DRAW: Final = Compiled(
    update(coupons)
    .where(coupons.c.id == bindparam("number", type_=Id), coupons.c.code.is_(None))
    .values(
        code=bindparam("drawn"),
        issued_at=bindparam("at", type_=EpochSeconds),
        valid_until=bindparam("until", type_=EpochSeconds),
    )
)
_TALLIED: Final = select(exists(select(budget_uses.c.used)))

#: A coupon step with its rule.
_Asked = tuple[Rule, Claim]
#: One that can be done, its coupon's id, and until when that is good.
_Drawn = tuple[Claim, int, datetime | None]


def issue_plainly(
    conn: Connection,
    claims: Sequence[Claim],
    policy: Policy,
    at: datetime,
    *,
    budgeted: Collection[int],
    draw: Callable[[], str],
) -> set[int]:
    """Draw the codes of those claimed coupon steps that plainly may be drawn; give the ids of these, which are done.

    ``claims`` are all that the transaction has claimed. Of a guest with several of them none is done here: what one
    step does another may be asked about. ``budgeted`` are the ids of those that a budget is asked about: none is done.
    """
    of_guest = Counter(each.customer_id for each in claims)
    drawable = [each for each in claims if each.channel == "coupon" and each.id not in budgeted]
    alone = [each for each in drawable if of_guest[each.customer_id] == 1 and at < each.expires_at]
    asked = [(rule, each) for each in alone if (rule := readable(conn, each, policy)) is not None]
    asked = _on(conn, _permitted(conn, asked), policy, at)
    drawn = _shown(conn, asked, policy, at)
    return {claim.id for claim, _, _ in drawn} if drawn and _done(conn, drawn, at, draw) else set()


def _permitted(conn: Connection, asked: Sequence[_Asked]) -> list[_Asked]:
    """Leave out what the big red button, an erasure or the rule's switch keeps back."""
    if not asked:
        return []
    rows = conn.execute(_may(_months(asked)), {"ids": [claim.id for _, claim in asked]})
    may = {row.id for row in rows if not row.stopped and row.erased_at is None and row.active}
    return [each for each in asked if each[1].id in may]


def _on(conn: Connection, asked: Sequence[_Asked], policy: Policy, at: datetime) -> list[_Asked]:
    """Leave out those whose match, or whose own step, is off."""
    off = {each for group in alike(asked) for each in policy.stopped_among(conn, *group, at)}
    return [each for each in asked if each[1].id not in off]


def _shown(conn: Connection, asked: Sequence[_Asked], policy: Policy, at: datetime) -> list[_Drawn]:
    """Give those that a message can still show, or that need none."""
    if not asked:
        return []
    months, ids = _months(asked), [claim.id for _, claim in asked]
    found = {row.dispatch_id: row for row in conn.execute(_COUPONS, {"ids": ids})}
    later: dict[int, list[Row[Any]]] = {}
    for row in conn.execute(_later(months), {"ids": sorted({claim.match_id for _, claim in asked})}):
        later.setdefault(row.match_id, []).append(row)
    shown, now = [], []
    for rule, claim in asked:
        behind = [each for each in later.get(claim.match_id, ()) if each.step > claim.step]
        in_time = [each for each in behind if moment(claim, each, policy, rule, at) is not None]
        if found[claim.id].terms.get("always") or any(each.due_at > at or each.state != "pending" for each in in_time):
            shown.append((rule, claim))
        elif in_time:
            now.append((rule, replace(claim, step=in_time[0].step)))
    may = {claim.id for _, claim in [*shown, *_on(conn, now, policy, at)]}
    drawn = []
    for _, claim in asked:
        if claim.id in may:
            coupon = found[claim.id]
            with contextlib.suppress(ValueError):  # terms that cannot be read: told when it is done alone
                drawn.append((claim, coupon.id, valid_until(coupon.terms, at, claim.zone, policy.day_starts)))
    return drawn


def _done(conn: Connection, drawn: Sequence[_Drawn], at: datetime, draw: Callable[[], str]) -> bool:
    """Draw all of them and move their steps; where one code is taken, or one step is another's by now, none."""
    rows = [{"number": number, "drawn": draw(), "at": at, "until": until} for _, number, until in drawn]
    moved = [{"id": each.id, "month": each.month, "token": each.token, "handed_at": at} for each, _, _ in drawn]
    try:
        with conn.begin_nested():
            _DRAW.run(conn, rows)
            move_each(conn, "claimed", "sent", moved, who="holder", now=at, tallied=False)
    except (IntegrityError, OvertakenError):
        return False
    if conn.scalar(_TALLIED):
        its_months = is_month(dispatches.c.month, *{claim.month for claim, _, _ in drawn})
        ids = dispatches.c.id.in_([claim.id for claim, _, _ in drawn])
        tallies.change(conn, tallies.counted_ones(conn, its_months, ids), 1)
    return True


def _months(asked: Iterable[_Asked]) -> tuple[int, ...]:
    return tuple(sorted({claim.month for _, claim in asked}))


_COUPONS: Final = select(coupons.c.id, coupons.c.dispatch_id, coupons.c.terms).where(coupons.c.dispatch_id.in_(_IDS))


@lru_cache(maxsize=64)
def _may(months: tuple[int, ...]) -> Select[Any]:
    d = dispatches.c
    return (
        select(d.id, stopped().label("stopped"), customers.c.erased_at, rules.c.active)
        .join(customers, customers.c.id == d.customer_id)
        .join(rules, rules.c.id == d.rule_id)
        .where(is_month(d.month, *months), d.id.in_(_IDS))
    )


@lru_cache(maxsize=64)
def _later(months: tuple[int, ...]) -> Select[Any]:
    """SQL: the messages of these matches that can still be shown, in the order of their steps."""
    d = dispatches.c
    seen = (is_month(d.month, *months), d.match_id.in_(_IDS), d.channel.in_(CARRIED), d.state.not_in(UNSEEN))
    return OF_A_MESSAGE.add_columns(d.match_id).where(*seen).order_by(d.match_id, d.step)
