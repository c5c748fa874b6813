"""What a run costs besides finding the guests: so many statements, none of which reads what is not of this run."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from small_world import CHICAGO, Cafe, rule_of
from sqlalchemy import Connection, event, insert, literal_column, select, text
from test_plans import GUESTS, Asked, filled
from test_runs import BIRTHDAY, DAY, MONDAY, few_guests

from engine.database.facts import rebuild
from engine.database.tables import consents, customers, endpoints
from engine.evaluation.permission import implied_terms, reachable, reaches
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due

__all__ = ["filled"]

#: Every kind of step: its rows, its coupons, what is held, what a restore has forgotten.
GIFT = (
    "actions:\n  - coupon: treat\n  - email: gift\n  - wait: 2 days\n  - sms: hello\n"
    "  - split:\n      half:\n        share: 50%\n        actions:\n          - email: hello\n"
    "      other:\n        share: 50%\n        actions:\n          - sms: hello\n"
)
#: Of a whole run; of each rule that finds nobody, with its beginning; and what PostgreSQL is told about its plan.
OF_A_RUN, OF_A_RULE, OF_A_PLAN = 20, 4, 2
GUESTS_OF_A_DAY = 20
#: SQLite's number for a commit that waits.
FULL = 2


def filled_whole(cafe: Cafe, asked: tuple[str, Any]) -> list[str]:
    """Give the large tables that a statement reads from end to end; of many rows it is the same for each."""
    statement, given = asked
    return Asked(cafe.db).read_whole(statement, given[0] if isinstance(given, list) else given)


def rule(number: int, days_before: int) -> str:
    return f"id: r{number}\ntrigger:\n  birthday:\n    days_before: {days_before}\n"


def ran(cafe: Cafe, *written: str, now: datetime) -> tuple[RunResult, list[tuple[str, Any]]]:
    """Run on the facts as they are; give the result and every statement with its parameters."""
    home = replace(cafe.home, rules=tuple(rule_of(each, cafe.home) for each in written))
    with Asked(cafe.db, wanted="") as asked:
        result = run_due(cafe.db, home, now)
    assert result.balanced
    return result, asked.statements


@pytest.mark.parametrize("count", [1, 12])
def test_rules_that_find_nobody_ask_little(cafe: Cafe, count: int) -> None:
    cafe.guest(birthday=1224)
    written = [rule(number, number) for number in range(count)]
    cafe.run(*written, now=MONDAY)
    result, asked = ran(cafe, *written, now=MONDAY + DAY)
    assert [(each.due, each.matched) for each in result.rules] == [(True, 0)] * count
    told = OF_A_PLAN if cafe.db.dialect.name == "postgresql" else 0
    assert len(asked) <= OF_A_RUN + (OF_A_RULE + told) * count


@pytest.mark.parametrize("db", ["sqlite"], indirect=True)
def test_of_a_runs_commits_the_last_waits_for_the_disk_for_all_its_rules(cafe: Cafe) -> None:
    cafe.guest(birthday=504)
    waits: list[bool] = []

    def note(conn: Connection) -> None:
        (level,) = conn.connection.driver_connection.execute("PRAGMA synchronous").fetchone()
        waits.append(level == FULL)

    event.listen(cafe.db, "commit", note)
    cafe.run(*(rule(number, number) for number in range(3)), now=MONDAY)
    event.remove(cafe.db, "commit", note)
    assert waits[-5:] == [True, False, False, False, True]


def test_no_statement_of_a_run_reads_more_than_the_run_has_found(filled: Cafe) -> None:
    written = f"{BIRTHDAY}{GIFT}limits:\n  again_after: 30 days\n"
    agreed = {"basis": "express", "state": "yes", "at": MONDAY - 900 * DAY, "source": "csv"}
    with filled.db.begin() as conn:
        conn.execute(insert(consents), [agreed | {"endpoint_id": n, "customer_id": n} for n in range(1, GUESTS + 1)])
    filled.run(written, now=MONDAY - DAY)
    if filled.db.dialect.name == "postgresql":  # as its autovacuum does in time
        with filled.db.begin() as conn:
            conn.exec_driver_sql("ANALYZE")
    result, asked = ran(filled, written, now=MONDAY + 2 * DAY)
    assert result.rules[0].act > 0
    assert result.queued["held"] > 0
    planned = [each for each in asked if re.match("SELECT|WITH|INSERT|UPDATE", each[0])]
    assert len(planned) > OF_A_RUN
    assert [(found, each[0]) for each in planned if (found := filled_whole(filled, each))] == []


def test_a_first_run_checks_the_outbox_by_index(cafe: Cafe) -> None:
    """PostgreSQL keeps the plan by which it looks for a row's match, made when there was one."""
    if cafe.db.dialect.name != "postgresql":
        pytest.skip("SQLite makes no such plan")
    with cafe.db.begin() as conn:
        conn.exec_driver_sql("ANALYZE")
    for _ in range(GUESTS_OF_A_DAY):
        cafe.guest(birthday=504)
    read: list[int] = []

    def look(conn: Connection, *_: object) -> None:
        counted = select(literal_column("seq_tup_read")).select_from(text("pg_stat_xact_user_tables"))
        read.append(conn.scalar(counted.where(literal_column("relname") == "matches")))

    cafe.run(f"{BIRTHDAY}{GIFT}", now=MONDAY, dry_run=True, look=look)
    assert read[0] <= GUESTS_OF_A_DAY  # once, to count them


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_a_run_that_a_vacuum_comes_by_looks_up_the_steps_of_a_match_by_the_match(cafe: Cafe) -> None:
    """It takes a month for empty that the run is filling: then every index seems to cost the same, but for its height.

    Of so few the numbers stand in one page, and the matches no longer do.
    """
    count, agreed = 250, {"basis": "express", "state": "yes", "at": MONDAY - 900 * DAY, "source": "csv"}
    zone, numbers = cafe.zone(CHICAGO), range(1, count + 1)
    with cafe.db.begin() as conn:
        address = [{"id": n, "channel": "email", "hash": b"%d" % n, "address": f"v{n}@example.com"} for n in numbers]
        conn.execute(insert(endpoints), address)
        guest = {"source": "csv", "zone_id": zone, "birthday_md": 504, "attributes": {}}
        conn.execute(insert(customers), [guest | {"id": n, "external_id": f"v{n}", "email_id": n} for n in numbers])
        conn.execute(insert(consents), [agreed | {"endpoint_id": n, "customer_id": n} for n in numbers])
    read: list[int] = []

    def come_by(conn: Connection, _: Any, statement: str, *__: Any) -> None:
        if "dispatches" in statement and "pg_class" not in statement:
            conn.exec_driver_sql(
                "UPDATE pg_class SET relpages = 1000, reltuples = 0 WHERE starts_with(relname, 'dispatches') AND relkind <> 'p'"
            )

    def look(conn: Connection, *_: object) -> None:
        counted = select(literal_column("sum(idx_tup_fetch)")).select_from(text("pg_stat_xact_user_tables"))
        read.append(conn.scalar(counted.where(literal_column("relname").startswith("dispatches"))))

    event.listen(cafe.db, "before_cursor_execute", come_by)
    result = cafe.run(f"{BIRTHDAY}actions:\n  - coupon: treat\n  - email: gift\n", now=MONDAY, dry_run=True, look=look)
    event.remove(cafe.db, "before_cursor_execute", come_by)
    assert result.rules[0].act == count
    assert read[0] <= 20 * count


def test_whether_so_many_may_be_reached_is_told_as_the_count_tells_it(cafe: Cafe) -> None:
    few_guests(cafe)
    cafe.guest(email=None)
    with cafe.db.begin() as conn:
        rebuild(conn, MONDAY)
    with cafe.db.connect() as conn:
        terms = implied_terms(cafe.home.config, MONDAY)
        number = reachable(conn, terms)["any"]
        assert number == 14
        assert [reaches(conn, terms, each) for each in (1, number, number + 1, 1000)] == [True, True, False, False]
