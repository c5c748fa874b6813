"""Many rows at once: what is known stays, what is new gets in, and each has the id that it is told to have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, event, insert, select

from engine.database.bulk import find_many, insert_many, insert_new, insert_unknown
from engine.database.tables import customers, zones

NAMES = ("source", "external_id", "zone_id", "own_zone", "attributes", "name")
ASKED = ("external_id", "id", "name")


def guest(key: str, *, source: str = "till", name: str = "Ann", zone: int = 1) -> tuple[Any, ...]:
    return source, key, zone, False, "{}", name


def written(conn: Connection) -> list[tuple[Any, ...]]:
    columns = [customers.c[name] for name in ASKED]
    return [tuple(row) for row in conn.execute(select(*columns).order_by(customers.c.external_id))]


@pytest.fixture
def conn(db: Engine) -> Any:
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name="UTC"))
        yield conn


@pytest.mark.parametrize("look_first", [True, False])
def test_of_known_rows_what_was_there_is_told_and_stays(conn: Connection, look_first: bool):
    how: dict[str, Any] = {"asked": ASKED, "look_first": look_first}
    assert insert_unknown(conn, customers, NAMES, [guest("b"), guest("d")], **how).known() == {}
    first = written(conn)

    again = [guest(key, name="Bo") for key in "abcd"]
    known = insert_unknown(conn, customers, NAMES, again, **how).known()

    assert sorted((key, *values) for key, values in known.items()) == first
    assert [(key, name) for key, _, name in written(conn)] == [("a", "Bo"), ("b", "Ann"), ("c", "Bo"), ("d", "Ann")]
    assert insert_unknown(conn, customers, NAMES, [guest("b", source="other")], **how).known() == {}


@pytest.mark.parametrize("look_first", [True, False])
def test_a_row_that_breaks_another_constraint_is_an_error_and_none_of_them_gets_in(db: Engine, look_first: bool):
    rows = [guest("a"), guest("b", zone=99)]
    with db.begin() as conn:
        conn.execute(insert(zones).values(id=1, name="UTC"))
        with pytest.raises(Exception, match=r"(?i)foreign key"), conn.begin_nested():
            insert_unknown(conn, customers, NAMES, rows, ASKED, look_first=look_first).known()
        assert written(conn) == []


def test_new_rows_are_told_with_the_ids_that_they_have_and_none_is_given_twice(conn: Connection):
    def made_of(*rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        made, inserting = insert_new(conn, customers, NAMES, rows, ASKED)
        inserting.known()
        return made

    made = made_of(guest("b"), guest("a", name="Al"))
    assert sorted(made) == written(conn)
    conn.execute(delete(customers))
    later = made_of(guest("a"), guest("c"))
    assert sorted(later) == written(conn)
    assert min(number for _, number, _ in later) > max(number for _, number, _ in made)
    one = {"source": "till", "external_id": "d", "zone_id": 1, "attributes": {}}
    assert conn.scalar(insert(customers).returning(customers.c.id), one) not in {number for _, number, _ in later}
    assert made_of() == []


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_guests_of_a_till_that_the_database_has_no_statistics_of_are_found_by_their_ids(conn: Connection):
    """PostgreSQL thinks that it has one row: any index that begins with the source would look as good as the right one."""
    insert_many(conn, customers, NAMES, [guest(str(n), source="first") for n in range(2_000)])
    conn.exec_driver_sql("ANALYZE")
    insert_many(conn, customers, NAMES, [guest(str(n)) for n in range(2_000)])

    plans: list[str] = []

    def look(conn: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked = conn.connection.driver_connection.cursor()
        asked.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        plans.append(json.dumps(asked.fetchone()[0]))

    event.listen(conn, "before_cursor_execute", look)
    found = list(find_many(conn, customers, "till", [str(n) for n in range(1_990, 2_010)], ASKED))
    event.remove(conn, "before_cursor_execute", look)

    assert len(found) == 10
    assert "uq_customers_source_external_id" in plans[0]
    assert "Rows Removed by Filter" not in plans[0]
