"""Tiers and tags as the customers' file tells them: what changed, and since when."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest
from sqlalchemy import insert, select

from engine.database.facts import use_tiers
from engine.database.tables import customers, tags, tier_changes
from engine.database.tiers import TierPlan
from engine.language.times import Duration


def changes(home):
    with home.db.begin() as conn:
        rows = conn.execute(
            select(customers.c.external_id, tier_changes)
            .join(customers, customers.c.id == tier_changes.c.customer_id)
            .order_by(customers.c.external_id, tier_changes.c.day)
        )
        return [(row.external_id, str(date.fromordinal(row.day)), row.from_key, row.to_key, row.kind) for row in rows]


@pytest.fixture
def told(home):
    """A function that takes in a customers' file of (id, tier) at the home's time."""

    def take(**tiers):
        rows = "".join(f"{guest},{tier}\n" for guest, tier in tiers.items())
        return home.take(f"customer_id,tier\n{rows}")

    return take


def test_the_first_file_with_tiers_changes_nobodys_and_the_next_ones_do(home, told):
    home.take("order_id,customer_id,ordered_at,total\no1,c1,2026-03-25 12:00,12.50\n")
    told(c1="Gold", c2="Silver", c3="")
    assert changes(home) == []
    day = home.now.date()
    told(c1="Platinum", c2="Silver", c3="Silver", c4="Gold")
    assert changes(home) == [
        ("c1", str(day), "gold", "platinum", "none"),
        ("c3", str(day), None, "silver", "none"),
    ]
    told(c1="Platinum", c2="Silver", c3="Silver", c4="Gold")
    assert len(changes(home)) == 2


def test_two_changes_of_one_day_are_one_and_back_again_is_none(home, told):
    told(c1="Gold", c2="Gold")
    told(c1="Silver", c2="Silver")
    told(c1="", c2="Gold")
    day = home.now.date()
    assert changes(home) == [("c1", str(day), "gold", None, "none")]
    home.now += timedelta(days=1)
    told(c1="Gold", c2="Gold")
    assert changes(home) == [
        ("c1", str(day), "gold", None, "none"),
        ("c1", str(day + timedelta(days=1)), None, "gold", "none"),
    ]


def test_a_file_without_the_column_changes_nothing(home, told):
    told(c1="Gold")
    home.take("customer_id,name\nc1,Ana\n")
    assert changes(home) == []


def test_where_tiers_are_worked_out_those_of_files_are_not_noted(home, told):
    told(c1="Gold")
    plan = TierPlan("spend", Duration.parse("1 year"), (("silver", 20_000),), time(4))
    with home.db.begin() as conn:
        use_tiers(conn, plan, home.now)
    told(c1="Silver")
    assert changes(home) == []


def test_a_new_tag_bears_its_day_an_old_one_keeps_it_and_a_rules_tag_stays(home):
    def worn():
        with home.db.begin() as conn:
            return {row.tag: row.at for row in conn.execute(select(tags))}

    home.take("customer_id,tags\nc1,vip\n")
    first = home.now
    with home.db.begin() as conn:
        guest = conn.scalar(select(customers.c.id))
        conn.execute(insert(tags).values(customer_id=guest, tag="big-spender", at=first, by_rule=True))
    home.now += timedelta(days=1)
    home.take('customer_id,tags\nc1,"vip, vegan"\n')
    assert worn() == {"vip": first, "vegan": home.now, "big-spender": first}
    home.take("customer_id,tags\nc1,vegan\n")
    assert worn() == {"vegan": home.now, "big-spender": first}
    assert home.take("customer_id,tags\nc1,vegan\n").unchanged == 1
