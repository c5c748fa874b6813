"""From matches to the outbox: every part of every step of every ``act`` match gets its row at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    String,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
)

from engine.database.sql import values_cte
from engine.database.tables import coupons, customer_facts, dispatches, matches
from engine.evaluation.permission import bucket, in_branches
from engine.language.config import Config
from engine.language.offers import Offer
from engine.language.rule import Rule, Step
from engine.language.times import Duration, first_instant, is_open, next_slot, wall
from engine.vocabulary.actions import Coupon
from engine.vocabulary.scope import Zone
from engine.vocabulary.steps import once_each

_MINUTE = timedelta(minutes=1)
_SLOT_COLUMNS = ("zone_id", "due", "spread", "waited", "latest")
#: Later than any instant that a row can hold.
_NEVER = 2**62


@dataclass(frozen=True)
class Queue:
    """What all rows of one rule in one run have in common."""

    rule: Rule
    rule_row: int
    run: int
    as_of: datetime
    zones: Sequence[Zone]
    config: Config
    contents: Mapping[str, int]  #: template name -> row of ``contents``
    offers: Mapping[str, Offer]
    held: str | None  #: why a person must approve first


def write_dispatches(conn: Connection, queue: Queue) -> None:
    """Write the rows of every step, and the coupons that are to be issued.

    Coupon steps come last: they follow the rows of the messages that will show the code.
    """
    for step in queue.rule.steps:
        if not isinstance(step.settings, Coupon):
            _write_step(conn, queue, step)
    for step in queue.rule.steps:
        if isinstance(step.settings, Coupon):
            _write_coupon_step(conn, queue, step)
    for step in once_each(queue.rule.steps):
        if isinstance(step.settings, Coupon):
            _write_coupons(conn, queue, step)


def after_waits(at: datetime, zone: Zone, waits: Sequence[Duration]) -> datetime:
    """Give the instant that lies ``waits`` after ``at``, at the same hour of the guest's clock."""
    if not waits:
        return at
    local = wall(at, zone.info)
    day: date = local.date()
    for wait in waits:
        day = wait.after(day)
    return first_instant(datetime.combine(day, local.time()), zone.info)


def due_at(queue: Queue, step: Step, zone: Zone) -> datetime:
    """Give the first instant at which the step may go out in ``zone``; staff and the database know no hours."""
    at = after_waits(queue.as_of, zone, step.waits)
    channel = step.settings.channel
    if channel is None:
        return at
    send = queue.rule.send
    return next_slot(at, zone.info, queue.config.hours[channel], send.between, send.on)


def _room(queue: Queue, step: Step, zone: Zone, due: datetime) -> timedelta:
    """Give how long messages may be spread from ``due`` on: as the rule says, and not beyond the open hours."""
    send, channel = queue.rule.send, step.settings.channel
    if send.spread is None or channel is None:
        return timedelta(0)
    room, most = timedelta(0), send.spread.delta()
    hours = queue.config.hours[channel]
    while room < most and is_open(due + room + _MINUTE, zone.info, hours, send.between, send.on):
        room += _MINUTE
    return min(room, most)


def _slots(queue: Queue, step: Step) -> list[tuple[int, ...]]:
    """One row a zone: its id, when due, spread over what, how much later than ``closes`` it expires, and the end."""
    rows = []
    send = queue.rule.send
    for zone in queue.zones:
        due = due_at(queue, step, zone)
        room = _room(queue, step, zone, due)
        waited = after_waits(queue.as_of, zone, step.waits) - queue.as_of
        latest = _NEVER
        if send.within is not None and step.settings.channel is not None:
            within = send.within
            end = after_waits(due, zone, [within]) if within.is_calendar else due + within.delta()
            latest = int((end + room).timestamp())
        seconds = (int(length.total_seconds()) for length in (room, waited))
        rows.append((zone.id, int(due.timestamp()), *seconds, latest))
    return rows


def _write_step(conn: Connection, queue: Queue, step: Step) -> None:
    """Write the rows of a message or an alert."""
    slots = values_cte("slots", _SLOT_COLUMNS, _slots(queue, step))
    match = matches.alias("m")
    due, expires = _times(queue, match, slots)
    channel = step.settings.channel
    block = cast(null(), String) if channel is None else match.c[f"{channel}_block"]
    values = _row(queue, step, match, due=due, expires=expires, block=block)
    _insert(conn, queue, step, (match, slots), values)


def _write_coupon_step(conn: Connection, queue: Queue, step: Step) -> None:
    """Write the rows of a coupon: issued with the first later message that can go, and no longer after the last.

    With ``always`` it needs no message: it is issued at once.
    """
    slots = values_cte("slots", _SLOT_COLUMNS, _slots(queue, step))
    match = matches.alias("m")
    due, expires = _times(queue, match, slots)
    block: ColumnElement[Any] = cast(null(), String)
    if not step.settings.always:
        due = func.coalesce(_of_messages(match, step, func.min(dispatches.c.due_at)), due)
        expires = func.coalesce(_of_messages(match, step, func.max(dispatches.c.expires_at)), expires)
        block = _why_none_goes(match, step)
    values = _row(queue, step, match, due=due, expires=expires, block=block)
    _insert(conn, queue, step, (match, slots), values)


def _later_messages(match: Any, step: Step) -> tuple[ColumnElement[bool], ...]:
    return (
        dispatches.c.match_id == match.c.id,
        dispatches.c.step > step.number,
        dispatches.c.channel.in_(("email", "sms")),
    )


def _of_messages(match: Any, step: Step, aggregate: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL: an aggregate over the later messages of the match that can go; NULL where none can."""
    can_go = dispatches.c.state.in_(("pending", "held"))
    found = select(type_coerce(aggregate, BigInteger)).where(*_later_messages(match, step), can_go)
    return found.correlate(match).scalar_subquery()


def _why_none_goes(match: Any, step: Step) -> ColumnElement[Any]:
    """SQL: the first later message's reason where none of them can go, else NULL."""
    can_go = select(dispatches.c.id).where(*_later_messages(match, step), dispatches.c.state.in_(("pending", "held")))
    first = select(dispatches.c.reason).where(*_later_messages(match, step)).order_by(dispatches.c.step).limit(1)
    reason = func.coalesce(first.correlate(match).scalar_subquery(), "no_message")
    return case((~can_go.correlate(match).exists(), reason), else_=null())


def _row(
    queue: Queue, step: Step, match: Any, *, due: ColumnElement[Any], expires: ColumnElement[Any], block: Any
) -> dict[str, ColumnElement[Any]]:
    """Give the columns of a dispatch: blocked and why, expired before it began, held for a person, or pending."""
    state = case(
        (block.is_not(None), "blocked"), (due >= expires, "expired"), else_="held" if queue.held else "pending"
    )
    channel = step.settings.channel
    template = getattr(step.settings, "template", None)
    return {
        "match_id": match.c.id,
        "step": literal(step.number),
        "part": literal(0),
        "rule_id": match.c.rule_id,
        "customer_id": match.c.customer_id,
        "channel": literal(step.word),
        "purpose": literal("service" if step.word == "alert" else queue.rule.purpose),
        "endpoint_id": cast(null(), BigInteger) if channel is None else match.c[f"{channel}_id"],
        "content_id": literal(None if template is None else queue.contents[template], BigInteger),
        "priority": literal(queue.rule.priority),
        "state": state,
        "reason": case((block.is_not(None), block), (due >= expires, "too_late"), else_=_text(queue.held)),
        "due_at": due,
        "expires_at": expires,
        "finished_at": case((state.in_(("blocked", "expired")), literal(int(queue.as_of.timestamp()), BigInteger))),
    }


def _insert(
    conn: Connection, queue: Queue, step: Step, source: tuple[Any, CTE], values: dict[str, ColumnElement[Any]]
) -> None:
    match, slots = source
    facts = customer_facts.alias("f")
    guests = match.join(facts, facts.c.customer_id == match.c.customer_id)
    rows = (
        select(*(value.label(name) for name, value in values.items()))
        .select_from(guests.join(slots, slots.c.zone_id == facts.c.zone_id))
        .where(match.c.run_id == queue.run, match.c.rule_id == queue.rule_row, match.c.verdict == "act")
        .where(in_branches(match.c.customer_id, step))
        .order_by(match.c.id)
    )
    conn.execute(insert(dispatches).from_select(list(values), rows))


def _times(queue: Queue, match: Any, slots: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    due: ColumnElement[int] = slots.c.due
    if queue.rule.send.spread is not None:
        due = due + bucket(match.c.customer_id, f"spread {queue.rule.id}") * slots.c.spread // 10_000
    closes = type_coerce(match.c.closes, BigInteger) + slots.c.waited
    return due, case((closes < slots.c.latest, closes), else_=slots.c.latest)


def _text(value: str | None) -> ColumnElement[Any]:
    return cast(null(), String) if value is None else literal(value)


def _write_coupons(conn: Connection, queue: Queue, step: Step) -> None:
    terms = offer_terms(queue.offers[step.settings.offer], step.settings)
    rows = (
        select(
            dispatches.c.id,
            dispatches.c.customer_id,
            literal(step.settings.offer),
            literal(terms, coupons.c.terms.type),
        )
        .select_from(dispatches.join(matches, matches.c.id == dispatches.c.match_id))
        .where(
            matches.c.run_id == queue.run,
            matches.c.rule_id == queue.rule_row,
            dispatches.c.step == step.number,
            dispatches.c.state.in_(("pending", "held")),
        )
        .order_by(dispatches.c.id)
    )
    conn.execute(insert(coupons).from_select(["dispatch_id", "customer_id", "offer", "terms"], rows))


def offer_terms(offer: Offer, settings: Coupon) -> dict[str, Any]:
    """Give the offer as it is now, with the step's own validity: what the guest was promised stays promised."""
    valid = settings.valid if settings.valid is not None else offer.valid
    return {
        "name": offer.name,
        "kind": offer.kind,
        "value": offer.value,
        "item": offer.item,
        "minimum_spend": offer.minimum_spend,
        "stores": list(offer.stores),
        "till": offer.till,
        "valid": None if valid is None else str(valid),
        "always": settings.always,
    }
