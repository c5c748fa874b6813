"""From matches to the outbox: every part of every step of every ``act`` match gets its row at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from engine.database.months import month_of
from engine.database.packed import packed
from engine.evaluation.lost import hold_lost
from engine.evaluation.rows import SHUT, Shape, beginning, inserting, issuing
from engine.language.config import Config
from engine.language.offers import Offer
from engine.language.rule import Rule, Step
from engine.language.times import Duration, Hours, Opening, first_instant, is_open, next_slot, wall
from engine.vocabulary.actions import Coupon
from engine.vocabulary.messages import carried_as
from engine.vocabulary.scope import Zone
from engine.vocabulary.steps import once_each

_MINUTE = timedelta(minutes=1)
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
    guests: Collection[tuple[int | None, str | None]]  #: in which zones and countries those are who are acted on
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
            _write_step(conn, queue, step)
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


def _slots(queue: Queue, step: Step, countries: Sequence[str]) -> list[tuple[int, ...]]:
    """One row a zone and country, ``SLOT_COLUMNS``: when due, spread over what, how much later it expires, the end."""
    rows: list[tuple[int, ...]] = []
    wanted = {(zone_id, _number(country, countries)) for zone_id, country in queue.guests}
    for zone in queue.zones:
        waited = int((after_waits(queue.as_of, zone, step.waits) - queue.as_of).total_seconds())
        for number, country in enumerate((None, *countries)):
            if (zone.id, number) not in wanted:
                continue
            shut = _is_unsendable(queue, step, country) and "no_refusal_number"
            try:
                due = due_at(queue, step, zone, country)
                room = _room(queue, step, zone, country, due)
            except ValueError:
                due, room, shut = queue.as_of, timedelta(0), "never_open"
            latest = _latest(queue, step, zone, due, room)
            why = SHUT.index(shut) + 1 if shut else 0
            rows.append((zone.id, number, int(due.timestamp()), int(room.total_seconds()), waited, latest, why))
    return rows


def _number(country: str | None, countries: Sequence[str]) -> int:
    """Give the number of the country's slots; 0: those of the home's."""
    return countries.index(country) + 1 if country in countries else 0


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
    """Give those of these guests' countries where the step goes out at other hours than the home's, or not at all."""
    channel, config = step.settings.channel, queue.config
    if channel is None or queue.rule.purpose != "marketing":
        return ()
    here = {country for _, country in queue.guests}
    return tuple(country for country in config.law.apart(config.hours[channel], channel) if country in here)


def _write_step(conn: Connection, queue: Queue, step: Step) -> None:
    """Write the rows of a step."""
    countries, settings = _countries(queue, step), step.settings
    slots, rule = _slots(queue, step, countries), queue.rule
    shape = Shape(
        channel=settings.channel,
        countries=countries,
        shuts=any(row[-1] for row in slots),
        spread="" if rule.send.spread is None else f"spread {rule.id}",
        branches=step.branches,
        follows=isinstance(settings, Coupon) and not settings.always,
        one_slot=len(slots) == len({(zone_id, _number(country, countries)) for zone_id, country in queue.guests}) == 1,
    )
    carried, template = carried_as(step.word, settings), getattr(settings, "template", None)
    conn.execute(
        inserting(shape),
        {
            "run": queue.run,
            "rule_row": queue.rule_row,
            "slots": packed(slots),
            "number": step.number,
            "carried": carried,
            "kind": "service" if carried == "alert" else rule.purpose,
            "body": None if template is None else queue.contents[template],
            "rank": rule.priority,
            "opened": "held" if queue.held else "pending",
            "why": queue.held,
            "now": queue.as_of,
            "month": month_of(queue.as_of),
        },
    )


def _begin_trails(conn: Connection, queue: Queue) -> None:
    """Write down what begins as held: else its trail would not miss the row of who let it go."""
    its = {"run": queue.run, "rule_row": queue.rule_row, "now": queue.as_of, "month": month_of(queue.as_of)}
    conn.execute(beginning(), its)


def _write_coupons(conn: Connection, queue: Queue, step: Step) -> None:
    offer = queue.offers[step.settings.offer]
    conn.execute(
        issuing(),
        {
            "run": queue.run,
            "rule_row": queue.rule_row,
            "number": step.number,
            "its_offer": step.settings.offer,
            "its_terms": offer_terms(offer, step.settings),
            "its_worth": offer.worth,
            "month": month_of(queue.as_of),
        },
    )


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
