"""Statements that a worker executes for every message: compiled once, then given to the driver as they are.

To look a statement up among those compiled before, and to make its execution, takes SQLAlchemy ten times as long as
SQLite takes to carry it out. What is executed is the same text with the same values; errors and listeners are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, ClauseElement, Connection, Row
from sqlalchemy.engine import Dialect

_COUNTED: Final = {"preserve_rowcount": True}


class Compiled:
    """A statement with binds, for one row of values or for many of them.

    ``columns`` are those that an INSERT fills. ``ValueError``, when it is first executed, where its text would change
    from one execution to the next (``IN`` with a list of binds), or a column would be filled by Python.
    """

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._made: dict[str, _Made] = {}  #: by the dialect's name

    def run(self, conn: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it for each of the rows, at least one; give how many rows of the table it has changed."""
        made = self._of(conn.dialect)
        given: Any = [made.given(each) for each in rows]
        return conn.exec_driver_sql(made.text, given if len(rows) > 1 else given[0], _COUNTED).rowcount

    def rows(self, conn: Connection, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Execute it once and give its rows, as the driver gives them: numbers and texts only."""
        made = self._of(conn.dialect)
        return conn.exec_driver_sql(made.text, made.given(values)).all()

    def _of(self, dialect: Dialect) -> _Made:
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = _Made(self._statement, dialect, self._columns)
        return made


class _Made:
    """It, as one dialect writes it."""

    def __init__(self, statement: ClauseElement, dialect: Dialect, columns: Sequence[str] | None) -> None:
        compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
        if compiled.prefetch or compiled.post_compile_params or compiled.literal_execute_params:
            raise ValueError(f"this is no statement of one text: {compiled}")
        self.text = str(compiled)
        self._by_place = compiled.positional
        names = compiled.positiontup if compiled.positional else list(compiled.binds)
        self._binds = [_bind(name, compiled.binds[name], dialect) for name in names]

    def given(self, values: Mapping[str, Any]) -> Any:
        """Give the values as the driver takes them. Raises ``KeyError`` for one that is missing."""
        turned = [
            constant if wanted is None else values[wanted] if turn is None else turn(values[wanted])
            for _, wanted, turn, constant in self._binds
        ]
        if self._by_place:
            return tuple(turned)
        return {bind[0]: value for bind, value in zip(self._binds, turned, strict=True)}


def _bind(
    name: str, bind: BindParameter[Any], dialect: Dialect
) -> tuple[str, str | None, Callable[[Any], Any] | None, Any]:
    """Give its name, that of the value wanted (None: a constant), what turns that into the driver's, the constant."""
    turn = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required:
        return name, name, turn, None
    return name, None, None, bind.effective_value if turn is None else turn(bind.effective_value)
