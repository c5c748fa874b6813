"""What PostgreSQL is told about its plans holds for the statement it is told for, and no longer."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, Engine, func, select

from engine.database.planning import by_index, one_by_one

ASKED = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material")


def settings(conn: Connection) -> list[str]:
    return list(conn.execute(select(*(func.current_setting(name) for name in ASKED))).one())


@pytest.mark.parametrize(
    ("told", "meanwhile"), [(by_index, ["off", "on", "on", "on"]), (one_by_one, ["off", "off", "off", "off"])]
)
def test_what_is_told_ends_with_its_block(db: Engine, told, meanwhile) -> None:
    if db.dialect.name != "postgresql":
        pytest.skip("SQLite is told nothing")
    for _ in range(2):  # the second time it is known how the connection is set
        with db.begin() as conn:
            before = settings(conn)
            with told(conn):
                assert settings(conn) == meanwhile
            assert settings(conn) == before == ["on"] * len(ASKED)
