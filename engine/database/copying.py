"""COPY into PostgreSQL that goes on while its owner does something else, such as reading the next block of a file."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Thread
from typing import Any, Final

from sqlalchemy import Connection, Table

from engine.database.engines import break_off, hang_up

Names = tuple[str, ...]

#: So many seconds the server has to say that it has broken off; then it is left.
_PATIENCE: Final = 5


class Copying:
    """Rows on their way into a table.

    A thread of its own sends them and waits for the server. SQLAlchemy's connection is not made for threads and is left
    to its owner; the driver's is used by the thread alone: until ``wait`` or ``give_up``, both of which wait for the
    thread's end, nothing else may be asked of either. An interrupt (Ctrl-C) comes to the owner's thread.
    """

    def __init__(self, conn: Connection, table: Table, names: Names, rows: Iterable[tuple[Any, ...]]) -> None:
        self._raw: Any = conn.connection.driver_connection
        self._error: BaseException | None = None
        self._thread = Thread(target=self._copy, args=(copy_from(conn, table, names), rows), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until all rows are in. Raises the driver's error where the server refuses one, or is gone."""
        try:
            self._thread.join()
        except BaseException:
            self.give_up()
            raise
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """Have the server break off, and wait for that. The transaction can then only be rolled back."""
        break_off(self._raw)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            hang_up(self._raw)
            self._thread.join()

    def _copy(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            copy_rows(self._raw, statement, rows)
        except BaseException as error:  # noqa: BLE001 (raised to the owner, who waits for it)
            self._error = error


def copy_from(conn: Connection, table: Table, names: Names) -> str:
    """Give the statement that takes in rows with a value for each of ``names``."""
    quote = conn.dialect.identifier_preparer.quote
    return f"COPY {quote(table.name)} ({', '.join(map(quote, names))}) FROM STDIN"


def copy_rows(raw: Any, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Send rows over the driver's connection, and wait until they are in."""
    with raw.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
