"""Orders read by the column come out as if each row had been read by itself: same rows, same words, same counts."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select

from connectors import csvblocks
from connectors.csvfile import CsvFile, FileError, open_csv
from engine.database.tables import customer_facts, customers, imports, orders, refunds, stores, zones
from engine.intake import orders as intake_orders
from engine.intake.report import ImportReport
from tests.intake.conftest import Home, csv
from tests.intake.tills import SQUARE_SALES

STORES = csv("store_id,name,timezone", "NY,Harbour,America/New_York", "LA,Pier,America/Los_Angeles", "1,Mill,")
GUESTS = csv(
    "customer_id,name,timezone,store_id",
    *(f"{number},Guest {number},{zone},{store}" for number, zone, store in (
        (1, "", "NY"), (2, "America/Los_Angeles", ""), (3, "", ""), (4, "Pacific/Honolulu", "LA"), ("007", "", "1"),
    )),
)  # fmt: skip
OWN = ["order_id", "customer_id", "ordered_at", "store_id", "total", "currency", "channel", "kind", "coupon", "server"]

PLAIN: dict[str, list[str]] = {
    "customer_id": ["1", "2", "3", "4", "007", "5", "", ""],
    "store_id": ["NY", "LA", "1", "", "Mill"],
    "total": ["12.50", "4", "0", "1234.5", "7.05"],
    "currency": ["", "USD", "usd"],
    "channel": ["", "Dine-In", " takeaway", "delivery  now"],
    "kind": ["", "sale", "Sale"],
    "coupon": ["", "", "WELCOME", "Regulars 20"],
    "server": ["", "Ines", "Jörg"],
}
SPOILT: dict[str, list[str]] = {
    "order_id": ["", "1.31256E+10", "12.0", "'17", "x" * 201, "A\nB", "#17", "##17", "=1+1", "\0"],
    "customer_id": ["7", "1E5", "'1", "3.0", "CafÃ©"],
    "ordered_at": [
        "", "46150", "2026-02-30 10:00", "1970-01-01 00:00", "2026-03-08 02:30", "2026-11-01 01:30", "2026-03-08T09:15",
        "2026-03-02T10:00:00Z", "2026-03-02 10:00:00.5", "2026-03-02 10:00+0200", "2999-01-01", "2026-3-2 9:05 PM",
        "2026-03-02 24:00", " 2026-03-02", "'2026-03-02", "2026-03-02 ", "13-4-2026", "2026-03-02 1:05PM",
    ],
    "store_id": ["Brand new", "Brand new", "1E3"],
    "total": ["", "-3", "$4.50", "1,5", "(4)", "1,234", "4.505", "many", "9" * 14, "€5"],
    "currency": ["EUR", "###"],
    "kind": ["refund", "void", "gift"],
    "server": ["#REF!", "Jürgen", "=SUM(A1)", "JÃ¼rgen"],
    "coupon": ['say "x"', "a\r\nb"],
}  # fmt: skip


def at(dice: random.Random) -> str:
    day = dice.choice(["2026-03-02", "2026-03-07", "2026-03-08", "2025-11-02", "2025-07-04", "2026-05-04"])
    return f"{day} {dice.randrange(24):02d}:{dice.choice(['00', '30', '59'])}{dice.choice(['', ':07'])}"


def own_file(dice: random.Random, *, spoilt: float) -> str:
    header = dice.sample(OWN, len(OWN))
    lines = [",".join(header)]
    for number in range(dice.randrange(5, 60)):
        row = {name: dice.choice(values) for name, values in PLAIN.items()}
        row |= {"order_id": str(dice.choice([number, number, number, dice.randrange(30)])), "ordered_at": at(dice)}
        for name, values in SPOILT.items():
            if dice.random() < spoilt:
                row[name] = dice.choice(values)
        cells = [_cell(row[name], dice) for name in header]
        if dice.random() < spoilt:
            cells = dice.choice([cells[:-1], [*cells, ""], [*cells, "more"], [""] * len(cells), []])
        lines.append(",".join(cells))
    return dice.choice(["\n", "\r\n"]).join(lines) + dice.choice(["", "\n"])


def square_file(dice: random.Random, *, spoilt: float) -> str:
    lines = [",".join(SQUARE_SALES)]
    for number in range(dice.randrange(5, 40)):
        day, _, clock = at(dice).partition(" ")
        row = dict.fromkeys(SQUARE_SALES, "") | {
            "Date": day, "Time": clock, "Time Zone": dice.choice(["Central Time (US & Canada)", "", "Arizona"]),
            "Total Collected": f"${dice.randrange(300, 3000) / 100}", "Tip": dice.choice(["$0.00", "$1.00", "", "$2.5"]),
            "Transaction ID": f"T{dice.choice([number, dice.randrange(30)])}", "Event Type": "Payment",
            "Location": dice.choice(["Harbour", "Pier"]), "Dining Option": dice.choice(["", "For Here", "To Go"]),
            "Customer ID": (guest := dice.choice(["", "1", "2", "9"])), "Customer Name": "Guest" if guest else "",
            "Transaction Status": "Complete", "Staff Name": dice.choice(["Ines", ""]), "Channel": "Online",
        }  # fmt: skip
        if dice.random() < spoilt:
            row |= dice.choice(
                [
                    {"Event Type": "Refund", "Total Collected": "-$1.00"}, {"Transaction Status": "Voided"}, {"Date": ""},
                    {"Transaction Status": "Failed"}, {"Customer Name": "Guest 3", "Customer ID": ""}, {"Tip": "$99.00"},
                    {"Location": "New place"}, {"Time Zone": "Nowhere"}, {"Total Collected": ""}, {"Staff Name": "#N/A"},
                ]
            )  # fmt: skip
        lines.append(",".join(_cell(row[name], dice) for name in SQUARE_SALES))
    return "\n".join(lines)


def _cell(text: str, dice: random.Random) -> str:
    quoted = any(sign in text for sign in '",\n\r') or dice.random() < 0.01
    return '"' + text.replace('"', '""') + '"' if quoted else text


def all_apart(self: CsvFile, blocks: Callable[[CsvFile], Any]) -> Any:
    """Every row by itself."""
    for block in blocks(self):
        block.set_apart(set(range(len(block.lines))))
        yield block


def told(report: ImportReport) -> dict[str, Any]:
    return asdict(report) | {"file": None, "rejects_path": report.rejects_path and report.rejects_path.read_bytes()}


def forget(db: Engine) -> None:
    with db.begin() as conn:
        for table in (imports, refunds, orders, customer_facts, customers, stores, zones):
            conn.execute(delete(table))


def written(home: Home) -> dict[str, list[Any]]:
    """What stands in the database, with names in the place of ids."""
    with home.db.connect() as conn:
        zone = dict(map(tuple, conn.execute(select(zones.c.id, zones.c.name))))
        store = dict(map(tuple, conn.execute(select(stores.c.id, stores.c.external_id))))
        guest = dict(map(tuple, conn.execute(select(customers.c.id, customers.c.external_id))))
        order = dict(map(tuple, conn.execute(select(orders.c.id, orders.c.external_id))))

        def rows(table: Any, **named: dict[int, str]) -> list[Any]:
            found = [row._asdict() for row in conn.execute(select(table).order_by(*table.primary_key.columns))]
            return [
                {
                    name: named[name].get(value) if name in named else value
                    for name, value in row.items()
                    if name != "id"
                }
                for row in found
            ]

        return {
            "zones": list(zone.values()),
            "stores": rows(stores, zone_id=zone),
            "customers": rows(customers, zone_id=zone, store_id=store),
            "orders": rows(orders, customer_id=guest, store_id=store),
            "refunds": rows(refunds, order_id=order),
            "facts": rows(
                customer_facts,
                customer_id=guest,
                store_id=store,
                zone_id=zone,
                first_order_id=order,
                last_order_id=order,
            ),
        }


@pytest.fixture
def both_ways(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Any, Any]]:
    """Import a file, and once more, by the column and row by row; give what came of each."""
    blocks = CsvFile.blocks

    def imported(text: str) -> tuple[Any, Any]:
        found = []
        for way in (blocks, lambda self: all_apart(self, blocks)):
            forget(home.db)
            for file in home.root.glob("*.rejects*"):
                file.unlink()
            home.take(STORES)
            home.take(GUESTS)
            with monkeypatch.context() as patched:
                patched.setattr(CsvFile, "blocks", way)
                first, again = told(home.take(text)), told(home.take(text))
            found.append({"first": first, "again": again, **written(home)})
        return found[0], found[1]

    return imported


@pytest.mark.parametrize("file", [own_file, square_file])
@pytest.mark.parametrize(("spoilt", "block"), [(0.0, 300), (0.02, 1 << 20), (0.2, 300)])
def test_by_the_column_and_row_by_row_are_the_same(
    both_ways: Callable[[str], tuple[Any, Any]],
    monkeypatch: pytest.MonkeyPatch,
    file: Callable[..., str],
    spoilt: float,
    block: int,
):
    monkeypatch.setattr(csvblocks, "BLOCK", block)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    dice = random.Random(f"{file.__name__} {spoilt} {block} {os.environ.get('CI') or random.random()}")
    for _ in range(2):
        text = file(dice, spoilt=spoilt)
        by_column, by_row = both_ways(text)
        assert by_column == by_row, text


def test_an_order_of_another_age_counts_once_its_day_has_come(home: Home):
    home.take(csv("order_id,customer_id,ordered_at,total", "1,A,2026-03-02 10:00,5", "2,A,2999-01-01 10:00,5"))
    assert home.facts("A")["orders"] == 1


def test_a_row_that_is_refused_for_another_reason_does_not_ask_which_part_of_its_date_is_the_month(home: Home):
    report = home.take(csv("order_id,customer_id,ordered_at,total", "1,A,2026-03-02 10:00,5", "2,A,03/04/2026,many"))
    assert (report.problem, report.new, report.refused) == ("", 1, 1)


def test_an_order_that_stands_in_a_file_twice_far_apart_changes_nothing_the_second_time(home: Home, monkeypatch):
    monkeypatch.setattr(csvblocks, "BLOCK", 120)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    between = [f"{number},B,2026-03-0{number} 10:00,5" for number in range(2, 10)]
    file = csv("order_id,customer_id,ordered_at,total", "1,A,2026-03-01 10:00,5", *between, "1,A,2026-03-01 10:00,7")
    first, again = home.take(file), home.take(file)
    assert (first.new, first.changed, first.unchanged) == (9, 1, 0)
    assert (again.new, again.changed, again.unchanged) == (0, 0, 10)
    assert home.facts("A")["spend"] == 700
    other = home.take(file.replace("10:00,7", "10:00,8"))
    assert (other.changed, other.unchanged, home.facts("A")["spend"]) == (1, 9, 800)


def test_the_newest_order_is_known_again_in_the_next_file(home: Home):
    file = csv("order_id,customer_id,ordered_at,total", "1,A,2026-03-01 10:00,5")
    home.take(file)
    report = home.take(file.replace(":00,5", ":00,7"))
    assert (report.new, report.changed, home.facts("A")["spend"]) == (0, 1, 700)


def test_changes_of_orders_are_written_before_they_are_too_many(home: Home, monkeypatch):
    monkeypatch.setattr(intake_orders, "HELD", 2)
    file = csv("order_id,customer_id,ordered_at,total", *(f"{each},A,2026-03-01 10:00,5" for each in range(5)))
    monkeypatch.setattr(csvblocks, "BLOCK", 60)
    monkeypatch.setattr(intake_orders, "BATCH", 1)
    home.take(file)
    assert home.take(file.replace(":00,5", ":00,6")).changed == 5
    assert home.facts("A")["spend"] == 5 * 600


def test_plain_files_are_read_by_the_column(home: Home, monkeypatch: pytest.MonkeyPatch):
    apart: list[int] = []
    blocks = CsvFile.blocks

    def seen(self: CsvFile) -> Any:
        for block in blocks(self):
            yield block
            apart.append(len(block.odd))

    home.take(STORES)
    dice = random.Random(1)
    own, square = own_file(dice, spoilt=0), square_file(dice, spoilt=0)
    for text in (own, square):
        home.take(text)
    monkeypatch.setattr(CsvFile, "blocks", seen)
    for text in (own.replace("2026-03-08", "2026-03-09").replace("2025-11-02", "2025-11-05"), square):
        assert not home.take(text).refused
    assert apart[0] == 0


@pytest.mark.parametrize("seed", range(3))
def test_blocks_say_what_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int):
    """However a file is cut into blocks: the same lines, the same cells, the same complaint."""
    monkeypatch.setattr(csvblocks, "BLOCK", 60)
    dice = random.Random(seed if os.environ.get("CI") else None)
    words = ["a", "bb", "", "", "12", "é", "#", "=A", "##", "Ã©", '"q"', '"q\nr"', '"a,b"', 'x"y', '"\r\n,"']
    for _ in range(60):
        width = dice.randint(1, 4)
        rows = [*dice.choice([[], [], ["sep=,"], [""]]), ",".join(f"h{number}" for number in range(width))]
        for _ in range(dice.randrange(30)):
            wide = width if dice.random() < 0.9 else dice.randint(1, 6)
            some = [*words, '"open'] if dice.random() < 0.02 else words if dice.random() < 0.3 else words[:5]
            rows.append(",".join(dice.choice(some) for _ in range(wide)))
        file = tmp_path / "some.csv"
        file.write_bytes((dice.choice(["\n", "\r\n", "\r"]).join(rows) + dice.choice(["", "\n"])).encode())
        opened = open_csv(file)

        def by_block(opened: CsvFile = opened) -> list[Any]:
            found = []
            for block in opened.blocks():
                found += [(line, block.cells(place)) for place, line in enumerate(block.lines)] + block.odd
            return sorted(found)

        assert _or_error(by_block, width) == _or_error(lambda opened=opened: list(opened.rows()), width), rows


def _or_error(read: Callable[[], list[Any]], width: int) -> Any:
    try:
        return [(line, cells if any(cells[width:]) else cells[:width]) for line, cells in read()]
    except FileError as error:
        return str(error)
