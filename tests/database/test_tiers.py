"""Tiers at the edges of their period: when exactly one is reached, and on which day it falls."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, select, update
from tier_oracle import tier_changes_of, tier_on

from engine.database.facts import bring_to, rebuild, recompute, use_tiers
from engine.database.tables import customer_facts, customers, orders, refunds, tier_changes, tier_plan, zones
from engine.database.tiers import TierPlan, changes
from engine.language.times import Duration, business_day, start_of

FOUR = time(4)
YEAR = TierPlan("spend", Duration.parse("1 year"), (("silver", 20_000), ("gold", 50_000)), FOUR)
CHICAGO = ZoneInfo("America/Chicago")


def a_guest(conn: Connection, *bought: tuple[str, int], zone: str = "America/Chicago") -> None:
    """One guest, with orders at noon of these days."""
    conn.execute(insert(zones).values(id=1, name=zone))
    conn.execute(insert(customers).values(id=1, source="t", external_id="1", zone_id=1, attributes={}))
    for number, (day, total) in enumerate(bought, 1):
        order(conn, number, datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=ZoneInfo(zone)), total)


def order(conn: Connection, number: int, at: datetime, total: int) -> None:
    zone = ZoneInfo(conn.scalar(select(zones.c.name)) or "UTC")
    conn.execute(
        insert(orders).values(
            id=number, source="t", external_id=str(number), customer_id=1, ordered_at=at, total=total,
            day=business_day(at, zone, FOUR).toordinal(),
        )
    )  # fmt: skip


def tier_at(conn: Connection, at: datetime) -> str | None:
    bring_to(conn, at)
    return conn.scalars(select(customer_facts.c.tier_key)).one()


def noon(day: str | date, zone: ZoneInfo = CHICAGO) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=zone)


def changed(conn: Connection) -> list[tuple[str, str | None, str | None, str]]:
    rows = conn.execute(select(tier_changes).order_by(tier_changes.c.day))
    return [(str(date.fromordinal(row.day)), row.from_key, row.to_key, row.kind) for row in rows]


@pytest.mark.parametrize(
    ("bought", "last"),
    [
        ("2025-03-10", "2026-03-09"),  # a year later to the day it no longer counts
        ("2024-02-28", "2025-02-27"),
        ("2024-02-29", "2025-02-28"),  # the leap day leaves with 1 March
        ("2024-03-01", "2025-02-28"),
        ("2023-02-28", "2024-02-27"),
        ("2023-03-01", "2024-02-29"),
    ],
)
def test_a_year_holds_365_days_366_with_a_leap_day(db: Engine, bought: str, last: str) -> None:
    end = date.fromisoformat(last)
    with db.begin() as conn:
        a_guest(conn, (bought, 50_000))
        use_tiers(conn, YEAR, noon(bought))
        falls = start_of(end + timedelta(days=1), CHICAGO, FOUR)
        assert tier_at(conn, noon(bought)) == "gold"
        assert tier_at(conn, noon(end)) == "gold"
        assert tier_at(conn, falls - timedelta(seconds=1)) == "gold"
        assert changed(conn) == [(bought, None, "gold", "up")]
        assert tier_at(conn, falls) is None
        assert changed(conn) == [(bought, None, "gold", "up"), (str(end + timedelta(days=1)), "gold", None, "down")]
        assert tier_at(conn, falls - timedelta(seconds=1)) == "gold"  # and back: a forecast may look from before
        assert tier_at(conn, noon(bought) - timedelta(hours=1)) is None
        assert changed(conn) == []


def test_days_are_364_365_366(db: Engine) -> None:
    plan = TierPlan("visits", Duration.parse("365 days"), (("friend", 1),), FOUR)
    with db.begin() as conn:
        a_guest(conn, ("2025-03-10", 100))
        use_tiers(conn, plan, noon("2025-03-10"))
        start = date(2025, 3, 10)
        held = [tier_at(conn, noon(start + timedelta(days=days))) for days in (0, 364, 365, 366)]
        assert held == ["friend", "friend", None, None]


def test_each_zone_falls_at_its_own_morning(db: Engine) -> None:
    with db.begin() as conn:
        a_guest(conn, ("2025-05-04", 50_000), zone="Asia/Shanghai")
        use_tiers(conn, YEAR, noon("2025-05-05"))
        morning = datetime(2026, 5, 3, 20, tzinfo=UTC)  # 04:00 on 4 May in Shanghai
        assert [tier_at(conn, morning - timedelta(seconds=1)), tier_at(conn, morning)] == ["gold", None]


def test_a_mark_is_reached_exactly_and_a_level_above_falls_to_the_one_below(db: Engine) -> None:
    with db.begin() as conn:
        a_guest(conn, ("2026-01-01", 19_999), ("2026-02-01", 1), ("2026-03-01", 30_000))
        use_tiers(conn, YEAR, noon("2026-03-01"))
        days = ("2026-01-31", "2026-02-01", "2026-03-01", "2026-12-31", "2027-01-01", "2027-03-01")
        assert [tier_at(conn, noon(day)) for day in days] == [None, "silver", "gold", "gold", "silver", None]
        assert changed(conn) == [
            ("2026-02-01", None, "silver", "up"),
            ("2026-03-01", "silver", "gold", "up"),
            ("2027-01-01", "gold", "silver", "down"),
            ("2027-03-01", "silver", None, "down"),
        ]


def test_a_refund_takes_its_order_out_of_the_history_of_tiers(db: Engine) -> None:
    with db.begin() as conn:
        a_guest(conn, ("2026-03-01", 50_000))
        use_tiers(conn, YEAR, noon("2026-03-02"))
        assert tier_at(conn, noon("2026-03-02")) == "gold"
        back = noon("2026-03-05")
        conn.execute(
            insert(refunds).values(
                source="t", external_id="1", order_id=1, kind="refund", refunded_at=back, amount=30_000
            )
        )
        conn.execute(update(orders).values(refunded_at=back))
        recompute(conn, [1], back)
        assert (tier_at(conn, back), changed(conn)) == ("silver", [("2026-03-01", None, "silver", "up")])
        assert tier_at(conn, back - timedelta(seconds=1)) == "gold"


def test_a_level_that_needs_nothing_is_everybodys(db: Engine) -> None:
    plan = TierPlan("visits", Duration.parse("30 days"), (("guest", 0), ("friend", 2)), FOUR)
    with db.begin() as conn:
        a_guest(conn, ("2026-03-01", 500), ("2026-03-02", 500))
        use_tiers(conn, plan, noon("2026-03-01"))
        held = [tier_at(conn, noon(day)) for day in ("2026-02-28", "2026-03-01", "2026-03-02", "2026-03-31")]
        assert held == ["guest", "guest", "friend", "guest"]
        assert changed(conn) == [("2026-03-02", "guest", "friend", "up"), ("2026-03-31", "friend", "guest", "down")]


def test_another_plan_works_all_out_anew_and_the_same_one_nothing(db: Engine) -> None:
    with db.begin() as conn:
        a_guest(conn, ("2026-03-01", 30_000))
        conn.execute(update(customers).values(tier_key="imported"))
        now = noon("2026-03-02")
        rebuild(conn, now)
        assert tier_at(conn, now) == "imported"
        use_tiers(conn, YEAR, now)
        assert tier_at(conn, now) == "silver"
        conn.execute(update(customer_facts).values(orders=7))
        use_tiers(conn, YEAR, now)
        assert conn.scalar(select(customer_facts.c.orders)) == 7
        use_tiers(conn, TierPlan("spend", YEAR.within, (("silver", 20_000), ("gold", 30_000)), FOUR), now)
        assert (tier_at(conn, now), changed(conn)) == ("gold", [("2026-03-01", None, "gold", "up")])
        use_tiers(conn, None, now)
        assert (tier_at(conn, now), changed(conn), conn.execute(select(tier_plan)).all()) == ("imported", [], [])


@given(
    st.dictionaries(st.integers(737_000, 737_900), st.integers(0, 30_000), max_size=12),
    st.sampled_from(["1 year", "1 month", "30 days", "2 weeks"]),
    st.integers(737_000, 738_800),
)
def test_changes_are_those_of_a_calendar_on_the_wall(days: dict[int, int], within: str, today: int) -> None:
    plan = TierPlan("spend", Duration.parse(within), (("silver", 20_000), ("gold", 50_000)), FOUR)
    known = {day: worth for day, worth in days.items() if day <= today}
    found = {each.day: (each.before, each.after) for each in changes(plan, sorted(known.items()), today)}
    wanted = tier_changes_of(plan, known, today)
    assert found == {day: (before, after) for day, (before, after, _) in wanted.items()}


@given(st.integers(700_000, 760_000), st.sampled_from(["1 year", "1 month", "6 months", "90 days", "2 weeks"]))
def test_a_day_leaves_on_the_first_day_on_which_it_no_longer_counts(day: int, within: str) -> None:
    plan = TierPlan("visits", Duration.parse(within), (("friend", 1),), FOUR)
    leaves = plan.leaves(day)
    assert [tier_on(plan, {day: 1}, each) for each in (leaves - 1, leaves)] == ["friend", None]
