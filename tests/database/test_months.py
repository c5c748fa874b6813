"""The ledger by months: its partitions on PostgreSQL, and old databases whose rows get their month."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from alembic.command import upgrade
from alembic.config import Config
from sqlalchemy import Engine, column, insert, inspect, select, table, text, update
from test_migrations import FOLDER, described

from engine.database.engines import open_db, without_foreign_keys
from engine.database.migrations import migrate
from engine.database.months import (
    LEDGER,
    begins,
    ends,
    following,
    is_month,
    make_months,
    month_of,
    partitions,
)
from engine.database.tables import audit, coupons, delivery_events, dispatches, matches, payloads

#: The last second of April and the first of May, in UTC.
APRIL, MAY = 1777593599, 1777593600
AT = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Engine]:
    db = open_db(postgres_url)
    yield db
    db.dispose()


def note(db: Engine, at: int) -> None:
    with db.begin() as conn:
        conn.execute(insert(audit).values(at=at, actor="test", action="note"))


def kept_in(db: Engine) -> list[str]:
    """In which tables the rows of the trail really are."""
    with db.connect() as conn:
        return list(conn.scalars(text("SELECT tableoid::regclass::text FROM audit ORDER BY id")))


def test_a_month_is_that_of_utc() -> None:
    assert (month_of(APRIL), month_of(MAY)) == (202604, 202605)
    assert month_of(datetime.fromisoformat("2026-05-01T01:00+02:00")) == 202604
    assert (following(202611), following(202612)) == (202612, 202701)
    assert int(begins(202605).timestamp()) == int(ends(202604).timestamp()) == MAY


def test_partitions_are_made_ahead_and_once(postgres: Engine) -> None:
    with postgres.begin() as conn:
        assert make_months(conn, AT) == [202605, 202606, 202607]
        assert make_months(conn, AT) == []
        assert {name: partitions(conn, name) for name in LEDGER} == {name: [202605, 202606, 202607] for name in LEDGER}
        stored = text("SELECT reloptions::text FROM pg_class WHERE relname = 'dispatches_202606'")
        assert "fillfactor=70" in str(conn.scalar(stored))
    made = described(inspect(postgres))
    its = [{k: v for k, v in made[f"dispatches_{part}"].items() if k == "checks"} for part in ("default", "202606")]
    assert its[0] == its[1]  # a state that is none is refused in each


def test_sqlite_has_plain_tables(tmp_path) -> None:
    db = open_db(f"sqlite:///{tmp_path}/regulars.db")
    migrate(db)
    with db.begin() as conn:
        assert make_months(conn, AT) == partitions(conn) == []
    db.dispose()


def test_a_row_without_a_partition_of_its_month_waits_in_the_default_one(postgres: Engine) -> None:
    note(postgres, APRIL)
    note(postgres, MAY)
    assert kept_in(postgres) == ["audit_default"] * 2
    with postgres.begin() as conn:
        make_months(conn, AT)
    note(postgres, MAY)
    assert kept_in(postgres) == ["audit_default", "audit_202605", "audit_202605"]


def test_two_that_make_months_at_once_take_turns(postgres: Engine) -> None:
    ready, made, broke = threading.Barrier(3), [], []

    def make() -> None:
        try:
            ready.wait(10)
            with postgres.begin() as conn:
                made.append(make_months(conn, AT))
        except Exception as error:  # noqa: BLE001 (the test says it)
            broke.append(error)

    makers = [threading.Thread(target=make) for _ in range(3)]
    for each in makers:
        each.start()
    for each in makers:
        each.join()
    assert broke == []
    assert sorted(made) == [[], [], [202605, 202606, 202607]]


def test_a_month_that_is_named_is_the_only_partition_that_is_opened(postgres: Engine) -> None:
    with postgres.begin() as conn:
        make_months(conn, AT)
    chosen = select(dispatches.c.id).where(is_month(dispatches.c.month, 202605), dispatches.c.id == 7)
    with postgres.connect() as conn:
        asked = chosen.compile(conn, compile_kwargs={"render_postcompile": True})
        assert "202605" in str(asked)  # also where all else is a bind
        plan = conn.scalars(text(f"EXPLAIN {chosen.compile(conn, compile_kwargs={'literal_binds': True})}")).all()
    assert "dispatches_202605" in str(plan)
    assert "dispatches_202606" not in str(plan)
    assert "dispatches_default" not in str(plan)


# ---------------------------------------------------------------------------------------------------------------------
# A database of before.


def before(db: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with without_foreign_keys(db) as conn, conn.begin():
        config.attributes["connection"] = conn
        upgrade(config, "0003")


def fill(db: Engine) -> None:
    def add(name: str, /, **row: object) -> None:
        conn.execute(insert(table(name, *map(column, row))).values(row))

    with db.begin() as conn:
        add("zones", id=1, name="UTC")
        add("customers", id=1, source="csv", external_id="c1", zone_id=1, attributes="{}")
        add("rules", id=1, rule="win-back", path="x", content_hash=b"1")
        add("rule_versions", id=1, rule_id=1, content_hash=b"1", body="{}", first_at=APRIL)
        add("runs", id=1, as_of=APRIL, started_at=APRIL, host="h", pid=1)
        for number, at in ((1, APRIL), (2, MAY)):
            add(
                "matches", id=number, rule_id=1, customer_id=1, occasion=number, run_id=1, version_id=1,
                matched_at=at, closes=at + 9, verdict="act",
            )  # fmt: skip
            for step in (1, 2):
                add(
                    "dispatches", id=number * 10 + step, match_id=number, step=step, rule_id=1, customer_id=1,
                    channel="coupon" if step == 1 else "email", purpose="marketing", state="sent", due_at=at,
                    expires_at=at + 9, lease_token=step,
                )  # fmt: skip
            add("coupons", id=number, dispatch_id=number * 10 + 1, customer_id=1, offer="cake", terms="{}")
            add("payloads", dispatch_id=number * 10 + 2, values="{}", at=at)
        for number in (1, 2, 3):  # the last one is gone: its number is not given again
            add("audit", id=number, at=MAY + 99, actor="w", action="move", dispatch_id=12, token=1, after="sent")
        conn.execute(text("DELETE FROM audit WHERE id = 3"))
        add("audit", id=7, at=MAY, actor="dana", action="approve")
        add("delivery_events", id=1, dispatch_id=22, at=MAY, kind="delivered", source="dsn", key="k")
        if db.dialect.name == "postgresql":
            for name in ("dispatches", "audit", "delivery_events", "coupons"):
                conn.execute(text(f"SELECT setval('{name}_id_seq', 100)"))


def test_the_rows_of_an_older_database_get_the_month_of_their_match(empty_db: Engine) -> None:
    before(empty_db)
    fill(empty_db)
    migrate(empty_db)
    with empty_db.begin() as conn:
        steps = conn.execute(select(dispatches.c.id, dispatches.c.month, dispatches.c.lease_token)).all()
        assert sorted(map(tuple, steps)) == [(11, 202604, 1), (12, 202604, 2), (21, 202605, 1), (22, 202605, 2)]
        # A trail goes with its dispatch, although it went on into the next month.
        trail = conn.execute(select(audit.c.id, audit.c.month).order_by(audit.c.id)).all()
        assert list(map(tuple, trail)) == [(1, 202604), (2, 202604), (7, 202605)]
        assert conn.scalars(select(delivery_events.c.month)).all() == [202605]
        assert sorted(conn.scalars(select(coupons.c.dispatch_id))) == [11, 21]
        assert sorted(conn.scalars(select(payloads.c.dispatch_id))) == [12, 22]
        assert partitions(conn) == ([202604, 202605] if empty_db.dialect.name == "postgresql" else [])
        if empty_db.dialect.name == "postgresql":  # nobody else tells the planner of a partitioned table
            assert conn.scalar(text("SELECT reltuples FROM pg_class WHERE relname = 'dispatches'")) == 4
        again = insert(audit).values(at=MAY, actor="test", action="note").returning(audit.c.id, audit.c.month)
        number, month = conn.execute(again).one()
        assert number > (100 if empty_db.dialect.name == "postgresql" else 7)
        assert month == 202605
        conn.execute(update(matches).values(closes=MAY))  # what points at what is still known
