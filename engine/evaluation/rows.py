"""The statements that fill the outbox from matches, one for each shape of a step: put together once, used by all rules.

What one step has and another has not, such as its number, its template and its slots, travels in binds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Insert,
    Integer,
    Select,
    String,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    true,
    type_coerce,
)

from engine.database.months import in_the_month, the_month
from engine.database.packed import packed_cte
from engine.database.sql import EpochSeconds, Id, row_by_row, spelled_in
from engine.database.tables import audit, coupons, customer_facts, dispatches, matches
from engine.evaluation.permission import bucket, within
from engine.language.contacts import Channel
from engine.language.rule import Branch

SLOT_COLUMNS: Final = ("zone_id", "country", "due", "spread", "waited", "latest", "shut")
#: Why nothing can go out by a slot, in its column ``shut``; 0: it can.
SHUT: Final = ("never_open", "no_refusal_number")

_RUN, _RULE = bindparam("run", type_=Id), bindparam("rule_row", type_=Id)
_NUMBER = bindparam("number", type_=Integer)
_NOW = bindparam("now", type_=EpochSeconds)
#: In which all matches of the run are kept.
_MONTH = the_month()


@dataclass(frozen=True)
class Shape:
    """What makes the statement of one step another than that of the next."""

    channel: Channel | None  #: None: staff, or the database itself
    countries: tuple[str, ...] = ()  #: with slots of their own, numbered from 1; 0: all others
    shuts: bool = False  #: some slots let nothing out
    spread: str = ""  #: the salt by which due times are spread
    branches: tuple[Branch, ...] = ()
    follows: bool = False  #: a coupon: issued with the first later message that can go, and no longer after the last
    one_slot: bool = False  #: it is that of every guest


@lru_cache(maxsize=500)
def inserting(shape: Shape) -> Insert:
    """SQL: a row of ``dispatches`` for each match of ``:run`` and ``:rule_row`` that is acted on, in their order.

    Its other binds: ``slots`` (``packed`` rows of ``SLOT_COLUMNS``), ``number``, ``carried``, ``kind`` (the purpose),
    ``body``, ``rank`` (the priority), ``opened`` (the state of what is open), ``why`` (its reason), ``now`` and
    ``month``, in which ``now`` lies.
    """
    found = _acted(shape)
    due, expires = _times(shape, found)
    block: ColumnElement[Any] = cast(null(), String) if shape.channel is None else found.c[f"{shape.channel}_block"]
    blocked = block.is_not(None)
    if shape.follows:
        due, expires = func.coalesce(found.c.first_due, due), func.coalesce(found.c.last_expires, expires)
        block, blocked = _why_none_goes(found), found.c.first_due.is_(None)
    if shape.shuts:
        whens = ((found.c.shut == number, reason) for number, reason in enumerate(SHUT, start=1))
        block = func.coalesce(block, case(*whens, else_=null()))
        blocked = block.is_not(None)
    values = _row(shape, found, due=due, expires=expires, block=(blocked, block))
    rows = select(*(value.label(name) for name, value in values.items())).order_by(found.c.id)
    return insert(dispatches).from_select(list(values), rows)


def _acted(shape: Shape) -> CTE | Subquery:
    """SQL: the matches that are acted on, each with the slot of its guest's zone and country."""
    match, slots = matches.alias("m"), packed_cte("slots", SLOT_COLUMNS, bindparam("slots", type_=Text))
    facts = customer_facts.alias("f")
    found: FromClause = match.join(slots, true())
    if not shape.one_slot:
        its = [slots.c.zone_id == facts.c.zone_id]
        if shape.countries:  # else there is one slot a zone
            whens = ((facts.c.country == country, number) for number, country in enumerate(shape.countries, start=1))
            its.append(slots.c.country == case(*whens, else_=0))
        found = match.join(facts, facts.c.customer_id == match.c.customer_id).join(slots, and_(*its))
    names = ["id", "rule_id", "customer_id", "closes"]
    if shape.channel is not None:
        names += [f"{shape.channel}_id", f"{shape.channel}_block"]
    acted = (
        select(*(match.c[name] for name in names), *(slots.c[name] for name in SLOT_COLUMNS if name != "country"))
        .select_from(found)
        .where(match.c.run_id == _RUN, match.c.rule_id == _RULE, match.c.verdict == "act")
        .where(within(match.c.customer_id, shape.branches))
    )
    if not shape.follows:
        return acted.subquery("acted")
    acted = acted.add_columns(
        _of_messages(match, func.min(dispatches.c.due_at)).label("first_due"),
        _of_messages(match, func.max(dispatches.c.expires_at)).label("last_expires"),
    )
    # MATERIALIZED: what is looked up of a guest's messages is looked up once, not for each of its uses.
    return acted.cte("acted").prefix_with("MATERIALIZED")


def _times(shape: Shape, found: Any) -> tuple[ColumnElement[int], ColumnElement[int]]:
    due: ColumnElement[int] = found.c.due
    if shape.spread:
        due = due + bucket(found.c.customer_id, shape.spread) * found.c.spread // 10_000
    closes = type_coerce(found.c.closes, BigInteger) + found.c.waited
    return due, case((closes < found.c.latest, closes), else_=found.c.latest)


def _is_open() -> ColumnElement[bool]:
    return row_by_row(spelled_in(dispatches.c.state, ("pending", "held")))


def _later_messages(match: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        in_the_month(dispatches.c.month),
        dispatches.c.match_id == match.c.id,
        dispatches.c.step > _NUMBER,
        spelled_in(dispatches.c.channel, ("email", "sms", "webhook")),
    )


def _of_messages(match: Any, aggregate: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQL: an aggregate over the later messages of the match that can go; NULL where none can."""
    found = select(type_coerce(aggregate, BigInteger)).where(*_later_messages(match), _is_open())
    return found.correlate(match).scalar_subquery()


def _why_none_goes(found: Any) -> ColumnElement[Any]:
    """SQL: the first later message's reason where none of them can go, else NULL."""
    first = select(dispatches.c.reason).where(*_later_messages(found)).order_by(dispatches.c.step).limit(1)
    reason = func.coalesce(first.correlate(found).scalar_subquery(), "no_message")
    return case((found.c.first_due.is_(None), reason), else_=null())


def _row(
    shape: Shape, found: Any, *, due: ColumnElement[Any], expires: ColumnElement[Any], block: tuple[Any, Any]
) -> dict[str, ColumnElement[Any]]:
    """Give the columns of a dispatch: blocked and why, expired before it began, held for a person, or pending."""
    (blocked, reason), too_late = block, due >= expires
    state = case((blocked, "blocked"), (too_late, "expired"), else_=bindparam("opened", type_=String))
    why = bindparam("why", type_=String)
    return {
        "month": _MONTH,
        "match_id": found.c.id,
        "step": _NUMBER,
        "part": literal(0),
        "rule_id": found.c.rule_id,
        "customer_id": found.c.customer_id,
        "channel": bindparam("carried", type_=String),
        "purpose": bindparam("kind", type_=String),
        "endpoint_id": cast(null(), BigInteger) if shape.channel is None else found.c[f"{shape.channel}_id"],
        "content_id": bindparam("body", type_=BigInteger),
        "priority": bindparam("rank", type_=Integer),
        "state": state,
        "reason": case((blocked, reason), (too_late, "too_late"), else_=why),
        "due_at": due,
        "expires_at": expires,
        "finished_at": case((blocked, _NOW), (too_late, _NOW)),
    }


def _of_run() -> Select[Any]:
    m = matches.c
    joined = select().select_from(dispatches.join(matches, m.id == dispatches.c.match_id))
    its = (in_the_month(dispatches.c.month), m.run_id == _RUN, m.rule_id == _RULE)
    return joined.where(*its).order_by(dispatches.c.id)


@cache
def issuing() -> Insert:
    """SQL: a coupon for each dispatch of the step ``:number`` that is open, of ``:its_offer`` on ``:its_terms``."""
    d, c = dispatches.c, coupons.c
    its = {
        name: bindparam(f"its_{name}", type_=kind)
        for name, kind in (("offer", String()), ("terms", c.terms.type), ("worth", BigInteger()))
    }
    rows = _of_run().add_columns(d.id, d.customer_id, *its.values()).where(d.step == _NUMBER)
    return insert(coupons).from_select(["dispatch_id", "customer_id", *its], rows.where(_is_open()))


@cache
def beginning() -> Insert:
    """SQL: a row of the trail for each dispatch that begins as held."""
    d = dispatches.c
    told = (_NOW, literal("evaluation"), literal("begin"), d.month, d.id, d.lease_token, d.state, d.reason)
    columns = ["at", "actor", "action", "month", "dispatch_id", "token", "after", "subject"]
    return insert(audit).from_select(columns, _of_run().add_columns(*told).where(row_by_row(d.state == "held")))
