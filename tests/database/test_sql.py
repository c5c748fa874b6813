from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, column, func, insert, literal, null, select, true
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import CompileError
from sqlalchemy.sql.expression import Executable

from engine.database.packed import values_cte
from engine.database.sql import greatest_of, json_text, least_of, upsert
from engine.database.tables import orders, stores, zones

DIALECTS = {"sqlite": sqlite.dialect(paramstyle="named"), "postgresql": postgresql.dialect(paramstyle="named")}
CASTS = ("::BIGINT", "::VARCHAR")  # that PostgreSQL's driver is given beside each bind
on_one_database = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def compiled(statement: Executable, dialect: str) -> str:
    text = " ".join(str(statement.compile(dialect=DIALECTS[dialect])).split())
    for cast in CASTS:
        text = text.replace(cast, "")
    return text


def value(conn, expression):
    return conn.scalar(select(expression))


def test_numbers_travel_in_the_statement_in_the_same_words_on_both():
    cte = values_cte("zones", ["zone_id", "today"], [(1, 739_000), (2, 739_001)])
    statement = select(cte.c.today).where(cte.c.zone_id == 2)
    expected = (
        "WITH zones(zone_id, today) AS (VALUES (:param_1, :param_2), (:param_3, :param_4)) "
        "SELECT zones.today FROM zones WHERE zones.zone_id = :zone_id_1"
    )
    assert {dialect: compiled(statement, dialect) for dialect in DIALECTS} == dict.fromkeys(DIALECTS, expected)
    assert "VALUES (%(param_1)s::BIGINT, %(param_2)s::BIGINT)" in str(
        statement.compile(dialect=postgresql.psycopg.dialect())
    )
    assert list(statement.compile().params.values()) == [1, 739_000, 2, 739_001, 2]


@on_one_database
@given(rows=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 9)), max_size=5))
def test_numbers_come_out_as_they_went_in_none_at_all_too(db: Engine, rows: list[tuple[int, int]]):
    cte = values_cte("given", ["first", "second"], rows)
    with db.connect() as conn:
        assert sorted(map(tuple, conn.execute(select(cte.c.first, cte.c.second)))) == sorted(rows)
        assert conn.scalars(select(cte.c.second + 1).where(cte.c.first > 0)).all() == [b + 1 for a, b in rows if a > 0]


def test_numbers_join_a_table_and_feed_an_insert(db: Engine):
    with db.begin() as conn:
        conn.execute(insert(zones), [{"id": 1, "name": "Asia/Tokyo"}, {"id": 2, "name": "Europe/Berlin"}])
        cte = values_cte("due", ["zone_id", "new_id"], [(2, 7)])
        chosen = select(cte.c.new_id, zones.c.name + "-copy").join(cte, cte.c.zone_id == zones.c.id)
        conn.execute(insert(zones).from_select(["id", "name"], chosen))
        assert conn.scalar(select(zones.c.name).where(zones.c.id == 7)) == "Europe/Berlin-copy"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="each row of 'zones' needs 2 numbers: zone_id, today"):
        values_cte("zones", ["zone_id", "today"], [(1, 2), (3,)])


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            "sqlite",
            "SELECT min(orders.total, :param_1) AS low, max(orders.total, orders.id, :param_2) AS high FROM orders",
        ),
        (
            "postgresql",
            (
                "SELECT CASE WHEN (orders.total IS NOT NULL AND :param_1 IS NOT NULL) "
                "THEN least(orders.total, :param_1) END AS low, "
                "CASE WHEN (orders.total IS NOT NULL AND orders.id IS NOT NULL AND :param_2 IS NOT NULL) "
                "THEN greatest(orders.total, orders.id, :param_2) END AS high FROM orders"
            ),
        ),
    ],
)
def test_least_and_greatest_are_spelled_as_the_database_does(dialect: str, expected: str):
    low, high = least_of(orders.c.total, 5), greatest_of(orders.c.total, orders.c.id, 0)
    assert compiled(select(low.label("low"), high.label("high")), dialect) == expected


@on_one_database
@given(numbers=st.lists(st.none() | st.integers(-1000, 1000), min_size=2, max_size=4))
def test_least_and_greatest_know_nothing_where_one_value_is_unknown(db: Engine, numbers: list[int | None]):
    cte = values_cte("given", ["number"], [(1,)])
    known = [cte.c.number + (number - 1) if number is not None else cte.c.number + null() for number in numbers]
    unknown = None in numbers
    with db.connect() as conn:
        assert value(conn, least_of(*known)) == (None if unknown else min(numbers))
        assert value(conn, greatest_of(*known)) == (None if unknown else max(numbers))


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            "sqlite",
            (
                "SELECT CASE json_type(stores.attributes, :param_1) WHEN :param_2 THEN 'true' WHEN :param_3 THEN 'false' "
                "ELSE CAST(json_extract(stores.attributes, :param_1) AS TEXT) END AS a FROM stores"
            ),
        ),
        ("postgresql", "SELECT (stores.attributes ->> :param_1) AS a FROM stores"),
    ],
)
def test_text_out_of_json_is_spelled_as_the_database_does(dialect: str, expected: str):
    assert compiled(select(json_text(stores.c.attributes, "seats").label("a")), dialect) == expected


ATTRIBUTES = {
    "seats": 40,
    "share": 2.5,
    "garden": True,
    "smoking": False,
    "note": None,
    "陽台 no.": "南 'side'",
    "a.b[0]": "x",
}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("seats", "40"),
        ("share", "2.5"),
        ("garden", "true"),
        ("smoking", "false"),
        ("note", None),
        ("missing", None),
        ("陽台 no.", "南 'side'"),
        ("a.b[0]", "x"),
    ],
)
def test_text_comes_out_of_json_the_same_on_both(db: Engine, key: str, expected: str | None):
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name="Asia/Tokyo"))
        conn.execute(
            insert(stores).values(source="x", external_id="1", name="A", name_key="a", zone_id=1, attributes=ATTRIBUTES)
        )
        assert value(conn, json_text(stores.c.attributes, key)) == expected
        told = value(conn, literal("is ") + json_text(stores.c.attributes, key))
        assert told == (None if expected is None else f"is {expected}")


def test_what_is_there_already_is_kept_or_brought_up_to_date(db: Engine):
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name="Asia/Tokyo"))
        named = upsert(conn, zones).from_select(["id", "name"], select(zones.c.id, zones.c.name + "-2").where(true()))
        conn.execute(named.on_conflict_do_nothing(index_elements=["id"]))
        assert value(conn, zones.c.name) == "Asia/Tokyo"
        conn.execute(named.on_conflict_do_update(index_elements=["id"], set_={"name": named.excluded.name}))
        assert value(conn, zones.c.name) == "Asia/Tokyo-2"


def test_an_upsert_for_a_database_that_nobody_thought_of_raises():
    class Elsewhere:
        dialect = mysql.dialect()

    with pytest.raises(CompileError, match="upsert is not spelled out for mysql"):
        upsert(Elsewhere(), zones)


@pytest.mark.parametrize("key", ['say "yes"', "back\\slash"])
def test_a_key_that_sqlite_cannot_write_is_refused(key: str):
    with pytest.raises(ValueError, match="no quotation mark and no backslash"):
        json_text(stores.c.attributes, key)


def test_one_compiled_statement_serves_every_key_and_number(db: Engine):
    """SQLAlchemy keeps the compiled text: values inside it would answer the second question with the first one's."""
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name="Asia/Tokyo"))
        conn.execute(
            insert(stores).values(
                source="x", external_id="1", name="A", name_key="a", zone_id=1, attributes={"a": "1", "b": "2"}
            )
        )
        assert [value(conn, json_text(stores.c.attributes, key)) for key in ("a", "b", "a")] == ["1", "2", "1"]
        assert [value(conn, least_of(stores.c.zone_id, number)) for number in (0, -1, 5)] == [0, -1, 1]
        assert [value(conn, values_cte("given", ["number"], [(number,)]).c.number) for number in (3, 4)] == [3, 4]


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        (least_of(column("a"), 1), "least_of"),
        (greatest_of(column("a"), 1), "greatest_of"),
        (json_text(column("a"), "b"), "json_text"),
    ],
)
def test_a_database_that_nobody_thought_of_raises(expression, word: str):
    with pytest.raises(CompileError, match=f"{word} is not spelled out for mysql"):
        select(expression).compile(dialect=mysql.dialect())


def test_a_table_of_more_numbers_than_a_statement_takes_binds_travels_as_one(db: Engine) -> None:
    rows = [(number, -number, 2**40 + number) for number in range(30_000)]
    table = values_cte("many", ("a", "b", "c"), rows)
    with db.connect() as conn:
        assert [tuple(row) for row in conn.execute(select(table).order_by(table.c.a))] == rows
        assert conn.scalar(select(func.sum(table.c.c - table.c.b)).where(table.c.a < 2)) == 2**41 + 2


def test_a_table_of_numbers_is_compiled_once_for_all_numbers(db: Engine) -> None:
    def asked(*rows: tuple[int, int]) -> tuple[str, list[tuple[int, int]]]:
        given = values_cte("given", ("a", "b"), rows)
        result = conn.execute(select(given.c.a, given.c.b).order_by(given.c.a))
        return result.context.cache_hit.name, [tuple(row) for row in result]

    with db.connect() as conn:
        assert asked((1, 2), (3, 4)) == ("CACHE_MISS", [(1, 2), (3, 4)])
        assert asked((5, 6), (7, 8)) == ("CACHE_HIT", [(5, 6), (7, 8)])
        assert asked((9, 10)) == ("CACHE_MISS", [(9, 10)])
