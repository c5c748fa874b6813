"""What a file is: one of a till that we know, or one in our own columns; told by the names in its first line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from connectors.csvblocks import Block
from connectors.csvfile import CsvFile, FileError
from connectors.dates import DateOrder, UndecidedDateError, order_of
from connectors.loyverse import LOYVERSE
from connectors.numbers import DecimalSign, Numbers
from connectors.records import Layout, Record
from connectors.shopify import SHOPIFY
from connectors.square import SQUARE
from connectors.toast import TOAST
from engine.intake.kinds import KINDS, OF_TELLING, REFUSED_LINE, REFUSED_REASON, TELLING
from engine.intake.mapping import CSV, Mapping

_TILLS: Final = (SQUARE, LOYVERSE, TOAST, SHOPIFY)


@dataclass(frozen=True, slots=True)
class OwnLayout:
    """A file in our own columns, or in others that a mapping names. ``names``: ours, by place; "" is passed over."""

    kind: str
    till: str
    names: tuple[str, ...]
    attributes: MappingOf[str, str]  #: the owner's own, as the config declares them: type by name
    is_till: bool = False

    @property
    def date_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with dates."""
        return self._columns(KINDS[self.kind].dates, "date")

    @property
    def number_columns(self) -> tuple[int, ...]:
        """Give the places of the columns with numbers."""
        return self._columns(KINDS[self.kind].numbers, "number")

    def _columns(self, ours: Collection[str], declared: str) -> tuple[int, ...]:
        known = KINDS[self.kind].columns
        return tuple(
            place
            for place, name in enumerate(self.names)
            if name in ours or (name not in known and self.attributes.get(name) == declared)
        )

    def records(self, cells: list[str]) -> list[Record]:
        """Read one row."""
        named = zip(self.names, cells, strict=False)
        return [Record(self.kind, {name: cell.strip() for name, cell in named if name})]

    @property
    def by_column(self) -> bool:
        """Tell whether its writer takes whole columns."""
        return self.kind == "orders"

    def columns(self, block: Block) -> MappingOf[str, Sequence[str]]:
        """Give the columns that have a name: every row is one record."""
        named = zip(self.names, block.columns, strict=False)
        return {name: list(map(str.strip, column)) for name, column in named if name}


def recognise(
    header: Sequence[str], kind: str | None, mapping: Mapping | None, attributes: MappingOf[str, str]
) -> Layout:
    """Tell what a file is. ``attributes`` are those that the config declares.

    Raises:
        FileError: its columns are those of nothing known, or a column that must be there is missing.
    """
    if mapping is None or not mapping.columns:
        for till in _TILLS:
            found = till.layout(header)
            if found is not None and kind in {None, found.kind}:
                return found
    names = _names(header, mapping)
    wanted = kind or (mapping.kind if mapping else None) or _kind_of(names)
    if wanted is None:
        raise FileError(_not_known(header))
    missing = [name for name in KINDS[wanted].needed if name not in names]
    if missing:
        raise FileError(_missing(wanted, missing, header))
    known = KINDS[wanted].columns
    if not KINDS[wanted].keeps_others:
        names = [name if name in known else "" for name in names]
    return OwnLayout(wanted, mapping.source if mapping else CSV, tuple(names), attributes)


def fits(mapping: Mapping, header: Sequence[str]) -> bool:
    """Tell whether a file has every column that the mapping names."""
    there = {_own(name) for name in header}
    return bool(mapping.columns) and all(_own(name) in there for name in mapping.columns.values())


def date_order(file: CsvFile, layout: Layout, mapping: str) -> DateOrder | None:
    """Tell from the whole file whether days or months come first in its dates; None where no date asks.

    Raises:
        FileError: nothing in the file decides; ``mapping`` is where it can be said.
    """
    try:
        return order_of(_texts(file, layout.date_columns))
    except UndecidedDateError as asking:
        raise FileError(
            f"nothing in the file says whether {asking} begins with the day or the month. Export it with the year "
            f"first (2026-03-04) or for a longer time, or say so in {mapping}: dates: day-first"
        ) from None


def numbers_of(file: CsvFile, layout: Layout, told: DecimalSign | None, mapping: str) -> Numbers:
    """Give what reads the numbers of the file; ``told`` is what its mapping says of them."""
    return Numbers(lambda: _texts(file, layout.number_columns), told, mapping)


def _texts(file: CsvFile, places: Sequence[int]) -> Iterator[str]:
    for _, cells in file.rows():
        for place in places:
            if place < len(cells) and cells[place]:
                yield cells[place]


def _names(header: Sequence[str], mapping: Mapping | None) -> list[str]:
    theirs = {_own(name): ours for ours, name in mapping.columns.items()} if mapping else {}
    taken: set[str] = set()
    names = []
    for column in header:
        key = _own(column)
        name = theirs.get(key, key)
        passed_over = (
            name in taken or column in {REFUSED_LINE, REFUSED_REASON} or (key not in theirs and key in _mapped(mapping))
        )
        names.append("" if passed_over else name)
        taken.add(name)
    return names


def _mapped(mapping: Mapping | None) -> frozenset[str]:
    """Our names that a mapping gives to other columns: a column called so by chance is not meant."""
    return frozenset(mapping.columns) if mapping else frozenset()


def _own(name: str) -> str:
    """``Customer ID`` and ``customer-id`` are ``customer_id``."""
    key = "_".join(name.strip("\ufeff\u200b '").replace("-", " ").replace("_", " ").split()).casefold()
    return "email" if key == "e_mail" else key


def _kind_of(names: Sequence[str]) -> str | None:
    there = set(names)
    return next((kind for marks, kind in zip(TELLING, OF_TELLING, strict=True) if there.issuperset(marks)), None)


def own_columns(layout: Layout, declared: Collection[str]) -> tuple[str, ...]:
    """Give the columns of guests and stores that are kept as attributes and not ``declared`` in the config."""
    if not isinstance(layout, OwnLayout) or layout.kind == "events":
        return ()
    known = {*KINDS[layout.kind].columns, *declared, ""}
    return tuple(name for name in layout.names if name not in known)


def _not_known(header: Sequence[str]) -> str:
    shown = ", ".join(header[:8]) + (", ..." if len(header) > 8 else "")  # noqa: PLR2004 (enough to recognise it)
    return (
        f"its columns ({shown}) are those of no file that Regulars knows. Rename them as docs/importing.md says, or "
        "write a mapping into config/mappings/"
    )


def _missing(kind: str, missing: Sequence[str], header: Sequence[str]) -> str:
    said = f"a file of {kind.replace('_', ' ')} needs the column {' and '.join(missing)}"
    names = {_own(name): name for name in header}
    close = get_close_matches(missing[0], names, n=1, cutoff=0.6)
    return f'{said}; is "{names[close[0]]}" the one?' if close else said
