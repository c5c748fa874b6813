"""Whose rhythm has opened `at_risk` since the last time is found by a range of an index, and nobody is left out."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from small_world import BERLIN, CHICAGO, DAY_STARTS, Cafe, at, rule_of
from sqlalchemy import Connection, insert, select

from engine.database.tables import customer_facts, customers, zones
from engine.evaluation.compiler import Rows, compile_rule
from engine.language.rule import Rule
from engine.vocabulary.scope import Scope, Zone

NOW = at("2026-05-04 10:00")
TODAY = NOW.date().toordinal()
RULE = "trigger:\n  at_risk:\n    times: {times}\n    min_visits: {visits}\n    at_least: 9 days\n    up_to: 40 days\n"
AWAY = (8, 9, 10, 11, 14, 17, 25, 30, 38, 39, 40, 41, 45)


@pytest.fixture
def crowd(cafe: Cafe) -> Cafe:
    """In two zones guests who have been away for so many days, with every number of gaps and many sums of them."""
    rows = [
        {"last_order_day": TODAY - away, "gaps": gaps, "gap_days": gap_days, "visits": gaps + 1, "zone_id": zone}
        for zone in (1, 2)
        for away in AWAY
        for gaps in (0, 1, 2, 4, 9, 10)
        for gap_days in {
            *range(gaps, 14),
            *(round(away * gaps / times) + d for times in (1.5, 3, 7) for d in (-1, 0, 1)),
        }
        if gap_days >= gaps
    ]
    named = {"source": "csv", "attributes": {}}
    with cafe.db.begin() as conn:
        conn.execute(insert(zones), [{"id": 1, "name": CHICAGO}, {"id": 2, "name": BERLIN}])
        guests = ({**named, "id": n, "external_id": str(n), "zone_id": row["zone_id"]} for n, row in enumerate(rows, 1))
        conn.execute(insert(customers), list(guests))
        facts = ({**row, "customer_id": n, "last_order_id": n, "orders": 1} for n, row in enumerate(rows, 1))
        conn.execute(insert(customer_facts), list(facts))
    return cafe


def candidates(conn: Connection, rule: Rule, now: datetime, since: datetime | None, *, newly: bool) -> set[int]:
    """Whom the rule finds of all guests, or of those for whom it has opened ``since``."""
    known = [Zone(1, ZoneInfo(CHICAGO)), Zone(2, ZoneInfo(BERLIN))]
    scope = Scope(now, known, DAY_STARTS, watermark=since, seen_tick=1 if newly else None)
    found = compile_rule(rule, scope, Rows(1, 1, 1)).subquery()
    return set(conn.scalars(select(found.c.customer_id)))


@pytest.mark.parametrize(("times", "visits"), [(0.000001, 2), (1, 2), (1.5, 3), (3, 5), (7, 2)])
def test_who_was_no_candidate_and_is_one_now_is_found(crowd: Cafe, times: float, visits: int) -> None:
    rule = rule_of(RULE.format(times=f"{times:f}", visits=visits), crowd.home)
    with crowd.db.connect() as conn:
        for days in (0.5, 1, 4, 12):
            since = NOW - timedelta(days=days)
            before = candidates(conn, rule, since, None, newly=False)
            everybody = candidates(conn, rule, NOW, since, newly=False)
            assert everybody - before
            assert everybody - before <= candidates(conn, rule, NOW, since, newly=True) <= everybody


def test_so_many_times_the_usual_gap_has_nobody_stayed_away(crowd: Cafe) -> None:
    rule, since = rule_of(RULE.format(times=100_000, visits=2), crowd.home), NOW - timedelta(days=12)
    with crowd.db.connect() as conn:
        assert candidates(conn, rule, NOW, since, newly=True) == set()
