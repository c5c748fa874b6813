"""Steps inside the database: coupons, points and tags, done in the transaction of their claim, exactly once.

Nothing leaves the machine, so there is no fence: either the claim is committed with all that the step does, or neither.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, delete, func, insert, select

from engine.database.counting import counts, net_total, points_balance
from engine.database.facts import recompute
from engine.database.ledger import settle
from engine.database.sql import upsert
from engine.database.tables import customer_facts, customers, order_items, orders, points, products, tags
from engine.dispatch import coupons
from engine.dispatch.claims import Claim
from engine.dispatch.fence import Policy, UnreadableRuleError, Verdict, carry_out, decide
from engine.dispatch.issuing import issue_plainly
from engine.dispatch.states import move
from engine.language import codes
from engine.language.rule import Rule
from engine.language.times import business_day, start_of
from engine.vocabulary.loyalty_actions import Points, Tag, counted_items

#: The source of what a rule adds; the external id is the dispatch's.
SOURCE = "regulars"
_THOUSANDTHS = 1000
_ONE_DAY = timedelta(days=1)


def do_all(
    conn: Connection, claims: Sequence[Claim], policy: Policy, at: datetime, *, draw: Callable[[], str] = codes.draw
) -> list[Verdict]:
    """Do the claimed steps of one transaction, and bring the facts of their guests up to date.

    One whose terms or rule cannot be read is ``dead``, not all. What a budget is for comes last, behind its lock: so no
    other message waits while points are settled, or for an import that writes the same guests' facts.
    """
    desk = _Doing(conn, policy, at, draw)
    budgeted = desk.budgeted(claims)
    done = dict.fromkeys(issue_plainly(conn, claims, policy, at, budgeted=budgeted, draw=draw), Verdict("sent"))
    done |= {claim.id: desk.try_to(claim) for claim in claims if claim.id not in {*budgeted, *done}}
    desk.settle()
    if desk.guests:
        recompute(conn, sorted(desk.guests), at)
    policy.budgets.lock(conn, budgeted.values(), at)
    done |= {claim.id: desk.try_to(claim) for _, claim in budgeted.values()}
    return [done[claim.id] for claim in claims]


@dataclass
class _Doing:
    conn: Connection
    policy: Policy
    at: datetime
    draw: Callable[[], str]
    touched: set[int] = field(default_factory=set)  #: guests whose ledgers are to be settled
    guests: set[int] = field(default_factory=set)  #: guests whose points changed at all

    def budgeted(self, claims: Sequence[Claim]) -> dict[int, tuple[Rule, Claim]]:
        """Give those that a budget is asked about, with their rules, by id."""
        found = {}
        for claim in claims:
            if claim.channel != "coupon":
                continue
            with contextlib.suppress(UnreadableRuleError):  # told when it is tried
                rule = self.policy.rule(self.conn, claim.version_id)
                if self.policy.budgets.concern(rule, claim, self.at):
                    found[claim.id] = (rule, claim)
        return found

    def try_to(self, claim: Claim) -> Verdict:
        """Do one step; where its terms or its rule cannot be read, write that on it."""
        try:
            with self.conn.begin_nested():
                return self.do(claim)
        except (ValueError, UnreadableRuleError) as error:
            reason = "bad_terms" if isinstance(error, ValueError) else "rule_unreadable"
            move(self.conn, "claimed", "dead", claim.mine(), who="holder", now=self.at, reason=reason)
            return Verdict("dead", reason)

    def do(self, claim: Claim) -> Verdict:
        """Do one step, unless something stands against it; give what became of it."""
        verdict = decide(self.conn, claim, self.policy, self.at)
        waits = claim.channel == "coupon" and verdict.after == "pending" and verdict.reason == "budget"
        if waits and not coupons.wait_together(self.conn, claim, self.policy, verdict.due_at or self.at):
            verdict = Verdict("blocked", "budget")
        if verdict.passed:
            why = self._done(claim)
            verdict = Verdict("sent") if why is None else Verdict("cancelled", why)
        if verdict.after == "sent":
            handed = {"handed_at": self.at}  # for budgets
            move(self.conn, "claimed", "sent", claim.mine(), who="holder", now=self.at, values=handed)
        else:
            carry_out(self.conn, claim, verdict, self.at)
        if claim.channel == "coupon" and verdict.after == "blocked" and verdict.reason == "budget":
            coupons.keep_in(self.conn, claim, self.at)
        return verdict

    def _done(self, claim: Claim) -> str | None:
        """Do it; give why there was nothing to do, or None."""
        if claim.channel == "coupon":
            return coupons.issue(self.conn, claim, self.policy, self.at, draw=self.draw)
        rule = self.policy.rule(self.conn, claim.version_id)
        try:
            settings = rule.step(claim.step).settings
        except KeyError:
            raise UnreadableRuleError from None
        if isinstance(settings, Points):
            return self._points(claim, rule, settings)
        if isinstance(settings, Tag):
            self._tag(claim, settings)
            return None
        raise UnreadableRuleError

    # Points

    def _points(self, claim: Claim, rule: Rule, settings: Points) -> str | None:
        number = self._taken(claim, settings) if settings.add < 0 else self._earned(claim, rule, settings)
        if not number:
            return "no_points"
        self.conn.execute(
            insert(points).values(
                source=SOURCE,
                external_id=f"dispatch-{claim.id}",
                customer_id=claim.customer_id,
                at=self.at,
                points=number,
                expires_at=self._expires(claim, settings) if number > 0 else None,
                reason=rule.id,
                ledger=settings.ledger,
            )
        )
        self.touched.add(claim.customer_id)
        self.guests.add(claim.customer_id)
        return None

    def _taken(self, claim: Claim, settings: Points) -> int:
        """A balance never falls below zero: what is not there is not taken."""
        self.settle()
        balance = select(points_balance(customers.c.id, self.at, settings.ledger))
        there = self.conn.scalar(balance.where(customers.c.id == claim.customer_id)) or 0
        return max(int(settings.add), -there)

    def _earned(self, claim: Claim, rule: Rule, settings: Points) -> int:
        if settings.per is None:
            return int(settings.add)
        if claim.order_id is None:
            return 0
        tier = self.conn.scalar(
            select(customer_facts.c.tier_key).where(customer_facts.c.customer_id == claim.customer_id)
        )
        return settings.earned(self._quantity(claim.order_id, rule, settings), tier)

    def _quantity(self, order_id: int, rule: Rule, settings: Points) -> Decimal:
        """Tell how many items, or how much money, as things stand: an order given back counts nothing."""
        o = orders.alias("o")
        total = self.conn.scalar(select(net_total(o, self.at)).where(o.c.id == order_id, counts(o, self.at)))
        if total is None:
            return Decimal(0)
        if settings.per == "spend":
            return Decimal(total)
        if settings.per == "order":
            return Decimal(1)
        filters = counted_items(rule.trigger)
        wanted = [] if filters is None else filters.of_item(products.c.name_key, products.c.category_key)
        held = (
            select(func.sum(order_items.c.quantity))
            .join(products, products.c.id == order_items.c.product_id)
            .where(order_items.c.order_id == order_id, *wanted)
        )
        return Decimal(self.conn.scalar(held) or 0) / _THOUSANDTHS

    def _expires(self, claim: Claim, settings: Points) -> datetime | None:
        """Give the first instant at which the lot is gone: its last day is whole."""
        ledger = settings.loyalty.ledgers.get(settings.ledger)
        if ledger is None or ledger.expires is None:
            return None
        last = ledger.expires.after(business_day(self.at, claim.zone, self.policy.day_starts))
        return start_of(last + _ONE_DAY, claim.zone, self.policy.day_starts)

    def settle(self) -> None:
        """Say which lots the uses took from, as far as entries were written since."""
        settle(self.conn, sorted(self.touched))
        self.touched.clear()

    # Tags

    def _tag(self, claim: Claim, settings: Tag) -> None:
        guest = claim.customer_id
        if settings.remove:
            self.conn.execute(delete(tags).where(tags.c.customer_id == guest, tags.c.tag.in_(settings.remove)))
        if settings.add:
            fresh = upsert(self.conn, tags)
            self.conn.execute(
                fresh.on_conflict_do_update(index_elements=["customer_id", "tag"], set_={"by_rule": True}),
                [{"customer_id": guest, "tag": tag, "at": self.at, "by_rule": True} for tag in settings.add],
            )
