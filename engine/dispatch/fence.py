"""The fence: the last question before a message leaves, in one transaction with the commit that it leaves.

It locks the guest's and the endpoint's rows, reads permission, the red button, the rule, ``stop_if``, hours and caps
again, and moves ``claimed -> handoff`` only when all of them still say yes. An opt-out that commits first wins.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import Connection, Select, bindparam, null, select

from engine.database.consent import Purpose, block_reason, lock_endpoints
from engine.database.gate import pass_gate
from engine.database.holding import hold_group
from engine.database.sql import Id
from engine.database.tables import customers, dispatches, rules
from engine.dispatch.budgets import Budgets
from engine.dispatch.caps import first_free_day, handed_days
from engine.dispatch.claims import LEASE, Claim, lock_customers
from engine.dispatch.outbox import stopped
from engine.dispatch.states import State, move
from engine.language.compliance import Compliance, ImpliedTerms
from engine.language.contacts import Channel
from engine.language.rule import Rule
from engine.language.times import Hours, business_day, next_slot, start_of


class Limits(Protocol):
    """What the config says about pressure; both at least 1."""

    @property
    def marketing_per_day(self) -> int:
        """How many marketing messages a guest, and an endpoint, gets on one calendar day."""
        ...

    @property
    def marketing_per_week(self) -> int:
        """The same for any seven days in a row."""
        ...


class UnreadableRuleError(Exception):
    """A version of a rule cannot be read any more, for instance because a segment that it names is gone."""


@dataclass(frozen=True)
class Policy:
    """What the fence asks besides the database.

    ``rule`` gives the rule of a version, or raises ``UnreadableRuleError``. ``why_stopped`` gives the reason why the
    match is off, or None; ``who_stopped`` asks the same of several dispatches of one step and one moment of the match,
    and gives those that are off.
    """

    hours: dict[str, Hours]
    limits: Limits
    day_starts: time
    rule: Callable[[Connection, int], Rule]
    why_stopped: Callable[[Connection, Rule, Claim, datetime], str | None]
    law: Compliance = field(default_factory=Compliance)
    implied: Callable[[Channel, datetime], ImpliedTerms] = lambda _channel, _at: ImpliedTerms()
    budgets: Budgets = field(default_factory=Budgets)
    who_stopped: Callable[[Connection, Rule, Sequence[Claim], datetime], Collection[int]] | None = None

    def stopped_among(self, conn: Connection, rule: Rule, claims: Sequence[Claim], at: datetime) -> Collection[int]:
        """Give those of the dispatches whose match, or whose own step, is off."""
        if self.who_stopped is not None:
            return self.who_stopped(conn, rule, claims, at)
        return [each.id for each in claims if self.why_stopped(conn, rule, each, at) is not None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a claimed dispatch. ``after`` is ``handoff`` where it may go; then ``day`` is the guest's day."""

    after: State
    reason: str | None = None
    due_at: datetime | None = None
    day: int | None = None

    @property
    def passed(self) -> bool:
        """Tell whether it may go now."""
        return self.after == "handoff"


class LostLease(Exception):  # noqa: N818 (nothing went wrong: somebody else holds the dispatch now)
    """The lease ran out and another worker took over: nothing may be sent, nothing written."""


def decide(conn: Connection, claim: Claim, policy: Policy, at: datetime, *, segments: int = 1) -> Verdict:
    """Ask everything about one dispatch at ``at``; writes nothing and locks nothing. ``segments``: of an SMS."""
    rule = policy.rule(conn, claim.version_id)
    refused = _permission(conn, claim, rule, policy, at)
    if refused is not None:
        return refused
    if at >= claim.expires_at:
        return Verdict("expired", "late")
    why = policy.why_stopped(conn, rule, claim, at)
    if why is not None:
        return Verdict("cancelled", why)
    verdict = _when(conn, claim, rule, policy, at)
    return _budget(conn, claim, rule, policy, at, segments) or verdict if verdict.passed else verdict


def _budget(  # noqa: PLR0917 (what every question at the fence is given)
    conn: Connection, claim: Claim, rule: Rule, policy: Policy, at: datetime, segments: int
) -> Verdict | None:
    """Tell what becomes of a dispatch for which a budget has no room; None where there is room."""
    renewed = policy.budgets.renewed(conn, rule, claim, at, segments)
    if renewed is None:
        return None
    due = renewed
    if claim.to_guest is not None:
        due = slot(claim, rule, policy, renewed)
    return Verdict("pending", "budget", due) if due < claim.expires_at else Verdict("blocked", "budget")


def _permission(conn: Connection, claim: Claim, rule: Rule, policy: Policy, at: datetime) -> Verdict | None:
    """Read the red button, erasure, suppression, consent and the rule's switch; None where all of them say yes."""
    channel = claim.to_guest
    implied = None if channel is None else policy.implied(channel, at)
    now = conn.execute(
        _permission_statement(implied, claim.purpose, rule.topic),
        {"dispatch": claim.id, "endpoint": claim.endpoint_id},
    ).one()
    if now.stopped:
        return Verdict("pending", "stopped", claim.due_at)
    if now.erased_at is not None:
        return Verdict("blocked", "erased")
    if now.blocked is not None:
        return Verdict("blocked", now.blocked)
    return None if now.active else Verdict("cancelled", "rule_off")


@lru_cache(maxsize=64)  # what implied consent is worth changes with the day
def _permission_statement(implied: ImpliedTerms | None, purpose: Purpose, topic: str | None) -> Select[Any]:
    """Asked twice a message: made once. Staff (None) gave no consent and needs none."""
    blocked: Any = null()
    if implied is not None:
        endpoint, guest = bindparam("endpoint", type_=Id), dispatches.c.customer_id
        blocked = block_reason(endpoint, guest, purpose=purpose, topic=topic, implied=implied)
    return (
        select(stopped().label("stopped"), customers.c.erased_at, rules.c.active, blocked.label("blocked"))
        .select_from(dispatches)
        .join(customers, customers.c.id == dispatches.c.customer_id)
        .join(rules, rules.c.id == dispatches.c.rule_id)
        .where(dispatches.c.id == bindparam("dispatch", type_=Id))
    )


def _when(conn: Connection, claim: Claim, rule: Rule, policy: Policy, at: datetime) -> Verdict:
    """Hours and caps of a message to a guest: now, later, or too late. All other steps go at once."""
    channel = claim.to_guest
    if channel is None:
        return Verdict("handoff")
    if claim.purpose == "marketing" and policy.law.unsendable(channel, claim.country):
        return Verdict("blocked", "no_refusal_number")
    try:
        due = slot(claim, rule, policy, at)
    except ValueError:  # the home's hours were changed since, and leave this rule no moment of the week
        return Verdict("expired", "never_open")
    if due > at:
        return Verdict("pending", "hours", due) if due < claim.expires_at else Verdict("expired", "late")
    today = business_day(at, claim.zone, policy.day_starts).toordinal()
    if claim.purpose == "marketing":
        handed = handed_days(
            conn, customer_id=claim.customer_id, endpoint_id=claim.endpoint_id, other_than=claim.id, today=today
        )
        limits = policy.limits
        free = first_free_day(today, handed, per_day=limits.marketing_per_day, per_week=limits.marketing_per_week)
        if free > today:
            due = slot(claim, rule, policy, start_of(date.fromordinal(free), claim.zone, policy.day_starts))
            return Verdict("pending", "capped", due) if due < claim.expires_at else Verdict("blocked", "capped")
    return Verdict("handoff", day=today)


def slot(claim: Claim, rule: Rule, policy: Policy, earliest: datetime) -> datetime:
    """Give the first open moment for a message to a guest. ``ValueError`` where there is none in the week."""
    channel = claim.to_guest
    assert channel is not None, "staff and the database know no hours"
    opening = policy.law.opening(policy.hours[channel], channel, claim.country, claim.purpose)
    return next_slot(earliest, claim.zone, opening, rule.send.between, rule.send.on)


def carry_out(
    conn: Connection,
    claim: Claim,
    verdict: Verdict,
    now: datetime,
    *,
    content_hash: bytes | None = None,
    segments: int | None = None,
    carrier: str | None = None,
    sender: str = "",
) -> None:
    """Write the verdict on the row. Raises ``LostLease`` where the lease is no longer ours."""
    values: dict[str, object] = {} if verdict.passed else {"rescues": 0}
    if verdict.after == "pending":
        values |= {"due_at": verdict.due_at}
    elif verdict.passed:
        values = {"handed_at": now, "handed_day": verdict.day, "content_hash": content_hash}
        values |= {"segments": segments, "carrier": carrier, "leased_until": now + LEASE}
    if not move(
        conn, "claimed", verdict.after, claim.mine(), who="holder", now=now, actor=sender, reason=verdict.reason,
        values=values,
    ):  # fmt: skip
        raise LostLease


def lock_for(conn: Connection, together: Sequence[Claim]) -> None:
    """Let nobody change until the transaction ends what is about to be asked of these dispatches.

    The gate first, which the red button closes; then endpoints before customers, by id, as whoever else takes both.
    """
    pass_gate(conn)
    lock_endpoints(conn, sorted({each.endpoint_id for each in together if each.endpoint_id is not None}))
    lock_customers(conn, sorted({each.customer_id for each in together}))


def lock_group(conn: Connection, together: Sequence[Claim], *, wait: bool) -> list[Claim]:
    """Lock the same for several messages that need not go together; give those of which all is held.

    An import holds its guests until it ends, in an order of its own: who holds one's inbox and waits for another one
    may wait in a circle with it. So they are waited for a moment at the most; without ``wait`` not at all.
    """
    inboxes = sorted({each.endpoint_id for each in together if each.endpoint_id is not None})
    endpoints, guests = hold_group(conn, inboxes, sorted({each.customer_id for each in together}), wait=wait)
    held: set[int | None] = {None, *endpoints}
    return [each for each in together if each.endpoint_id in held and each.customer_id in guests]


def pass_fence(
    conn: Connection,
    together: Sequence[Claim],
    policy: Policy,
    at: datetime,
    *,
    content_hash: bytes,
    segments: int | None = None,
    carrier: str | None = None,
    sender: str = "",
) -> list[tuple[Claim, Verdict]]:
    """Let one message go, or not; the caller commits. ``together`` are the dispatches that the message stands for.

    Gives what stands against it: nothing, and all are in ``handoff``; or the dispatches that may not go, with what
    became of them, and the others stay claimed. Raises ``LostLease``; then the caller rolls back.
    ``segments`` is how many SMS the message is billed as, ``carrier`` what it is handed to, ``sender`` names the
    journal that will have it.
    """
    lock_for(conn, together)
    policy.budgets.lock(conn, ((policy.rule(conn, each.version_id), each) for each in together), at)
    verdicts = [(each, decide(conn, each, policy, at, segments=segments or 1)) for each in together]
    against = [(each, verdict) for each, verdict in verdicts if not verdict.passed]
    for each, verdict in against or verdicts:
        carry_out(conn, each, verdict, at, content_hash=content_hash, segments=segments, carrier=carrier, sender=sender)
    return against


def take_back(conn: Connection, together: Sequence[Claim], now: datetime, *, reason: str = "journal") -> None:
    """Let wait again what passed the fence and has not left after all: the journal could not be written."""
    for each in together:
        move(
            conn,
            "handoff",
            "pending",
            each.mine(),
            who="holder",
            now=now,
            reason=reason,
            values={"rescues": 0},
        )
