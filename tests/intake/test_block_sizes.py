"""However a file of orders is cut into blocks, which are written while the next are read: it goes in the same."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from threading import active_count

import pytest
from sqlalchemy import Engine

from connectors import csvblocks
from engine.intake import orders as intake_orders
from tests.intake.conftest import Home, csv
from tests.intake.test_by_column import GUESTS, STORES, forget, own_file, square_file, told, written

#: What depends on it whether an order that stands there twice does so within one block.
COUNTS = {"new": 0, "changed": 0, "unchanged": 0}
HEADER = "order_id,customer_id,ordered_at,total"


@pytest.mark.parametrize("file", [own_file, square_file])
@pytest.mark.parametrize("zeros", ["007", "8"])
def test_blocks_of_every_size_give_the_same_database(
    home: Home, monkeypatch: pytest.MonkeyPatch, file: Callable[..., str], zeros: str
):
    """Where some id begins with a zero blocks are written one by one, else several may be together."""
    dice = random.Random(f"{file.__name__} {zeros} {os.environ.get('CI') or random.random()}")
    text = file(dice, spoilt=0.03)
    found = []
    for size, batch in ((1 << 19, 5_000), (1, 1), (1, 3), (150, 5_000), (700, 10)):
        monkeypatch.setattr(csvblocks, "BLOCK", size)
        monkeypatch.setattr(intake_orders, "BATCH", batch)
        forget(home.db)
        home.take(STORES)
        home.take(GUESTS.replace("007", zeros))
        threads = active_count()
        first, again = told(home.take(text)), told(home.take(text))
        assert active_count() == threads
        # Guests and zones get their numbers block by block.
        rows = {table: sorted(map(repr, rows)) for table, rows in written(home).items()}
        found.append({"first": first | COUNTS, "again": again, **rows})
    assert all(each == found[0] for each in found), text


@pytest.mark.parametrize("size", [1, 100, 1 << 19])
def test_what_ends_an_import_in_its_middle_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch, size: int):
    """A file that breaks, whoever is told how far it is, and Ctrl-C: the rows before are under way then."""
    monkeypatch.setattr(csvblocks, "BLOCK", size)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    rows = [f"{number},{number % 7},2026-03-01 10:00,5" for number in range(30)]
    before, threads = home.dump(), active_count()

    assert home.take(csv(HEADER, *rows) + '31,"broken\n' + "x,y\n" * 60_000).problem

    for error in (OSError, KeyboardInterrupt):

        def ends(done: int, whole: int, error: type[BaseException] = error) -> None:
            if done > whole // 2:
                raise error

        with pytest.raises(error):
            home.take(csv(HEADER, *rows), progress=ends)
    assert (home.dump(), active_count()) == (before, threads)
    assert home.take(csv(HEADER, *rows)).new == 30


@pytest.mark.parametrize("size", [1, 1 << 19])
@pytest.mark.parametrize("refused", [3, 7], ids=["in the middle", "the last that is under way"])
@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_what_the_server_says_of_a_row_comes_out_and_nothing_is_left(
    home: Home, db: Engine, monkeypatch: pytest.MonkeyPatch, size: int, refused: int
):
    """Before what is wrong with the lines after it."""
    monkeypatch.setattr(csvblocks, "BLOCK", size)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    with db.begin() as conn:
        conn.exec_driver_sql("ALTER TABLE orders ADD CONSTRAINT none_of_six CHECK (total <> 600)")
    before, threads = home.dump(), active_count()
    rows = [f"{number},{number % 7},2026-03-01 10:00,{6 if number == refused else 5}" for number in range(8)]
    broken = '9,"broken\n' + "x,y\n" * 60_000
    for after in ("", *([broken] if size <= len(rows[0]) else [])):
        with pytest.raises(Exception, match="none_of_six"):
            home.take(csv(HEADER, *rows) + after)
        assert (home.dump(), active_count()) == (before, threads)
