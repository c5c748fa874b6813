"""The form that every till's reader has: its sheets, told by their columns, each with what a row of it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.csvblocks import Block
from connectors.records import Cells, LineNumbers, Record, places

#: Reads one row; the numbers count the lines of sales for tills that do not. Raises ``RowError``.
Reader = Callable[[Cells, LineNumbers], Iterable[Record]]


#: A column by its name, without outer blanks; blank cells where the file has none of that name.
Column = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class ByColumn:
    """How to read many rows at once. ``usual``: what the cells of some columns are, in any case, in a plain row.

    ``read`` gives of plain rows, by our names, what ``Sheet.read`` gives of each: one record of the sheet's kind.
    """

    usual: Mapping[str, frozenset[str]]
    read: Callable[[Column], dict[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One kind of file of a till: it has all columns of ``marks`` and, where there are any, one of ``or_one_of``."""

    kind: str
    marks: tuple[str, ...]
    read: Reader
    or_one_of: tuple[str, ...] = ()
    by_column: ByColumn | None = None

    def fits(self, columns: Iterable[str]) -> bool:
        """Tell whether a file with these columns is one."""
        there = set(columns)
        return there.issuperset(self.marks) and (not self.or_one_of or not there.isdisjoint(self.or_one_of))


@dataclass(frozen=True, slots=True)
class Till:
    """A family of files. ``dates`` and ``numbers`` name the columns that hold some, in whichever of its sheets."""

    name: str
    sheets: tuple[Sheet, ...]  #: asked one after the other
    dates: tuple[str, ...]
    numbers: tuple[str, ...]

    def layout(self, header: Sequence[str]) -> TillLayout | None:
        """Recognise one of the till's files by its header."""
        columns = places(header)
        sheet = next((each for each in self.sheets if each.fits(columns)), None)
        return None if sheet is None else TillLayout(self, sheet, columns)


@dataclass
class TillLayout:
    """Reads the rows of one file of a till."""

    of: Till
    sheet: Sheet
    places: dict[str, int]
    is_till: bool = True
    _lines: LineNumbers = field(default_factory=LineNumbers)

    @property
    def till(self) -> str:
        """Name the till."""
        return self.of.name

    @property
    def kind(self) -> str:
        """Name what the file is mostly about."""
        return self.sheet.kind

    @property
    def date_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with dates."""
        return self._places(self.of.dates)

    @property
    def number_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with numbers."""
        return self._places(self.of.numbers)

    def _places(self, names: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.places[name] for name in names if name in self.places)

    def records(self, cells: list[str]) -> list[Record]:
        """Read one row. Raises ``RowError``."""
        return list(self.sheet.read(Cells(self.places, cells), self._lines))

    @property
    def by_column(self) -> bool:
        """Tell whether the sheet can be read by the column."""
        return self.sheet.by_column is not None

    def columns(self, block: Block) -> Mapping[str, Sequence[str]]:
        """Read plain rows by the column."""
        by_column = self.sheet.by_column
        assert by_column is not None
        unusual: set[int] = set()
        for name, usual in by_column.usual.items():
            if name in self.places:
                cells = block.columns[self.places[name]]
                strange = {cell for cell in set(cells) if cell.strip().casefold() not in usual}
                if strange:
                    unusual.update(place for place, cell in enumerate(cells) if cell in strange)
        block.set_apart(unusual)
        blank = [""] * len(block.lines)

        def column(name: str) -> Sequence[str]:
            place = self.places.get(name)
            return blank if place is None else list(map(str.strip, block.columns[place]))

        return by_column.read(column)


#: How tills call the way an order was made, in our words; another word stays as it is.
CHANNELS: Final = {
    "for here": "dine-in",
    "dine in": "dine-in",
    "to go": "takeaway",
    "take out": "takeaway",
    "takeout": "takeaway",
    "pickup": "takeaway",
    "curbside": "takeaway",
    "delivery": "delivery",
    "online": "online",
}


def channel(text: str) -> str:
    """Give our word for a till's way of ordering."""
    return CHANNELS.get(text.casefold(), text)


def each(cells: Sequence[str], read: Callable[[str], str]) -> list[str]:
    """Read the cells of a column with few texts, every text once."""
    known = {text: read(text) for text in set(cells)}
    return [known[text] for text in cells]


def renamed(row: Cells, names: dict[str, str]) -> dict[str, str]:
    """Give the cells of the columns that the file has by our names; ``names`` is theirs to ours."""
    return {ours: row[theirs] for theirs, ours in names.items() if theirs in row}


def whole_name(row: Cells) -> dict[str, str]:
    """Give first name and name of a file that has first and last names apart; nothing where it has none."""
    if "first name" not in row:
        return {}
    name = " ".join(part for part in (row["first name"], row["last name"]) if part)
    return {"first_name": row["first name"], "name": name}
