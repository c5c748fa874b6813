"""A database of the first release, with rows in it, brought up to date: what rules compare is worked out for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alembic.command import upgrade
from alembic.config import Config
from sqlalchemy import Engine, column, delete, insert, select, table
from sqlalchemy.exc import IntegrityError

from engine.database import migrations
from engine.database.engines import without_foreign_keys
from engine.database.migrations import migrate, schema_is_current
from engine.database.tables import customers, dispatches, events, matches, orders, ratings, stores

#: 3 May 2026, 01:30 in Chicago, which is 08:30 in Berlin: still Saturday where the day begins at four.
AT = 1777789800
SATURDAY = 739738


def first_release(db: Engine, revision: str = "0001") -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with without_foreign_keys(db) as conn, conn.begin():
        config.attributes["connection"] = conn
        upgrade(config, revision)


def fill(db: Engine) -> None:
    def add(name: str, /, **row: object) -> None:
        conn.execute(insert(table(name, *map(column, row))).values(row))

    def as_json(value: dict[str, object]) -> str:
        return json.dumps(value)

    of = {"source": "csv"}
    with db.begin() as conn:
        add("zones", id=1, name="America/Chicago")
        add("zones", id=2, name="Europe/Berlin")
        add("stores", id=1, **of, external_id=" ÄÖ-1", name="A", name_key="a", zone_id=1, attributes="{}")
        guest = {"vip": "Größe", "seats": 4, "half": 2.5, "vegan": True}
        for number, attributes in ((1, guest), (2, {})):
            add(
                "customers", id=number, **of, external_id=f"c{number}", zone_id=2, own_zone=True,
                gender="Écrivaine" if attributes else None, attributes=as_json(attributes),
            )  # fmt: skip
        order = {**of, "ordered_at": AT, "total": 100}
        add("orders", id=1, **order, external_id="o1", customer_id=1, store_id=1, day=SATURDAY)
        add("orders", id=2, **order, external_id="o2", customer_id=1, store_id=None, day=SATURDAY + 1)
        add("orders", id=3, **order, external_id="o3", customer_id=None, store_id=None, day=SATURDAY)
        add("ratings", id=1, **of, external_id="r1", rated_at=AT, score=4.0, platform="ÜBER  all")
        add("events", id=1, **of, external_id="e1", name="Café Tasting", at=AT, data=as_json({"Kind": "WEISS"}))


def test_rows_of_the_first_release_get_what_rules_compare(empty_db: Engine) -> None:
    first_release(empty_db)
    fill(empty_db)
    assert not schema_is_current(empty_db)
    migrate(empty_db)
    with empty_db.connect() as conn:
        assert conn.scalars(select(stores.c.external_key)).all() == ["äö-1"]
        asked = select(customers.c.gender_key, customers.c.attribute_keys).order_by(customers.c.id)
        assert [tuple(row) for row in conn.execute(asked)] == [
            ("écrivaine", {"vip": "grösse", "seats": "4", "half": "2.5", "vegan": "yes"}),
            (None, {}),
        ]
        assert conn.scalars(select(ratings.c.platform_key)).all() == ["über all"]
        assert [tuple(row) for row in conn.execute(select(events.c.name_key, events.c.data_keys))] == [
            ("café tasting", {"Kind": "weiss"})
        ]
        # By the store's clock, else the guest's; nobody knows it of a walk-in without a store.
        clocks = conn.scalars(select(orders.c.clock).order_by(orders.c.id)).all()
        assert clocks == [5 * 1440 + 90, 6 * 1440 + 8 * 60 + 30, None]


def test_more_rows_than_one_chunk(empty_db: Engine) -> None:
    first_release(empty_db)
    fill(empty_db)
    row = {"source": "csv", "ordered_at": AT, "total": 100, "customer_id": 1, "store_id": 1, "day": SATURDAY}
    many = [{"id": number, **row, "external_id": f"m{number}"} for number in range(4, 5_104)]
    with empty_db.begin() as conn:
        conn.execute(insert(table("orders", *map(column, many[0]))), many)
    migrate(empty_db)
    with empty_db.connect() as conn:
        assert conn.scalars(select(orders.c.clock).where(orders.c.id > 3).distinct()).all() == [5 * 1440 + 90]


def test_decisions_keep_their_ids_where_their_tables_are_made_anew(empty_db: Engine) -> None:
    """Also those that are gone: a forgotten message's number must not be another's, whose journal knows it as sent."""
    first_release(empty_db, "0007")

    def add(name: str, /, **row: object) -> None:
        conn.execute(insert(table(name, *map(column, row))).values(row))

    with empty_db.begin() as conn:
        add("zones", id=1, name="UTC")
        add("customers", id=1, source="csv", external_id="c1", zone_id=1, own_zone=True, attributes="{}")
        add("rules", id=1, rule="win-back", path="rules/win-back.yaml", content_hash=b"x" * 32)
        add("rule_versions", id=1, rule_id=1, content_hash=b"x" * 32, body="{}", first_at=AT)
        add("runs", id=1, as_of=AT, started_at=AT, host="here", pid=1)
        run = {"rule_id": 1, "customer_id": 1, "run_id": 1, "version_id": 1, "matched_at": AT, "closes": AT}
        step = {"month": 202605, "step": 1, "rule_id": 1, "customer_id": 1, "channel": "email", "purpose": "service"}
        for number in (1, 2):
            add("matches", occasion=number, **run, verdict="act")
            add("dispatches", match_id=number, **step, state="pending", due_at=AT, expires_at=AT)
        for name in ("dispatches", "matches"):
            conn.execute(delete(table(name, column("id"))).where(column("id") == 2))
    migrate(empty_db)
    with empty_db.begin() as conn:
        add("matches", occasion=3, **run, verdict="refused")
        add("dispatches", match_id=3, **step, state="blocked", due_at=AT, expires_at=AT)
        assert conn.execute(select(matches.c.id, matches.c.occasion).order_by(matches.c.id)).all() == [(1, 1), (3, 3)]
        asked = select(dispatches.c.id, dispatches.c.match_id, dispatches.c.state).order_by(dispatches.c.id)
        assert conn.execute(asked).all() == [(1, 1, "pending"), (3, 3, "blocked")]
    with pytest.raises(IntegrityError), empty_db.begin() as conn:
        add("matches", occasion=3, **run, verdict="act")
    with pytest.raises(IntegrityError), empty_db.begin() as conn:
        add("dispatches", match_id=9, **{**step, "step": 2}, state="pending", due_at=AT, expires_at=AT)
