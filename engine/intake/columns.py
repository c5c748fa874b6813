"""Reading whole columns of cells: each distinct text is read once, by the same words that read single rows.

A text that cannot be read this way is ``ODD``: its row wants the closer look that tells why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from connectors.records import RowError


class _Odd:
    """The value of a cell whose row is to be read by itself."""

    def __repr__(self) -> str:
        return "ODD"


ODD: Final[Any] = _Odd()
#: So many texts of one column are kept in mind.
_MOST: Final = 100_000


class Known(dict[str, Any]):
    """What the texts of one column mean, as ``read`` says; ``ODD`` where it raises ``RowError``."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        super().__init__()
        self._read = read
        self.any_odd = False

    def __missing__(self, text: str) -> Any:
        """Read a text that was not met before."""
        if len(self) >= _MOST:
            self.clear()
        try:
            value = self._read(text)
        except RowError:
            value = ODD
        self.any_odd |= value is ODD
        self[text] = value
        return value

    def of(self, cells: Iterable[str], odd: set[int]) -> list[Any]:
        """Give the values of a column, and add the places of odd ones."""
        found = list(map(self.__getitem__, cells))
        if self.any_odd:
            odd.update(place for place, value in enumerate(found) if value is ODD)
        return found

    def forget_odd(self) -> None:
        """Ask anew about the texts that were odd."""
        if self.any_odd:
            for text in [text for text, value in self.items() if value is ODD]:
                del self[text]
            self.any_odd = False
