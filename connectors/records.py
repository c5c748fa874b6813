"""What a reader of files yields: plain records of Regulars' seven kinds, their values still text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from connectors.csvblocks import Block

#: Rows of one sale stand close together; the last so many sales are kept in mind to number their lines.
_SALES_IN_MIND: Final = 10_000


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a row says. ``values`` is by our names of columns; a name that is missing was not spoken of."""

    kind: str
    values: dict[str, str]


class RowError(Exception):
    """A row that cannot be right; the text is the reason, in plain words."""


class Layout(Protocol):
    """How the rows of one file become records."""

    @property
    def till(self) -> str:
        """Name the family of files; external ids are unique in it."""

    @property
    def kind(self) -> str:
        """Name what the file is mostly about."""

    @property
    def date_columns(self) -> Sequence[int]:
        """Give the places of the columns with dates."""

    @property
    def number_columns(self) -> Sequence[int]:
        """Give the places of the columns with numbers."""

    @property
    def is_till(self) -> bool:
        """Tell whether a till wrote it: refunds may not name their sale, nor guests have ids."""

    def records(self, cells: list[str]) -> list[Record]:
        """Read one row; a row without meaning for us gives nothing. Raises ``RowError``."""

    @property
    def by_column(self) -> bool:
        """Tell whether ``columns`` can be asked; else it is read row by row."""

    def columns(self, block: Block) -> Mapping[str, Sequence[str]]:
        """Give the columns of a block by our names, as ``records`` would give each row's.

        Rows that are not one plain record of ``kind`` are set apart in the block.
        """


def header_key(name: str) -> str:
    """Give the form in which names of columns are compared: case, outer blanks and blanks in a row do not count."""
    return " ".join(name.strip("\ufeff\u200b '").split()).casefold()


def places(header: Sequence[str]) -> dict[str, int]:
    """Give the place of every column by its key; of two with one name, the first."""
    found: dict[str, int] = {}
    for place, name in enumerate(header):
        found.setdefault(header_key(name), place)
    return found


class Cells:
    """The cells of one row by the names of their columns."""

    __slots__ = ("_places", "_row")

    def __init__(self, places: dict[str, int], row: list[str]) -> None:
        self._places, self._row = places, row

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @property
    def names(self) -> Iterable[str]:
        """Give the names of all columns."""
        return self._places

    def __getitem__(self, name: str) -> str:
        """Give the cell without outer blanks; empty where the file has no such column."""
        place = self._places.get(name)
        return self._row[place].strip() if place is not None and place < len(self._row) else ""


class LineNumbers:
    """Numbers the lines of each sale, for tills that do not."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def begin(self, sale: str) -> None:
        """Count the lines of the sale from 1, again where it is told of twice."""
        self._last.pop(sale, None)
        self._keep(sale, 0)

    def knows(self, sale: str) -> bool:
        """Tell whether the sale was begun, not too long ago."""
        return sale in self._last

    def forget(self, sale: str) -> None:
        """Have the sale not begun: its lines are passed over."""
        self._last.pop(sale, None)

    def next(self, sale: str) -> str:
        """Give the number of the sale's next line, from 1."""
        number = self._last.pop(sale, 0) + 1
        self._keep(sale, number)
        return str(number)

    def _keep(self, sale: str, number: int) -> None:
        self._last[sale] = number
        if len(self._last) > _SALES_IN_MIND:
            self._last.popitem(last=False)
