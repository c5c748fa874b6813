"""Many coupon steps at once come to what each of them comes to alone, in a few statements."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, exists, insert, select, update

from engine.database.tables import audit, budget_uses, coupons, customers, dispatches, rules
from engine.dispatch import inside
from engine.dispatch.claims import claim
from engine.language.rule import Rule

from .world import NOW, Cafe

HOUR = timedelta(hours=1)
_NUMBERS = count(1)  #: of guests and rules, over all examples
#: What one guest's match may be like: its coupon's terms, its message, and what stands against it.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "good for a while": {"terms": {"valid": "14 days"}},
    "terms that nobody can read": {"terms": {"valid": "a while"}},
    "always": {"terms": {"always": True}, "mail": {"state": "blocked"}},
    "no message any more": {"mail": {"state": "cancelled"}},
    "a message that waits": {"mail": {"due_at": NOW + 5 * HOUR}},
    "a message too late for its hours": {"mail": {"due_at": NOW + 12 * HOUR, "expires_at": NOW + 13 * HOUR}},
    "a message by SMS": {"mail": {"channel": "sms"}},
    "erased": {"erased": True},
    "the rule is off": {"off": True},
    "the journey is over": {"stopped": 1},
    "its message alone is left out": {"stopped": 2},
    "two coupons, of which one": {"twice": True},
    "no message behind it": {"step": 3},
}


def ready(cafe: Cafe, kinds: list[str]) -> None:
    """Write a match for each; whose journey is over is known by the rule's step."""
    stopped: dict[int, int] = {}

    one_only: set[int] = set()

    def why_stopped(conn: Connection, _rule: Rule, its: Any, _at: Any) -> str | None:
        has = coupons.c.customer_id == its.customer_id, coupons.c.code.is_not(None)
        if its.customer_id in one_only and its.step == 1 and conn.scalar(select(exists().where(*has))):
            return "stop_if"
        step = stopped.get(its.match_id)
        return None if step != its.step else "only_if" if step == 2 else "stop_if"

    cafe.why_stopped = why_stopped
    for kind in kinds:
        how = KINDS[kind]
        guest, rule = cafe.guest(), cafe.rule()
        for _ in range(1 + how.get("twice", False)):
            match = cafe.match(guest, rule=rule)
            cafe.coupon(match, guest, terms=how.get("terms"), step=how.get("step", 1))
            cafe.dispatch(match, guest, step=2, **how.get("mail", {}))
            stopped[match] = how.get("stopped", 0)
        if "twice" in how:
            one_only.add(guest.id)
        with cafe.db.begin() as conn:
            if how.get("erased"):
                conn.execute(update(customers).where(customers.c.id == guest.id).values(erased_at=NOW))
            if how.get("off"):
                conn.execute(update(rules).where(rules.c.id == rule[0]).values(active=False))


def done(cafe: Cafe, *, together: bool, at: datetime = NOW) -> dict[str, Any]:
    """Do what is due, tell what it comes to, and take it back."""
    numbers = count(1)
    with pytest.MonkeyPatch.context() as patch, cafe.db.connect() as conn, conn.begin() as transaction:
        if not together:
            patch.setattr(inside, "issue_plainly", lambda *_, **__: set())
        held = claim(conn, now=NOW, holder="here:1:a", usable=["coupon"], limit=100)
        verdicts = inside.do_all(conn, held, cafe.policy, at, draw=lambda: f"CODE{next(numbers):09}")
        drawn = [column if column.name != "code" else column.is_not(None) for column in coupons.c]
        trail = select(*(each for each in audit.c if each.name != "id")).order_by(audit.c.dispatch_id, audit.c.after)
        found = {
            "verdicts": [(each.after, each.reason) for each in verdicts],
            "dispatches": conn.execute(select(dispatches).order_by(dispatches.c.id)).all(),
            "coupons": conn.execute(select(*drawn).order_by(coupons.c.id)).all(),
            "trail": conn.execute(trail).all(),
            "budgets": conn.execute(select(budget_uses)).all(),
        }
        transaction.rollback()
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8), tallied=st.booleans(), late=st.booleans()
)
def test_together_they_come_to_what_each_comes_to_alone(db: Engine, kinds: list[str], tallied: bool, late: bool):
    cafe = Cafe(db, numbers=_NUMBERS)
    with db.begin() as conn:
        for table in (audit, coupons, dispatches, budget_uses):
            conn.execute(table.delete())
        if tallied:  # of a budget that the home no longer has
            of_all = {"rule_id": 0, "begins": NOW - HOUR, "ends": NOW + HOUR, "used": 7}
            conn.execute(insert(budget_uses), [of_all | {"kind": kind} for kind in ("coupons", "coupon_value")])
    ready(cafe, kinds)
    at = NOW + timedelta(days=60) if late else NOW
    assert done(cafe, together=True, at=at) == done(cafe, together=False, at=at)


def test_each_kind_comes_to_what_it_should(cafe: Cafe):
    ready(cafe, list(KINDS))
    told = done(cafe, together=True)["verdicts"]
    drawn, no_message = ("sent", None), ("cancelled", "no_message")
    assert told == [
        drawn, drawn, ("dead", "bad_terms"), drawn, no_message, drawn, no_message, drawn, ("blocked", "erased"),
        ("cancelled", "rule_off"), ("cancelled", "stop_if"), no_message, drawn,
        ("cancelled", "stop_if"), no_message,
    ]  # fmt: skip


def test_many_of_them_cost_few_statements(cafe: Cafe):
    ready(cafe, ["plain", "good for a while", "a message that waits"] * 7)
    asked: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(cafe.db, "before_cursor_execute", note)
    assert {after for after, _ in done(cafe, together=True)["verdicts"]} == {"sent"}
    together = len(asked)
    asked.clear()
    done(cafe, together=False)
    event.remove(cafe.db, "before_cursor_execute", note)
    assert together < 30
    assert len(asked) > 21 * 5
