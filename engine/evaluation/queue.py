"""From matches to the outbox: every part of every step of every ``act`` match gets its row at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    cast,
    insert,
    literal,
    null,
    select,
    type_coerce,
)

from engine.database.sql import values_cte
from engine.database.tables import coupons, customer_facts, dispatches, matches
from engine.evaluation.permission import bucket
from engine.language.config import Config
from engine.language.offers import Offer
from engine.language.rule import Rule, Step
from engine.language.times import Duration, next_slot, wall
from engine.vocabulary.actions import ACTIONS, Coupon
from engine.vocabulary.scope import Zone


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
    """Write the rows of every step, and the coupons that are to be issued."""
    for step in queue.rule.steps:
        _write_step(conn, queue, step)
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
    return datetime.combine(day, local.time(), zone.info).astimezone(UTC)


def due_at(queue: Queue, step: Step, zone: Zone) -> datetime:
    """Give the first instant at which the step may go out in ``zone``; staff and the database know no hours."""
    at = after_waits(queue.as_of, zone, step.waits)
    channel = ACTIONS[step.word].channel
    if channel is None:
        return at
    send = queue.rule.send
    return next_slot(at, zone.info, queue.config.hours[channel], send.between, send.on)


def _message_after(rule: Rule, step: Step) -> Step | None:
    """Give the next step that reaches the guest."""
    return next((each for each in rule.steps if each.number > step.number and ACTIONS[each.word].channel), None)


def _slots(queue: Queue, step: Step) -> list[tuple[int, int, int, int]]:
    """One row a zone: its id, when due, how much later than ``closes`` it expires, and the end set by ``within``."""
    rows = []
    spread = queue.rule.send.spread.delta() if queue.rule.send.spread else timedelta(0)
    for zone in queue.zones:
        message = step
        if isinstance(step.settings, Coupon):
            message = _message_after(queue.rule, step) or step
        due = due_at(queue, message, zone)
        waited = after_waits(queue.as_of, zone, message.waits) - queue.as_of
        latest = 2**62
        within = queue.rule.send.within
        if within is not None:
            latest = int((after_waits(due, zone, [within]) if within.is_calendar else due + within.delta()).timestamp())
            latest += int(spread.total_seconds())
        rows.append((zone.id, int(due.timestamp()), int(waited.total_seconds()), latest))
    return rows


def _write_step(conn: Connection, queue: Queue, step: Step) -> None:
    slots = values_cte("slots", ("zone_id", "due", "waited", "latest"), _slots(queue, step))
    match, facts = matches.alias("m"), customer_facts.alias("f")
    due, expires = _times(queue, step, match, slots)
    block = _block(queue.rule, step, match)
    state = case(
        (block.is_not(None), "blocked"), (due >= expires, "expired"), else_="held" if queue.held else "pending"
    )
    reason = case((block.is_not(None), block), (due >= expires, "too_late"), else_=_text(queue.held))
    channel = ACTIONS[step.word].channel
    template = getattr(step.settings, "template", None)
    values: dict[str, ColumnElement[Any]] = {
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
        "reason": reason,
        "due_at": due,
        "expires_at": expires,
        "finished_at": case((state.in_(("blocked", "expired")), literal(int(queue.as_of.timestamp()), BigInteger))),
    }
    rows = (
        select(*(value.label(name) for name, value in values.items()))
        .select_from(
            match.join(facts, facts.c.customer_id == match.c.customer_id).join(
                slots, slots.c.zone_id == facts.c.zone_id
            )
        )
        .where(match.c.run_id == queue.run, match.c.rule_id == queue.rule_row, match.c.verdict == "act")
        .order_by(match.c.id)
    )
    conn.execute(insert(dispatches).from_select(list(values), rows))


def _times(queue: Queue, step: Step, match: Any, slots: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    due: ColumnElement[int] = slots.c.due
    if queue.rule.send.spread is not None and ACTIONS[step.word].channel is not None:
        seconds = int(queue.rule.send.spread.delta().total_seconds())
        due = due + bucket(match.c.customer_id, f"spread {queue.rule.id}") * seconds // 10_000
    closes = type_coerce(match.c.closes, BigInteger) + slots.c.waited
    return due, case((closes < slots.c.latest, closes), else_=slots.c.latest)


def _block(rule: Rule, step: Step, match: Any) -> ColumnElement[Any]:
    """SQL: why the step cannot go, or NULL."""
    channel = ACTIONS[step.word].channel
    if channel is not None:
        blocked: ColumnElement[Any] = match.c[f"{channel}_block"]
        return blocked
    if not isinstance(step.settings, Coupon) or step.settings.always:
        return cast(null(), String)
    later = [
        match.c[f"{ACTIONS[each.word].channel}_block"]
        for each in rule.steps
        if each.number > step.number and ACTIONS[each.word].channel
    ]
    return case((and_(*(block.is_not(None) for block in later)), later[0]), else_=cast(null(), String))


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
