"""``regulars event``: one event by hand, once, and what is wrong with it in words."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, select

from engine.database.tables import customers, events

from .conftest import Regulars


def recorded(database: Engine) -> list[Any]:
    with database.connect() as conn:
        return list(conn.execute(select(events).where(events.c.source == "regulars").order_by(events.c.id)))


def test_an_event_of_a_guest_is_recorded_with_what_is_known_of_it(at_home: Regulars, database: Engine):
    said = at_home(
        "event", "Tasting", "--customer", "G1", "--at", "2026-05-03T18:00", "--data", "cups=2", "--data", "drink=Latte"
    )
    assert (said.exit_code, said.stdout) == (0, "Recorded: Tasting, 2026-05-03 18:00, of guest G1.\n")
    (row,) = recorded(database)
    with database.connect() as conn:
        assert row.customer_id == conn.scalar(select(customers.c.id).where(customers.c.external_id == "G1"))
    assert (row.name, row.name_key, row.data, row.store_id) == (
        "Tasting",
        "tasting",
        {"cups": 2, "drink": "Latte"},
        None,
    )


def test_the_same_id_again_adds_none_and_without_one_each_is_an_event(at_home: Regulars, database: Engine):
    rain = ("event", "rain", "--at", "2026-05-03T18:00")
    assert at_home(*rain, "--id", "r1").stdout.startswith("Recorded: rain")
    assert at_home(*rain, "--id", "r1").stdout == "Known already: rain, 2026-05-03 18:00, for every guest.\n"
    assert at_home(*rain, "--id", "r1", "--data", "inches=2").stdout.startswith("Changed: rain")
    assert [row.data for row in recorded(database)] == [{"inches": 2}]
    for _ in range(2):
        assert at_home(*rain).exit_code == 0
    assert len(recorded(database)) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--customer", "nobody"), 'There is no guest "nobody"'),
        (("--store", "nowhere"), 'There is no store "nowhere"'),
        (("--at", "soon"), '--at "soon" is no date and time'),
        (("--data", "cups"), '--data "cups": write key=value, such as table=12.'),
        (("--id", " "), "An event has a name, and an id if you give one, of 1 to 200 letters."),
    ],
)
def test_what_is_mistyped_is_said_and_nothing_is_recorded(
    at_home: Regulars, database: Engine, words: tuple[str, ...], said: str
):
    result = at_home("event", "rain", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert recorded(database) == []
