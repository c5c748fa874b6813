"""Files of orders taken in with every check, next to the database's own bulk load of the same rows; and the memory."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import BigInteger, Connection, Engine, Table, func, select, type_coerce, update

from benchmarks.crowd import AS_OF
from benchmarks.ground import Ground, World
from benchmarks.measure import Measure, Mismatch, Pair, at_most
from engine.database.engines import room
from engine.database.tables import customers, orders
from engine.intake.importer import ROOM, import_file
from engine.intake.mapping import Mapping
from engine.intake.report import ImportReport

#: What is the same for every file, such as reading each day and minute once, is little of so many.
_ORDERS = 200_000
#: So many bytes of a file are handed to COPY at once.
_BLOCK = 1 << 20
_NAMES: Final[dict[Table, tuple[str, ...]]] = {
    customers: ("external_id", "id", "source", "zone_id", "own_zone", "attributes", "attribute_keys", "name"),
    orders: (
        "external_id", "source", "customer_id", "store_id", "ordered_at", "day", "clock", "total", "channel", "coupon",
        "server",
    ),
}  # fmt: skip
_PLAIN = "order_id,customer_id,ordered_at,store_id,total,currency,channel,kind,coupon,server"
#: Square's transactions, with the columns of theirs that we do not read in between.
_SQUARE = (
    "Date,Time,Time Zone,Gross Sales,Discounts,Service Charges,Net Sales,Gift Card Sales,Tax,Tip,Partial Refunds,"
    "Total Collected,Source,Card,Card Entry Methods,Cash,Square Gift Card,Other Tender,Other Tender Type,Tender Note,"
    "Fees,Net Total,Transaction ID,Payment ID,Card Brand,PAN Suffix,Device Name,Staff Name,Staff ID,Details,"
    "Description,Event Type,Location,Dining Option,Customer ID,Customer Name,Customer Reference ID,Device Nickname,"
    "Third Party Fees,Deposit ID,Deposit Date,Deposit Details,Fee Percentage Rate,Fee Fixed Rate,Refund Reason,"
    "Discount Name,Transaction Status,Order Reference ID,Fulfillment Note,Free Processing Applied,Channel"
)
_CHANNELS = ("dine-in", "takeaway", "delivery", "Online")
#: Each import: its id, what is measured, and what ``_imported`` is asked.
_IMPORTS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    (
        "plain",
        "orders.csv taken in and checked / bulk load of the table's own columns, all worked out before",
        {"kind": "plain"},
    ),
    (
        "square",
        "Square's transactions taken in and checked / bulk load of the table's own columns, all worked out before",
        {"kind": "square"},
    ),
    (
        "strangers",
        "Square's transactions, guests made too / bulk load of guests and orders, worked out before",
        {"kind": "square", "strangers": True},
    ),
    (
        "again",
        "the same orders.csv again, nothing changes / bulk load of the table's own columns",
        {"kind": "plain", "again": True},
    ),
)


def measures(ground: Ground) -> Iterator[Measure]:
    """Give the measures of imports."""
    for database in ground.databases:
        bulk = "csv.reader and bare executemany" if database == "sqlite" else "COPY of the CSV file"
        for name, said, asked in _IMPORTS:
            yield Measure(
                id=f"import-{name}",
                name=said,
                bar=at_most(2),
                prepare=partial(_imported, ground, database, **asked),
                opponent=bulk,
                database=database,
            )
        yield Measure(
            id="import-memory",
            name="memory at its peak of an import with facts / a process that has loaded the program",
            bar=at_most(1, plus=100),
            prepare=partial(_memory, ground, database),
            opponent="nothing imported",
            database=database,
            unit="MB",
            rounds=3,
        )


@dataclass
class _Passing:
    """A database whose transactions are all rolled back."""

    db: Engine
    last: Callable[[Connection], object] = lambda _: None  #: done before

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Begin one."""
        with self.db.connect() as conn, conn.begin() as transaction:
            yield conn
            self.last(conn)
            transaction.rollback()


@contextmanager
def _imported(
    ground: Ground, database: str, kind: str, *, again: bool = False, strangers: bool = False
) -> Iterator[Pair]:
    """New orders; the facts are measured by themselves (``facts-new``). ``strangers``: of guests who are not known."""
    with ground.world(database).copy() as world:
        file = write_orders(ground.scratch / f"{kind}.csv", _ORDERS, world.size, kind=kind)
        if kind == "square" and not strangers:
            with world.db.begin() as conn:
                conn.execute(update(customers).values(source="square"))
        bare, loaded = (_folder(ground.scratch / f"{name}-{kind}") for name in ("bare", "loaded"))
        passing = _Passing(world.db)
        with patch("engine.intake.orders.apply_delta"), patch("engine.intake.desk.recompute_noted"):
            with world.db.connect() as conn:
                before = {table: conn.scalar(select(func.max(table.c.id))) for table in _NAMES}
            if again:
                report = taken(world.db, world, file)
                with world.db.connect() as conn:
                    _write_bare(conn, before, bare, "-bare")
            else:
                noting = _Passing(world.db, lambda conn: _write_bare(conn, before, bare, "-bare"))
                report = taken(noting, world, file)

            def load() -> None:
                with passing.begin() as conn:
                    _load(conn, bare)

            def check() -> None:
                if report.refused or report.new != _ORDERS or bool(report.new_guests) != strangers:
                    raise Mismatch(f"{report.new} of {_ORDERS} orders are new, {report.refused} refused")
                if again and taken(passing, world, file).unchanged != _ORDERS:
                    raise Mismatch("the same file again changes something")
                last = {customers: before[customers], orders: (before[orders] or 0) + (_ORDERS if again else 0)}
                with _Passing(world.db, lambda conn: _write_bare(conn, last, loaded, "")).begin() as conn:
                    _load(conn, bare)
                if any((loaded / table.name).read_bytes() != (bare / table.name).read_bytes() for table in _NAMES):
                    raise Mismatch("what the opponent has loaded is not what the import wrote")

            of = f" of {report.new_guests:,} guests who are new, too" if strangers else ""
            note = f"{_ORDERS:,} orders{of}, without the facts; both read CSV files, and are rolled back."
            yield Pair(ours=lambda: taken(passing, world, file), opponent=load, check=check, note=note)


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _write_bare(conn: Connection, after: MappingOf[Table, int | None], folder: Path, mark: str) -> None:
    """Write the rows above these ids as the tables have them, the tills' ids with a mark: so they are new again."""
    for table, names in _NAMES.items():
        shown = [type_coerce(table.c[name], BigInteger) if name == "ordered_at" else table.c[name] for name in names]
        newest = conn.execute(select(*shown).where(table.c.id > (after[table] or 0)).order_by(table.c.id))
        with (folder / table.name).open("w", encoding="utf-8", newline="") as stream:
            rows = ([_cell(cell) for cell in row] for row in newest)
            csv.writer(stream).writerows([f"{key}{mark}", *rest] for key, *rest in rows)


def _cell(value: Any) -> Any:
    """Give a value as both databases read it in a file."""
    if isinstance(value, dict):
        return json.dumps(value)
    return int(value) if isinstance(value, bool) else value


def _load(conn: Connection, folder: Path) -> None:
    """Load files of the tables' own columns by the database's own means: nothing is asked, looked up or worked out."""
    raw: Any = conn.connection.driver_connection
    for table, names in _NAMES.items():
        into = f"{table.name} ({', '.join(names)})"
        if conn.dialect.name == "postgresql":
            copy_in = f"COPY {into} FROM STDIN (FORMAT csv)"
            with (folder / table.name).open("rb") as stream, raw.cursor() as cursor, cursor.copy(copy_in) as copy:
                while block := stream.read(_BLOCK):
                    copy.write(block)
        else:
            with (folder / table.name).open(encoding="utf-8", newline="") as stream, room(conn, ROOM):  # as the import
                rows = ([cell or None for cell in row] for row in csv.reader(stream))
                raw.executemany(f"INSERT INTO {into} VALUES ({', '.join('?' * len(names))})", rows)


def taken(db: Engine | _Passing, world: World, file: Path) -> ImportReport:
    """Take a file in as the command line does."""
    home = world.home
    mapping = None if file.stem == "square" else Mapping("crowd", source="crowd")
    return import_file(db, home.config, home.key, file, mapping=mapping, now=AS_OF + timedelta(days=2))  # type: ignore[arg-type]  # _Passing stands in for the engine


@contextmanager
def _memory(ground: Ground, database: str) -> Iterator[Pair]:
    """A process of its own, so that nothing but the import counts."""
    world = ground.world(database)
    count = world.size
    file = write_orders(ground.scratch / "plain.csv", count, world.size)

    def peak(what: str) -> float:
        with world.copy() as mine:
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.importing", what, str(mine.root), str(file)],
                capture_output=True,
                check=True,
                text=True,
            )
        return float(told.stdout.split()[-1])

    yield Pair(ours=lambda: peak("import"), opponent=lambda: peak("nothing"), note=f"{count:,} orders.")


def write_orders(file: Path, count: int, guests: int, *, kind: str = "plain", seed: int = 1) -> Path:
    """Write orders of the last two years, in their order; a fifth are of walk-ins, the others heavy-tailed."""
    dice = random.Random(seed).random
    start = datetime(2024, 5, 4, 7, tzinfo=UTC)
    step = 2 * 365 * 86_400 / count
    with file.open("w", encoding="utf-8") as stream:
        stream.write(f"{_PLAIN if kind == 'plain' else _SQUARE}\n")
        for number in range(count):
            at = start + timedelta(seconds=int(number * step))
            guest = "" if dice() < 0.2 else str(int(guests * dice() ** 2) + 1)
            cents = 300 + int(dice() * 2200)
            total, shop, channel = f"{cents // 100}.{cents % 100:02d}", int(dice() * 5), _CHANNELS[int(dice() * 4)]
            if kind == "plain":
                key = 1_000_000 + number
                stream.write(f"{key},{guest},{at:%Y-%m-%d %H:%M:%S},{shop + 1},{total},USD,{channel},,,Ines {shop}\n")
            else:
                token = f"{number * 2_654_435_761 % 2**32:08X}k{number:010d}ZY"  # as random as theirs
                stream.write(_square(f"{at:%Y-%m-%d,%H:%M:%S}", guest, total, shop, token))
    return file


def _square(at: str, guest: str, total: str, shop: int, token: str) -> str:
    return (
        f"{at},Central Time (US & Canada),${total},$0.00,$0.00,${total},$0.00,$0.00,$0.00,$0.00,"
        f"${total},Point of Sale,${total},Tapped,$0.00,$0.00,$0.00,,,-$0.15,${total},{token},{token}P,Visa,1111,"
        f"Counter {shop},Ines {shop},TM{shop},https://example.com/{token},Coffee,Payment,"
        f"Store {shop + 1},For Here,{guest},"
        f"{'Guest' if guest else ''},,,$0.00,,,,2.6,$0.10,,,Complete,,,No,\n"
    )


def main(what: str, root: str, file: str) -> None:
    """Import a file into the home at ``root``, or nothing, and print the peak of this process in megabytes."""
    import os
    import resource

    from engine.vocabulary.home import load_home

    home = load_home(Path(root), os.environ)
    from engine.database.engines import open_db

    db = open_db(home.config.database_url)
    if what == "import":
        crowd, day = Mapping("crowd", source="crowd"), AS_OF + timedelta(days=2)
        print(import_file(db, home.config, home.key, Path(file), mapping=crowd, now=day).sentence())
    else:
        db.connect().close()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
