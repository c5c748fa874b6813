"""A database of the first release, with guests in it, comes to the tables of today, and its facts are filled."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from alembic.command import upgrade
from alembic.config import Config
from sqlalchemy import Engine, MetaData, Table, insert, select

from engine.database import migrations
from engine.database.engines import without_foreign_keys
from engine.database.facts import bring_to, use_tiers
from engine.database.migrations import migrate
from engine.database.tables import customer_facts, tags, tier_changes
from engine.database.tiers import TierPlan
from engine.language.times import Duration

NOW = datetime(2026, 5, 4, 15, tzinfo=UTC)


@pytest.fixture
def old_db(empty_db: Engine) -> Engine:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with without_foreign_keys(empty_db) as conn, conn.begin():
        config.attributes["connection"] = conn
        upgrade(config, "0001")
    with empty_db.begin() as conn:
        _fill(conn)
    return empty_db


def _fill(conn) -> None:
    def into(table: str, /, **values: object) -> None:
        conn.execute(insert(Table(table, MetaData(), autoload_with=conn)).values(**values))

    ordered = int((NOW - timedelta(days=3)).timestamp())
    into("zones", id=1, name="UTC")
    into("stores", id=1, source="t", external_id="1", name="s", name_key="s", zone_id=1, country="GB", attributes={})
    into(
        "customers", id=1, source="t", external_id="1", zone_id=1, store_id=1, tier="Gold", tier_key="gold", attributes={}
    )  # fmt: skip
    into(
        "orders", id=1, source="t", external_id="1", customer_id=1, store_id=1, ordered_at=ordered, total=60_000,
        day=(NOW - timedelta(days=3)).toordinal(),
    )  # fmt: skip
    into("customer_facts", customer_id=1, zone_id=1, orders=1, visits=1, spend=60_000, stands_from=ordered)
    into("tags", customer_id=1, tag="vip")


def test_the_new_facts_of_old_guests_are_worked_out_before_they_are_used(old_db: Engine) -> None:
    migrate(old_db)
    with old_db.begin() as conn:
        assert conn.scalars(select(customer_facts.c.tier_key)).one() is None
        assert bring_to(conn, NOW) == 1
        row = conn.execute(select(customer_facts)).one()
        assert (row.tier_key, row.country, row.tier_rests_on, row.spend) == ("gold", "GB", None, 60_000)
        assert row.stands_from == NOW - timedelta(days=3)
        assert bring_to(conn, NOW) == 0
        assert conn.execute(select(tags)).one() == (1, "vip", None, False)


def test_tiers_are_worked_out_for_old_guests_too(old_db: Engine) -> None:
    migrate(old_db)
    plan = TierPlan("spend", Duration.parse("1 year"), (("silver", 20_000), ("platinum", 50_000)), time(4))
    with old_db.begin() as conn:
        use_tiers(conn, plan, NOW)
        bring_to(conn, NOW)
        assert conn.scalars(select(customer_facts.c.tier_key)).one() == "platinum"
        day = (NOW - timedelta(days=3)).toordinal()
        assert conn.execute(select(tier_changes)).all() == [(1, day, None, "platinum", "up", None)]
