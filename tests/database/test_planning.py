"""What PostgreSQL is told about its plans holds for the statement it is told for, and no longer."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, func, select

from engine.database.planning import by_index, by_list, one_by_one

ASKED = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "plan_cache_mode")
USUAL = ["on", "on", "on", "on", "auto"]


def settings(conn: Connection) -> list[str]:
    return list(conn.execute(select(*(func.current_setting(name) for name in ASKED))).one())


@pytest.mark.parametrize(
    ("told", "meanwhile"),
    [
        (by_index, ["off", *USUAL[1:]]),
        (by_list, ["off", "on", "on", "on", "force_custom_plan"]),
        (one_by_one, ["off", "off", "off", "off", "auto"]),
    ],
)
def test_what_is_told_ends_with_its_block(db: Engine, told, meanwhile) -> None:
    if db.dialect.name != "postgresql":
        pytest.skip("SQLite is told nothing")
    for _ in range(2):  # the second time it is known how the connection is set
        with db.begin() as conn:
            before = settings(conn)
            with told(conn):
                assert settings(conn) == meanwhile
            assert settings(conn) == before == USUAL


@pytest.mark.parametrize("told", [by_index, one_by_one])
def test_only_the_commit_of_a_transaction_that_is_followed_waits_for_nothing(db: Engine, told) -> None:
    if db.dialect.name != "postgresql":
        pytest.skip("SQLite is told nothing")
    waits = select(func.current_setting("synchronous_commit"))
    with db.begin() as conn:
        with told(conn):
            assert conn.scalar(waits) == "on"
        with told(conn, followed=True):
            assert conn.scalar(waits) == "off"
    with db.begin() as conn:
        assert (conn.scalar(waits), settings(conn)) == ("on", USUAL)
