"""From matches to the outbox: every part of every step of every ``act`` match gets its row at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    String,
    and_,
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
from engine.database.tables import audit, coupons, customer_facts, dispatches, matches
from engine.evaluation.lost import hold_lost
from engine.evaluation.permission import bucket, in_branches
from engine.language.config import Config
from engine.language.offers import Offer
from engine.language.rule import Rule, Step
from engine.language.times import Duration, Hours, Opening, first_instant, is_open, next_slot, wall
from engine.vocabulary.actions import Coupon
from engine.vocabulary.messages import carried_as
from engine.vocabulary.scope import Zone
from engine.vocabulary.steps import once_each

_MINUTE = timedelta(minutes=1)
_SLOT_COLUMNS = ("zone_id", "country", "due", "spread", "waited", "latest", "shut")
#: Why nothing can go out by a slot, in its column ``shut``; 0: it can.
_SHUT = ("never_open", "no_refusal_number")
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
    key: bytes = field(repr=False)  #: the home's


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
    forgotten = hold_lost(
        conn, rule=queue.rule.id, rule_row=queue.rule_row, run=queue.run, as_of=queue.as_of, key=queue.key
    )
    if queue.held is not None or forgotten:
        _begin_trails(conn, queue)


def after_waits(at: datetime, zone: Zone, waits: Sequence[Duration]) -> datetime:
    """Give the instant that lies ``waits`` after ``at``, at the same hour of the guest's clock."""
    if not waits:
        return at
    local = wall(at, zone.info)
    day: date = local.date()
    for wait in waits:
        day = wait.after(day)
    return first_instant(datetime.combine(day, local.time()), zone.info)


def due_at(queue: Queue, step: Step, zone: Zone, country: str | None = None) -> datetime:
    """Give the first instant at which the step may go out in ``zone`` to a guest of ``country`` (None: the home's).

    Staff and the database know no hours. ``ValueError`` where no moment of a week is open.
    """
    at = after_waits(queue.as_of, zone, step.waits)
    hours = _opening(queue, step, country)
    send = queue.rule.send
    return at if hours is None else next_slot(at, zone.info, hours, send.between, send.on)


def _opening(queue: Queue, step: Step, country: str | None) -> Hours | Opening | None:
    """Give when the step may go out: the home's hours inside the law's."""
    channel, config = step.settings.channel, queue.config
    if channel is None:
        return None
    return config.law.opening(config.hours[channel], channel, country, queue.rule.purpose)


def _room(queue: Queue, step: Step, zone: Zone, country: str | None, due: datetime) -> timedelta:
    """Give how long messages may be spread from ``due`` on: as the rule says, and not beyond the open hours."""
    send, hours = queue.rule.send, _opening(queue, step, country)
    if send.spread is None or hours is None:
        return timedelta(0)
    room, most = timedelta(0), send.spread.delta()
    while room < most and is_open(due + room + _MINUTE, zone.info, hours, send.between, send.on):
        room += _MINUTE
    return min(room, most)


def _slots(queue: Queue, step: Step) -> list[tuple[int, ...]]:
    """One row a zone and country, ``_SLOT_COLUMNS``: when due, spread over what, how much later it expires, the end."""
    rows: list[tuple[int, ...]] = []
    for zone in queue.zones:
        waited = int((after_waits(queue.as_of, zone, step.waits) - queue.as_of).total_seconds())
        for number, country in enumerate((None, *_countries(queue, step))):
            shut = _is_unsendable(queue, step, country) and "no_refusal_number"
            try:
                due = due_at(queue, step, zone, country)
                room = _room(queue, step, zone, country, due)
            except ValueError:
                due, room, shut = queue.as_of, timedelta(0), "never_open"
            latest = _latest(queue, step, zone, due, room)
            why = _SHUT.index(shut) + 1 if shut else 0
            rows.append((zone.id, number, int(due.timestamp()), int(room.total_seconds()), waited, latest, why))
    return rows


def _latest(queue: Queue, step: Step, zone: Zone, due: datetime, room: timedelta) -> int:
    """Give when the step is too late by ``send: within``, which begins anew for each message of a spread."""
    within = queue.rule.send.within
    if within is None or step.settings.channel is None:
        return _NEVER
    end = after_waits(due, zone, [within]) if within.is_calendar else due + within.delta()
    return int((end + room).timestamp())


def _is_unsendable(queue: Queue, step: Step, country: str | None) -> bool:
    channel = step.settings.channel
    return channel is not None and queue.rule.purpose == "marketing" and queue.config.law.unsendable(channel, country)


def _countries(queue: Queue, step: Step) -> tuple[str, ...]:
    """Give the countries whose guests may get the step at other hours than those of the home's, or not at all."""
    channel, config = step.settings.channel, queue.config
    if channel is None or queue.rule.purpose != "marketing":
        return ()
    return config.law.apart(config.hours[channel], channel)


def _write_step(conn: Connection, queue: Queue, step: Step) -> None:
    """Write the rows of a message or an alert."""
    rows = _slots(queue, step)
    slots = values_cte("slots", _SLOT_COLUMNS, rows)
    match = matches.alias("m")
    due, expires = _times(queue, match, slots)
    channel = step.settings.channel
    block: ColumnElement[Any] = cast(null(), String) if channel is None else match.c[f"{channel}_block"]
    if any(row[-1] for row in rows):
        whens = ((slots.c.shut == number, reason) for number, reason in enumerate(_SHUT, start=1))
        block = func.coalesce(block, case(*whens, else_=null()))
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
        dispatches.c.channel.in_(("email", "sms", "webhook")),
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
    carried = carried_as(step.word, step.settings)
    template = getattr(step.settings, "template", None)
    return {
        "match_id": match.c.id,
        "step": literal(step.number),
        "part": literal(0),
        "rule_id": match.c.rule_id,
        "customer_id": match.c.customer_id,
        "channel": literal(carried),
        "purpose": literal("service" if carried == "alert" else queue.rule.purpose),
        "endpoint_id": cast(null(), BigInteger) if channel is None else match.c[f"{channel}_id"],
        "content_id": literal(None if template is None else queue.contents[template], BigInteger),
        "priority": literal(queue.rule.priority),
        "state": state,
        "reason": case((block.is_not(None), block), (due >= expires, "too_late"), else_=_text(queue.held)),
        "due_at": due,
        "expires_at": expires,
        "finished_at": case((state.in_(("blocked", "expired")), literal(int(queue.as_of.timestamp()), BigInteger))),
    }


def _guests(queue: Queue, step: Step, match: Any, slots: CTE) -> FromClause:
    """SQL: the matches, each with the slot of its guest's zone and country."""
    facts = customer_facts.alias("f")
    its = [slots.c.zone_id == facts.c.zone_id]
    countries = _countries(queue, step)
    if countries:  # else there is one slot a zone
        whens = ((facts.c.country == country, number) for number, country in enumerate(countries, start=1))
        its.append(slots.c.country == case(*whens, else_=0))
    found: FromClause = match.join(facts, facts.c.customer_id == match.c.customer_id).join(slots, and_(*its))
    return found


def _insert(
    conn: Connection, queue: Queue, step: Step, source: tuple[Any, CTE], values: dict[str, ColumnElement[Any]]
) -> None:
    match, slots = source
    rows = (
        select(*(value.label(name) for name, value in values.items()))
        .select_from(_guests(queue, step, match, slots))
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


def _begin_trails(conn: Connection, queue: Queue) -> None:
    """Write down what begins as held: else its trail would not miss the row of who let it go."""
    d = dispatches.c
    rows = (
        select(
            literal(int(queue.as_of.timestamp()), BigInteger),
            literal("evaluation"),
            literal("begin"),
            d.id,
            d.lease_token,
            d.state,
            d.reason,
        )
        .join(matches, matches.c.id == d.match_id)
        .where(matches.c.run_id == queue.run, matches.c.rule_id == queue.rule_row, d.state == "held")
        .order_by(d.id)
    )
    columns = ["at", "actor", "action", "dispatch_id", "token", "after", "subject"]
    conn.execute(insert(audit).from_select(columns, rows))


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
            literal(queue.offers[step.settings.offer].worth, BigInteger),
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
    conn.execute(insert(coupons).from_select(["dispatch_id", "customer_id", "offer", "terms", "worth"], rows))


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
