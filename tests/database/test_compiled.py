"""Statements that are compiled once: what SQLAlchemy itself would have done with them, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from engine.database.compiled import Compiled
from engine.database.sql import EpochSeconds
from engine.database.tables import audit, dispatches, switch

AT = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)
_COLUMNS = ("month", "at", "actor", "action", "detail")
_NOTE = Compiled(insert(audit), _COLUMNS)
_RENAME = Compiled(
    update(audit)
    .where(audit.c.actor == bindparam("who"), audit.c.action == "it said 100%")
    .values(actor="one", at=bindparam("then", type_=EpochSeconds))
)


def rows(conn):
    return conn.execute(select(*(audit.c[name] for name in _COLUMNS)).order_by(audit.c.id)).all()


def test_values_are_turned_into_the_drivers_and_the_rows_are_counted(db):
    made = [{"month": 202605, "at": AT, "actor": who, "action": "it said 100%", "detail": None} for who in "abc"]
    made[1]["detail"] = {"a": ["é"]}
    with db.begin() as conn:
        assert _NOTE.run(conn, made) == 3
        assert _NOTE.run(conn, [{**made[0], "action": "other"}]) == 1
        assert _RENAME.run(conn, [{"who": who, "then": AT + timedelta(1)} for who in "axc"]) == 2
        assert _RENAME.run(conn, [{"who": "x", "then": AT}]) == 0
        assert [(row.at, row.actor, row.detail) for row in rows(conn)] == [
            (AT + timedelta(1), "one", None),
            (AT, "b", {"a": ["é"]}),
            (AT + timedelta(1), "one", None),
            (AT, "a", None),
        ]


def test_an_error_is_the_one_that_sqlalchemy_raises(db):
    button = Compiled(insert(switch), ("id", "stopped_at"))
    with db.begin() as conn:
        button.run(conn, [{"id": 1, "stopped_at": AT}])
        with pytest.raises(IntegrityError), conn.begin_nested():
            button.run(conn, [{"id": 1, "stopped_at": AT}])


def test_a_missing_value_is_no_null(db):
    with db.begin() as conn, pytest.raises(KeyError):
        _RENAME.run(conn, [{"who": "a"}])


@pytest.mark.parametrize(
    "statement",
    [
        Compiled(select(dispatches.c.id).where(dispatches.c.id.in_(bindparam("ids", expanding=True)))),
        Compiled(select(dispatches.c.id).where(dispatches.c.id == literal(1, literal_execute=True))),
        Compiled(insert(audit), ("actor", "action", "at")),  # its month is worked out by Python
    ],
)
def test_what_is_no_statement_of_one_text_is_refused(db, statement):
    with db.begin() as conn, pytest.raises(ValueError, match="no statement of one text"):
        statement.run(conn, [{"ids": [1]}])
