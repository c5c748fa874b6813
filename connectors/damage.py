"""What a spreadsheet leaves behind when it opens an export and saves it again: named, with the cure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.records import RowError

_TOO_NARROW = re.compile(r"#{3,}")
_FAILED = re.compile(r"#(?:NAME\?|REF!|VALUE!|N/A|DIV/0!|NULL!|NUM!|SPILL!)", re.IGNORECASE)
_FORMULA = re.compile(r"=\s*[-+A-Za-z0-9(\"$]")
_AGAIN = "take the till's own export, not one that was saved again"


def refuse_damaged(cells: Sequence[str]) -> None:
    """Raise ``RowError`` for a row with a cell that a spreadsheet spoilt: the reason, and what to do."""
    row = "".join(cells)
    if row.isascii() and "#" not in row and "=" not in row:
        return
    for cell in cells:
        text = cell.strip()
        if _TOO_NARROW.fullmatch(text):
            raise RowError(f'"{text}": a spreadsheet saved a column that was too narrow to be shown; {_AGAIN}')
        if _FAILED.fullmatch(text):
            raise RowError(f'"{text}" is the error of a spreadsheet, not what stood there; {_AGAIN}')
        if _FORMULA.match(text):
            raise RowError("a cell holds a formula (it begins with =): save its value, or put an apostrophe before it")
        meant = meant_by(text)
        if meant is not None:
            raise RowError(
                f'"{text}" should be "{meant}": a program read UTF-8 as another encoding and saved it again; {_AGAIN}, '
                'or save as "CSV UTF-8"'
            )


def meant_by(text: str) -> str | None:
    """Give what ``CafÃ©`` was before UTF-8 was read as Windows-1252; None where the text can be meant as it is."""
    if text.isascii():
        return None
    try:
        meant = text.encode("cp1252").decode()
    except UnicodeError:
        return None
    return None if meant == text else meant
