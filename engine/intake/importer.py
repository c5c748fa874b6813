"""Taking in one file: recognised, checked, matched and written in one transaction, the facts kept up with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine, insert

from connectors.csvblocks import Block
from connectors.csvfile import CsvFile, FileError, open_csv
from connectors.damage import refuse_damaged
from connectors.dates import DateOrder
from connectors.numbers import Numbers
from connectors.records import Layout, RowError
from engine.database.engines import room
from engine.database.planning import by_index
from engine.database.sql import one_importer
from engine.database.tables import imports
from engine.intake.customers import Customers
from engine.intake.desk import BATCH, Desk, Row
from engine.intake.items import Items
from engine.intake.mapping import FOLDER, Mapping, mapping_of, mappings
from engine.intake.moments import Events, Points, Ratings
from engine.intake.orders import Orders
from engine.intake.recognise import date_order, fits, numbers_of, own_columns, recognise
from engine.intake.rejects import Rejects
from engine.intake.report import ImportReport
from engine.intake.stores import Stores
from engine.language.config import Config
from engine.language.problems import errors, to_text

Progress = Callable[[int, int], None]

#: So many bytes of the database's pages an import keeps: inserts are 1.5 times as fast as with SQLite's own 2 MB.
ROOM: Final = 32 * 1024 * 1024


class Writer(Protocol):
    """Writes one kind, batch by batch."""

    def write(self, rows: list[Row]) -> None:
        """Take a batch in; refuses rows by themselves."""

    def finish(self) -> None:
        """Do what wants the whole file."""


_WRITERS: Final[dict[str, Callable[[Desk], Writer]]] = {
    "stores": Stores,
    "customers": Customers,
    "orders": Orders,
    "order_items": Items,
    "ratings": Ratings,
    "points": Points,
    "events": Events,
}


def import_file(
    db: Engine,
    config: Config,
    key: bytes,
    file: Path,
    *,
    kind: str | None = None,
    mapping: Mapping | None = None,
    now: datetime,
    progress: Progress | None = None,
) -> ImportReport:
    """Take a file in, whole or not at all; rows that cannot be right are refused into a file beside it.

    ``kind`` is given where the columns do not tell it. ``progress`` is called with the bytes read and all bytes.
    The same file again changes nothing. A file that cannot be read at all gives a report with a ``problem``.
    """
    report = ImportReport(file)
    try:
        opened, layout, dates, numbers = _understand(config, file, kind, mapping)
    except FileError as error:
        report.problem = str(error)
        return report
    report.kind, report.till = layout.kind, layout.till
    report.attributes = own_columns(layout, config.attributes)
    report.encoding, report.delimiter = opened.encoding_name, opened.delimiter_name
    rejects = Rejects(file, opened.header, opened.delimiter)
    try:
        with db.begin() as conn, room(conn, ROOM):
            one_importer(conn)
            desk = Desk(conn, config, key, layout.till, report, rejects, now, numbers, dates, layout.is_till)
            with desk.settled():
                _take(desk, opened, layout, progress)
            desk.make_facts()
            _remember(conn, opened, layout, report, now)
        report.rejects_path = rejects.publish()
    except FileError as error:
        return ImportReport(file, kind=layout.kind, till=layout.till, problem=str(error))
    finally:
        rejects.discard()
    return report


def peek(config: Config, file: Path) -> str:
    """Tell the kind of a file by its first line. Raises ``FileError``."""
    return _layout(config, open_csv(file), None, None)[0].kind


def _understand(
    config: Config, file: Path, kind: str | None, mapping: Mapping | None
) -> tuple[CsvFile, Layout, Callable[[], DateOrder | None], Numbers]:
    opened = open_csv(file)
    layout, mapping = _layout(config, opened, kind, mapping)
    of = f"{FOLDER}/{mapping.name if mapping else layout.till}.yaml"

    def dates() -> DateOrder | None:
        return mapping.dates if mapping and mapping.dates else date_order(opened, layout, of)

    return opened, layout, dates, numbers_of(opened, layout, mapping.decimals if mapping else None, of)


def _layout(
    config: Config, opened: CsvFile, kind: str | None, mapping: Mapping | None
) -> tuple[Layout, Mapping | None]:
    """Recognise a file: by the mapping given, else by itself with its till's, else by one whose columns it has."""
    header, own = opened.header, config.attributes
    if mapping is not None:
        return recognise(header, kind, mapping, own), mapping
    try:
        layout = recognise(header, kind, None, own)
    except FileError:
        found, problems = mappings(config.root)
        fitting = [each for each in found if fits(each, header)]
        if not fitting:
            if errors(problems):
                raise FileError(to_text(errors(problems))) from None
            raise
        return recognise(header, kind, fitting[0], own), fitting[0]
    of_till, problems = mapping_of(config.root, layout.till)
    if errors(problems):
        raise FileError(to_text(errors(problems)))
    return (layout if of_till is None else recognise(header, kind, of_till, own)), of_till


def _take(desk: Desk, opened: CsvFile, layout: Layout, progress: Progress | None) -> None:
    writers = {layout.kind: _WRITERS[layout.kind](desk)}
    steps = _by_block(desk, opened, layout, writers) if layout.by_column else _by_row(desk, opened, layout, writers)
    with by_index(desk.conn):  # what is asked of a table anew for each batch is planned when there is little in it
        for _ in steps:
            desk.tell_refused()
            if progress:
                progress(opened.bytes_read, opened.size)
        desk.settle()
    for writer in writers.values():
        writer.finish()
    desk.tell_refused()
    if progress:
        progress(opened.size, opened.size)
    if not opened.is_as_found:
        raise FileError("the file is still being written: nothing of it is taken in until it is whole")


def _by_block(desk: Desk, opened: CsvFile, layout: Layout, writers: dict[str, Writer]) -> Iterator[None]:
    """Write blocks of rows by their columns."""
    writer = writers[layout.kind]
    assert isinstance(writer, Orders)
    for block in opened.blocks():
        desk.report.rows += len(block.lines) + len(block.odd)
        columns = layout.columns(block)
        writer.write_block(block, columns, partial(_alone, desk, layout, block))
        yield
    writer.write_rest()


def _alone(desk: Desk, layout: Layout, block: Block) -> list[Row]:
    """Read what was set apart in a block row by row."""
    rows = []
    for line, cells in block.odd:
        try:
            rows += _rows(layout, line, cells, len(block.columns))
        except RowError as error:
            desk.refuse(Row(line, cells, {}), str(error))
    return rows


def _by_row(desk: Desk, opened: CsvFile, layout: Layout, writers: dict[str, Writer]) -> Iterator[None]:
    """Write batches of records, an order before its lines."""
    for batch in _batches(desk, opened, layout):
        for kind in sorted(batch, key=list(_WRITERS).index):
            writers.setdefault(kind, _WRITERS[kind](desk)).write(batch[kind])
        yield


def _rows(layout: Layout, line: int, cells: list[str], width: int) -> list[Row]:
    """Read one row, which may hold several records. Raises ``RowError``."""
    if len(cells) != width and (len(cells) < width or any(cells[width:])):
        raise RowError(_misshapen(cells, width))
    if any("\0" in cell for cell in cells):
        raise RowError("the row holds a zero byte: the file was damaged; export it again")
    refuse_damaged(cells)
    return [Row(line, cells, record.values, record.kind) for record in layout.records(cells)]


def _batches(desk: Desk, opened: CsvFile, layout: Layout) -> Iterator[dict[str, list[Row]]]:
    """Yield the records of some rows, by kind."""
    width = len(opened.header)
    batch: defaultdict[str, list[Row]] = defaultdict(list)
    held = 0
    for line, cells in opened.rows():
        desk.report.rows += 1
        try:
            for row in _rows(layout, line, cells, width):
                batch[row.kind].append(row)
                held += 1
        except RowError as error:
            desk.refuse(Row(line, cells, {}), str(error))
        if held >= BATCH:
            yield batch
            batch, held = defaultdict(list), 0
    if batch:
        yield batch


def _misshapen(cells: list[str], width: int) -> str:
    said = f"the row has {len(cells)} cell{'' if len(cells) == 1 else 's'}, the first line {width}"
    if (lines := 1 + max(cell.count("\n") for cell in cells)) > 1:
        said += f"; it runs over {lines} lines: is a quotation mark opened in it and never closed?"
    return said


def _remember(conn: Connection, opened: CsvFile, layout: Layout, report: ImportReport, now: datetime) -> None:
    conn.execute(
        insert(imports).values(
            at=now,
            name=opened.path.name,
            kind=layout.kind,
            source=layout.till,
            sha256=opened.sha256,
            counts=report.counts(),
        )
    )
