"""Numbers as tills and spreadsheets print them: what stands before the decimals is told by the file, never guessed.

``1,234.50``, ``1.234,50``, ``1 234,50``, ``1,23,456`` and ``0.125`` say it themselves. ``1,234`` does not: it is read
as the file's other numbers are written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final, Literal

#: What stands before the decimals.
DecimalSign = Literal["point", "comma"]

BLANKS = re.compile(r"[\s\u00a0\u2007\u2009\u202f']")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*|[.,]\d+")
_SIGNED = re.compile(rf"([-+]?)({NUMBER.pattern})")
_MINUS: Final = str.maketrans("\u2212\u2013", "--")
#: A whole number, perhaps with marks of one kind between its thousands; in India between hundreds from there on.
_WHOLE = re.compile(r"\d*|\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*|\d{1,2}(?:([.,])\d{2})(?:\2\d{2})*\2\d{3}")
_THOUSAND: Final = 3
_MARKS: Final[dict[str, DecimalSign]] = {".": "point", ",": "comma"}
_OTHER: Final = {".": ",", ",": "."}


class UndecidedNumberError(ValueError):
    """Neither the number nor the rest of the file says what its mark means."""


def sign_of(texts: Iterable[str]) -> DecimalSign | None:
    """Tell from all numbers of a file what stands before decimals; None where they do not say, or say both."""
    found: set[str] = set()
    for text in texts:
        number = NUMBER.search(BLANKS.sub("", text))
        if number:
            found |= _told(number[0])
        if len(found) > 1:
            return None
    return _MARKS[found.pop()] if found else None


@dataclass
class Numbers:
    """Reads the numbers of one file.

    ``texts`` gives all of them, and is asked only when a number does not say by itself what its mark means; ``told`` is
    the owner's word in the file ``mapping`` and spares that.
    """

    texts: Callable[[], Iterable[str]] = tuple
    told: DecimalSign | None = None
    mapping: str = "config/mappings/csv.yaml"

    @cached_property
    def sign(self) -> DecimalSign | None:
        """What stands before decimals in this file; None where nothing says."""
        return self.told or sign_of(self.texts())

    def decimal(self, text: str, decimals: int | None = None) -> Decimal:
        """Read a number with or without a minus. Errors and ``decimals``: as ``plain``."""
        found = _SIGNED.fullmatch(BLANKS.sub("", text).translate(_MINUS))
        if not found:
            raise ValueError(f'"{text}" is not a number')
        return self.plain(found[2], decimals) * (-1 if found[1] == "-" else 1)

    def plain(self, number: str, decimals: int | None = None) -> Decimal:
        """Read digits with marks between them, a match of ``NUMBER``.

        ``decimals``: how many such a number has. With none, marks stand between thousands, and three are a thousandth
        of what is written with three, unless the file says otherwise; with other counts the file must say.

        Raises:
            UndecidedNumberError: it may be two numbers.
            ValueError: its marks stand where they cannot.
        """
        marks = {mark for mark in number if mark in _MARKS}
        if not marks:
            return Decimal(number)
        told = _told(number)
        mark = told.pop() if told else self._usual(number, marks.pop(), decimals)
        whole, point, rest = number.partition(mark)
        if not _WHOLE.fullmatch(whole) or (point and not rest.isdigit()):
            raise ValueError(f'"{number}" is not a number such as 1234.50')
        return Decimal(f"{whole.replace(_OTHER[mark], '') or 0}.{rest or 0}")

    def _usual(self, number: str, mark: str, decimals: int | None) -> str:
        """Give the mark of decimals for a number such as 1,234."""
        if self.sign is not None:
            return "." if self.sign == "point" else ","
        if decimals == 0:
            return _OTHER[mark]
        if decimals == _THOUSAND:
            return mark
        bare = number.replace(mark, "")
        raise UndecidedNumberError(
            f'"{number}" may be {bare} or {number.replace(mark, ".")}: the other numbers of the file do not say which. '
            f"Export it without marks between thousands, or say in {self.mapping}: decimals: point (or comma)"
        )


def _told(number: str) -> set[str]:
    """Give the mark that must be that of decimals, in a set of one; empty where the number does not say."""
    marks = [mark for mark in number if mark in _MARKS]
    if not marks:
        return set()
    last = marks[-1]
    if len(marks) > 1:
        return {last if len(set(marks)) > 1 else _OTHER[last]}
    head, _, tail = number.partition(last)
    if len(tail) == _THOUSAND and 0 < len(head) <= _THOUSAND and head[0] != "0":
        return set()
    return {last}
