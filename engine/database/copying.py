"""COPY into PostgreSQL that goes on while its owner does something else, such as reading the next block of a file."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from sqlalchemy import Connection, Table

Names = tuple[str, ...]

#: PostgreSQL's code for a row that breaks a unique constraint.
_KNOWN_ALREADY: Final = "23505"
#: So many seconds the server has to break off, and then to say so; then it is left.
_PATIENCE: Final = 5


class Copying:
    """Rows on their way into a table, under a savepoint of their own.

    A thread of its own sends them and waits for the server. SQLAlchemy's connection is not made for threads and is left
    to its owner; the driver's is used by the thread alone: until ``are_in`` or ``give_up``, both of which wait for the
    thread's end, nothing else may be asked of either. An interrupt (Ctrl-C) comes to the owner's thread.
    """

    def __init__(self, conn: Connection, table: Table, names: Names, rows: Iterable[tuple[Any, ...]]) -> None:
        self._savepoint = conn.begin_nested()
        self._raw: Any = conn.connection.driver_connection
        self._error: BaseException | None = None
        self._thread = Thread(target=self._copy, args=(copy_from(conn, table, names), rows), daemon=True)
        self._thread.start()

    def are_in(self) -> bool:
        """Wait for the end: whether all rows are in. None of them is where one breaks a unique constraint.

        Raises the driver's error where the server refuses them for another reason, or is gone.
        """
        try:
            self._thread.join()
        except BaseException:
            self.give_up()
            raise
        try:
            with self._savepoint:
                self._tell()
        except Exception as error:
            if getattr(error, "sqlstate", None) == _KNOWN_ALREADY:
                return False
            raise
        return True

    def give_up(self) -> None:
        """Have the server break off, and wait for that. The transaction can then only be rolled back."""
        with suppress(Exception):  # of a server that is gone
            self._raw.cancel_safe(timeout=_PATIENCE)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._raw.close()
            self._thread.join()

    def _tell(self) -> None:
        if self._error is not None:
            raise self._error

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
