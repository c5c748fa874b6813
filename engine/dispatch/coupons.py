"""Coupon steps: a code is drawn in the transaction of the claim, so that a coupon exists exactly once.

Before that its row has no code: what is held, blocked or expired leaks none. Redeeming is ``engine/intake/redeem.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, bindparam, select, update
from sqlalchemy.exc import IntegrityError

from engine.database.by_keys import Part, by_keys_of_two
from engine.database.compiled import Compiled
from engine.database.planning import one_by_one
from engine.database.sql import EpochSeconds, Id, row_by_row
from engine.database.tables import coupons, dispatches
from engine.dispatch.claims import Claim
from engine.dispatch.fence import Policy, slot
from engine.dispatch.states import CARRIED, UNSEEN, move
from engine.language import codes
from engine.language.formats import parse_validity
from engine.language.rule import Rule
from engine.language.times import Duration, business_day, start_of

#: Two equal codes among 30 ** 12 are so rare that more tries than this mean a broken source of chance.
TRIES = 10

#: Of coupons those whose codes are drawn and not taken back.
_DRAWN = (row_by_row(coupons.c.code.is_not(None)), coupons.c.revoked_at.is_(None))  # the codes' index has them all
_earlier = dispatches.alias("earlier")
#: Of steps those that nothing of the match has shown to the guest yet.
_NOT_SHOWN_YET = (
    ~select(_earlier.c.id)
    .where(
        _earlier.c.match_id == dispatches.c.match_id,
        _earlier.c.step > dispatches.c.step,
        _earlier.c.channel.in_(CARRIED),
        row_by_row(_earlier.c.handed_at.is_not(None)),
    )
    .correlate(dispatches)
    .exists()
)
_its_step = (dispatches.c.id, dispatches.c.match_id, dispatches.c.step)
_is_coupon = dispatches.c.channel == "coupon"
_of_both = (coupons.c.terms, coupons.c.valid_until)
_SHOWN = (
    Part(_its_step, dispatches.c.match_id, [_is_coupon]),
    Part((*_of_both, coupons.c.code, coupons.c.offer), coupons.c.dispatch_id, _DRAWN),
)
#: Coupons that the message is the first to show.
_FIRST_SHOWN = (
    Part(_its_step, dispatches.c.match_id, [_is_coupon, _NOT_SHOWN_YET]),
    Part((*_of_both, coupons.c.id), coupons.c.dispatch_id, [*_DRAWN, coupons.c.redeemed_at.is_(None)]),
)
_d = dispatches.c
OF_A_MESSAGE: Select[Any] = select(_d.id, _d.step, _d.channel, _d.purpose, _d.state, _d.due_at, _d.expires_at)


@dataclass(frozen=True, slots=True)
class Issued:
    """A coupon as a message shows it. ``terms`` are the offer's when the match was made."""

    code: str
    offer: str
    terms: Mapping[str, Any]
    valid_until: datetime | None  #: exclusive


def issue(
    conn: Connection, claim: Claim, policy: Policy, at: datetime, *, draw: Callable[[], str] = codes.draw
) -> str | None:
    """Draw the code of one claimed coupon step, in the transaction of the claim; give why none is drawn, or None."""
    coupon = conn.execute(select(coupons).where(coupons.c.dispatch_id == claim.id)).one()
    if not coupon.terms.get("always") and not _message_to_come(conn, claim, policy, at):
        return "no_message"
    _draw(conn, coupon.id, valid_until(coupon.terms, at, claim.zone, policy.day_starts), at, draw)
    return None


def of_matches(conn: Connection, match_ids: Sequence[int]) -> dict[int, list[tuple[int, Issued]]]:
    """Read the coupons of matches that are drawn and not taken back: of each its steps and coupons, in their order."""
    found: dict[int, list[tuple[int, Issued]]] = {}
    rows = _of_matches(conn, _SHOWN, match_ids)
    for row in sorted(rows, key=lambda row: int(row.step)):
        issued = Issued(row.code, row.offer, row.terms, row.valid_until)
        found.setdefault(row.match_id, []).append((row.step, issued))
    return found


def _of_matches(conn: Connection, wanted: tuple[Part, Part], match_ids: Sequence[int]) -> list[Row[Any]]:
    with one_by_one(conn):  # PostgreSQL would read all coupons that there are for the few of a portion
        return list(by_keys_of_two(conn, *wanted, match_ids))


_BEGIN = Compiled(
    update(coupons)
    .where(coupons.c.id == bindparam("number", type_=Id))
    .values(valid_until=bindparam("until", type_=EpochSeconds))
)


def begin_days(conn: Connection, claims: Sequence[Claim], at: datetime, day_starts: time) -> int:
    """Count coupons' days from the first message that shows them: a cap may have kept that in since the draw.

    Gives how many of them now end at another moment.
    """
    shown: dict[int, list[Any]] = {}
    for coupon in _of_matches(conn, _FIRST_SHOWN, sorted({each.match_id for each in claims})):
        shown.setdefault(coupon.match_id, []).append(coupon)
    begun: dict[int, datetime | None] = {}
    for claim in claims:
        for coupon in shown.get(claim.match_id, ()):
            until = valid_until(coupon.terms, at, claim.zone, day_starts)
            if coupon.step < claim.step and until != coupon.valid_until:
                begun[coupon.id] = until
    if begun:  # in order: two workers with messages of the same matches wait for each other, and never both
        _BEGIN.run(conn, [{"number": number, "until": begun[number]} for number in sorted(begun)])
    return len(begun)


def valid_until(terms: Mapping[str, Any], at: datetime, zone: ZoneInfo, day_starts: time) -> datetime | None:
    """Give the first instant at which a coupon issued at ``at`` is no longer good, or None where it is good for ever.

    ``terms["valid"]`` is ``14 days``, ``month end`` or ``2026-12-31``: business days in the guest's zone, the last one
    whole. ``ValueError`` for anything else.
    """
    if terms.get("valid") is None:
        return None
    today = business_day(at, zone, day_starts)
    match parse_validity(terms["valid"]):
        case Duration() as duration:
            last = duration.after(today)
        case date() as last:
            pass
        case "month end":
            last = (today.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return start_of(last + timedelta(days=1), zone, day_starts)


def _message_to_come(conn: Connection, claim: Claim, policy: Policy, at: datetime) -> bool:
    """Tell whether a later step can still show the code to the guest: it has a moment of sending before it expires.

    A message that is due now and that its ``only_if`` leaves out cannot. Where no other is left, it is cancelled here:
    it would be made without a code if that changed within the minute.
    """
    rule = policy.rule(conn, claim.version_id)
    later = conn.execute(
        OF_A_MESSAGE.where(
            dispatches.c.match_id == claim.match_id,
            dispatches.c.step > claim.step,
            dispatches.c.channel.in_(CARRIED),
            dispatches.c.state.not_in(UNSEEN),
        ).order_by(dispatches.c.step)
    ).all()
    in_time = [each for each in later if moment(claim, each, policy, rule, at) is not None]
    if not in_time:
        return False
    for each in in_time:
        waits = each.due_at > at or each.state != "pending"
        if waits or policy.why_stopped(conn, rule, replace(claim, step=each.step), at) != "only_if":
            return True
    left_out = dispatches.c.id.in_([each.id for each in in_time])
    move(conn, "pending", "cancelled", left_out, who="engine", now=at, actor="engine", reason="only_if")
    return False


def moment(claim: Claim, message: Row[Any], policy: Policy, rule: Rule, earliest: datetime) -> datetime | None:
    """Give when a message of the coupon's match can go at the earliest; None: not before it is too late."""
    wanted = replace(claim, channel=message.channel, purpose=message.purpose)
    at = max(earliest, message.due_at)
    if wanted.to_guest is not None:
        try:
            at = slot(wanted, rule, policy, at)
        except ValueError:  # the hours leave no moment of the week
            return None
    return at if at < message.expires_at else None


def wait_together(conn: Connection, claim: Claim, policy: Policy, due: datetime) -> bool:
    """Let the messages behind a coupon that is drawn at ``due`` wait for it; tell whether one of them still can go.

    Where none can the coupon would be drawn for nobody.
    """
    terms = conn.scalar(select(coupons.c.terms).where(coupons.c.dispatch_id == claim.id)) or {}
    rule = policy.rule(conn, claim.version_id)
    behind = conn.execute(OF_A_MESSAGE.where(dispatches.c.id.in_(_behind(claim)), dispatches.c.state == "pending"))
    in_time = bool(terms.get("always"))
    for each in behind.all():
        soonest = moment(claim, each, policy, rule, due)
        if soonest is None:
            continue
        in_time = True
        if soonest > each.due_at:
            still = (dispatches.c.id == each.id, dispatches.c.state == "pending")
            conn.execute(update(dispatches).where(*still).values(due_at=soonest))
    return in_time


def keep_in(conn: Connection, claim: Claim, at: datetime) -> None:
    """Block the messages behind a coupon that no budget has room for: they would show what nobody has drawn."""
    behind = dispatches.c.id.in_(_behind(claim))
    move(conn, "pending", "blocked", behind, who="engine", now=at, actor="engine", reason="budget")


def _behind(claim: Claim) -> Select[Any]:
    """SQL: the messages after a coupon step and before the next one."""
    later, between = dispatches.alias("later"), dispatches.alias("between")
    return select(later.c.id).where(
        later.c.match_id == claim.match_id,
        later.c.step > claim.step,
        later.c.channel.in_(CARRIED),
        ~select(between.c.id)
        .where(
            between.c.match_id == claim.match_id,
            between.c.channel == "coupon",
            between.c.step > claim.step,
            between.c.step < later.c.step,
        )
        .exists(),
    )


def _draw(conn: Connection, coupon_id: int, until: datetime | None, at: datetime, draw: Callable[[], str]) -> None:
    row = update(coupons).where(coupons.c.id == coupon_id, coupons.c.code.is_(None))
    for _ in range(TRIES):
        try:
            with conn.begin_nested():
                conn.execute(row.values(code=draw(), issued_at=at, valid_until=until))
        except IntegrityError:  # somebody has that code
            continue
        return
    raise RuntimeError(f"{TRIES} codes in a row were taken: the source of random numbers is broken")
