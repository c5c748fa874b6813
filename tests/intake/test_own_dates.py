"""Columns that the config declares as dates: what an import keeps of them for their yearly return."""

from __future__ import annotations

from dataclasses import replace

from conftest import Home

from engine.database.tables import customer_dates
from engine.intake.own_dates import follow_declared


def dates(home: Home) -> list[tuple[int, str, int | None, int]]:
    rows = home.rows(customer_dates, "customer_id", "name", "year", "md")
    return sorted(rows)


def test_a_declared_date_is_kept_and_follows_the_file(home: Home) -> None:
    home.take("customer_id,child_birthday,wedding\n1,2019-02-03,2020-05-04\n2,05-14,\n3,,\n")
    assert dates(home) == [(1, "child_birthday", 2019, 203), (2, "child_birthday", None, 514)]
    home.take("customer_id,child_birthday\n1,2019-02-04\n2,\n")
    assert dates(home) == [(1, "child_birthday", 2019, 204)]
    home.take("customer_id,city\n1,Springfield\n")
    assert dates(home) == [(1, "child_birthday", 2019, 204)]


def test_a_date_may_lie_ahead_and_29_february_needs_a_leap_year(home: Home) -> None:
    report = home.take("customer_id,child_birthday\n1,2030-05-04\n2,2024-02-29\n3,2023-02-29\n")
    assert dates(home) == [(1, "child_birthday", 2030, 504), (2, "child_birthday", 2024, 229)]
    assert [reason for _, reason in report.refusals] == ['child_birthday "2023-02-29" is a day that does not exist']


def test_what_is_declared_later_is_read_from_what_is_there(home: Home) -> None:
    home.take("customer_id,child_birthday,wedding\n1,2019-02-03,2020-05-04\n2,,a day in May\n")
    wedding = replace(home.config, attributes={"wedding": "date"})
    with home.db.begin() as conn:
        follow_declared(conn, home.config)
    assert dates(home) == [(1, "child_birthday", 2019, 203)]
    with home.db.begin() as conn:
        follow_declared(conn, wedding)
    assert dates(home) == [(1, "wedding", 2020, 504)]
    with home.db.begin() as conn:
        follow_declared(conn, replace(home.config, attributes={}))
    assert dates(home) == []
