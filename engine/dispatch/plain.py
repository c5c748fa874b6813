"""Which of many messages may plainly go: all that the fence asks of one, asked of many in a few statements.

Nothing here says no. Whoever is not named is asked about alone by ``fence.decide``, and only that answer counts: so
what is hard to ask of many needs no answer here, and what is asked here can only be too careful.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    ScalarSelect,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from engine.database.arrays import any_of, takes_arrays
from engine.database.compiled import Compiled
from engine.database.consent import Purpose, block_reason
from engine.database.months import is_month
from engine.database.sql import EpochSeconds, Id, spelled_in, written_out
from engine.database.tables import budget_uses, customers, dispatches, rules
from engine.dispatch.caps import WEEK
from engine.dispatch.claims import Claim
from engine.dispatch.fence import Policy, UnreadableRuleError, slot
from engine.dispatch.health import is_calm
from engine.dispatch.outbox import carrier_shut, stopped
from engine.dispatch.states import MESSAGES
from engine.dispatch.tallies import COUNTED
from engine.language.compliance import ImpliedTerms
from engine.language.contacts import Channel
from engine.language.rule import Rule
from engine.language.times import business_day

#: In a count of a week's messages each of today's counts so many times more: one look-up tells both.
_TODAY: Final = 1 << 20


@dataclass
class Plain:
    """Those that may go, and what was seen on the way: it saves the hand-over a question each."""

    days: dict[int, int] = field(default_factory=dict)  #: dispatch id -> the guest's day
    tallied: bool = True  #: a budget has a row that hand-overs are added to
    calm: bool = False  #: nothing is noted against the channel that a message which goes well would end


def plainly(
    conn: Connection,
    claims: Sequence[Claim],
    policy: Policy,
    at: datetime,
    *,
    carrier: str,
    segments: Sequence[int] | None = None,
) -> Plain:
    """Give those messages to guests that may go now by ``carrier``.

    Writes nothing and locks nothing. For all of them together it holds where no two have one guest or one inbox.
    ``segments`` are those of each SMS.
    """
    seen = may_go(conn, claims, policy, at, carrier=carrier)
    return with_room(conn, seen, claims, policy, at, segments or [1] * len(claims))


def may_go(conn: Connection, claims: Sequence[Claim], policy: Policy, at: datetime, *, carrier: str) -> Plain:
    """Give what ``plainly`` gives, but for the budgets."""
    asked = [(rule, claim) for claim in claims if (rule := readable(conn, claim, policy)) is not None]
    days = _open_now(asked, policy, at)
    kept = [(rule, claim) for rule, claim in asked if claim.id in days]
    seen = Plain()
    may = _permitted(conn, kept, days, policy, at, carrier, seen)
    kept = [(rule, claim) for rule, claim in kept if claim.id in may]
    off = {each for group in alike(kept) for each in policy.stopped_among(conn, *group, at)}
    seen.days = {claim.id: days[claim.id] for _, claim in kept if claim.id not in off}
    return seen


def with_room(  # noqa: PLR0917 (what every question at the fence is given)
    conn: Connection, seen: Plain, claims: Sequence[Claim], policy: Policy, at: datetime, segments: Sequence[int]
) -> Plain:
    """Leave out those for which the budgets, which are locked, have no room."""
    asked = [
        (policy.rule(conn, claim.version_id), claim, billed)
        for claim, billed in zip(claims, segments, strict=True)
        if claim.id in seen.days
    ]
    room = policy.budgets.room(conn, asked, at)
    return replace(seen, days={id_: day for id_, day in seen.days.items() if id_ in room})


def readable(conn: Connection, claim: Claim, policy: Policy) -> Rule | None:
    """Give the rule's version as it was at the match; None where it cannot be read: that is told of one alone."""
    try:
        return policy.rule(conn, claim.version_id)
    except UnreadableRuleError:
        return None


def _open_now(asked: Sequence[tuple[Rule, Claim]], policy: Policy, at: datetime) -> dict[int, int]:
    """Give those for which it is neither too late nor the wrong hour, each with the guest's day."""
    known: dict[Any, bool] = {}
    found = {}
    for rule, claim in asked:
        if claim.to_guest is None or at >= claim.expires_at:
            continue
        key = (rule.id, claim.version_id, claim.to_guest, claim.purpose, claim.country, claim.zone.key)
        if key not in known:
            known[key] = _is_open(rule, claim, policy, at)
        if known[key]:
            found[claim.id] = business_day(at, claim.zone, policy.day_starts).toordinal()
    return found


def _is_open(rule: Rule, claim: Claim, policy: Policy, at: datetime) -> bool:
    channel = claim.to_guest
    assert channel is not None, "staff know no hours"
    if claim.purpose == "marketing" and policy.law.unsendable(channel, claim.country):
        return False
    try:
        return slot(claim, rule, policy, at) <= at
    except ValueError:  # never in the week
        return False


def _permitted(  # noqa: PLR0917 (what every question at the fence is given)
    conn: Connection,
    asked: Sequence[tuple[Rule, Claim]],
    days: dict[int, int],
    policy: Policy,
    at: datetime,
    carrier: str,
    seen: Plain,
) -> set[int]:
    """Give those that the database lets go: button, channel, erasure, suppression, consent, the rule's switch, caps."""
    alike: dict[tuple[Channel, Purpose, str | None, int], dict[int, Claim]] = {}
    for rule, claim in asked:
        assert claim.to_guest is not None, "staff gave no consent"
        alike.setdefault((claim.to_guest, claim.purpose, rule.topic, days[claim.id]), {})[claim.id] = claim
    found = set()
    for (channel, purpose, topic, today), group in alike.items():
        months = tuple(sorted({claim.month for claim in group.values()}))
        given = {"ids": list(group), "today": today, "now": at, "carrier": carrier}
        for row in _answers(conn, (policy.implied(channel, at), purpose, topic, months), given):
            seen.tallied, seen.calm = row.tallied, row.calm
            no = row.stopped or row.shut or row.erased_at is not None or row.blocked is not None or not row.active
            if not no and row.endpoint_id == group[row.id].endpoint_id and _below(row.guest, row.inbox, policy):
                found.add(row.id)
    return found


def _below(guest: int, inbox: int, policy: Policy) -> bool:
    """Tell whether guest and inbox have had less than the caps allow, of this week and today."""
    most = (policy.limits.marketing_per_day, policy.limits.marketing_per_week)
    return all(had < limit for each in (guest, inbox) for had, limit in zip(divmod(each, _TODAY), most, strict=True))


def alike(asked: Sequence[tuple[Rule, Claim]]) -> Iterator[tuple[Rule, Sequence[Claim]]]:
    """Put together those whose journeys are asked the same: one rule's version, step and moment of the match."""
    groups: dict[tuple[int, int, datetime], tuple[Rule, list[Claim]]] = {}
    for rule, claim in asked:
        groups.setdefault((claim.version_id, claim.step, claim.matched_at), (rule, []))[1].append(claim)
    yield from groups.values()


#: What a question is made of: implied consent's worth, what is sent, of which topic, and the months of the matches.
_Kind = tuple[ImpliedTerms, Purpose, str | None, tuple[int, ...]]


def _answers(conn: Connection, kind: _Kind, given: Mapping[str, Any]) -> Sequence[Row[Any]]:
    """Ask; where a list is one value, the question has one text however many it is asked of."""
    if takes_arrays(conn):
        return _of_a_list(*kind).rows(conn, given)
    return conn.execute(_statement(*kind), given).all()


@lru_cache(maxsize=64)
def _of_a_list(implied: ImpliedTerms, purpose: Purpose, topic: str | None, months: tuple[int, ...]) -> Compiled:
    d = dispatches.c
    its_month = or_(*(d.month == written_out(month) for month in months))
    return Compiled(_question(implied, purpose, topic).where(its_month, d.id == any_of("ids", Id)))


@lru_cache(maxsize=64)  # what implied consent is worth changes with the day
def _statement(implied: ImpliedTerms, purpose: Purpose, topic: str | None, months: tuple[int, ...]) -> Select[Any]:
    d = dispatches.c
    ids = bindparam("ids", expanding=True, type_=Id)
    return _question(implied, purpose, topic).where(is_month(d.month, *months), d.id.in_(ids))


def _question(implied: ImpliedTerms, purpose: Purpose, topic: str | None) -> Select[Any]:
    """SQL: what stands for and against each of some dispatches."""
    d = dispatches.c
    blocked = block_reason(d.endpoint_id, d.customer_id, purpose=purpose, topic=topic, implied=implied)
    capped = purpose == "marketing"
    return (
        select(
            d.id,
            d.endpoint_id,
            stopped().label("stopped"),
            carrier_shut(bindparam("carrier"), bindparam("now", type_=EpochSeconds)).label("shut"),
            exists(select(budget_uses.c.used)).label("tallied"),
            is_calm(bindparam("carrier")).label("calm"),
            customers.c.erased_at,
            rules.c.active,
            blocked.label("blocked"),
            (_had("customer_id") if capped else literal(0)).label("guest"),
            (_had("endpoint_id") if capped else literal(0)).label("inbox"),
        )
        .select_from(dispatches)
        .join(customers, customers.c.id == d.customer_id)
        .join(rules, rules.c.id == d.rule_id)
    )


def _had(whose: str) -> ScalarSelect[int]:
    """SQL: how much marketing the guest, or the inbox, has had in a week, as ``caps.handed_days`` counts it."""
    # A short name: what has more than 4096 letters psycopg takes apart anew each time.
    other, today = dispatches.alias("its"), bindparam("today", type_=Integer)
    weight = case((other.c.handed_day >= today, literal(_TODAY + 1)), else_=literal(1))
    return (
        select(func.coalesce(func.sum(weight), 0))
        .where(
            other.c[whose] == dispatches.c[whose],
            other.c.handed_day > today - WEEK,
            other.c.handed_at.is_not(None),
            spelled_in(other.c.state, COUNTED),
            spelled_in(other.c.channel, MESSAGES),
            other.c.purpose == "marketing",
            other.c.id != dispatches.c.id,
        )
        .correlate(dispatches)
        .scalar_subquery()
    )
