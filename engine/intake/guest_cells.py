"""Cells of guests and stores that need a word of their own: language, tags, attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from connectors.records import RowError
from engine.intake import values
from engine.intake.desk import Desk
from engine.intake.kinds import KINDS
from engine.language.locales import is_language
from engine.language.textkey import text_key

_YES_NO = {"yes": True, "no": False}


def language(desk: Desk, text: str) -> str | None:
    """Read a language tag; one that does not exist is warned of: the home's is used."""
    tag = text.replace("_", "-")
    if tag and not is_language(tag):
        desk.warn("language is not one such as en or zh-Hans; the home's is used")
        return None
    return tag or None


def tags(text: str) -> set[str]:
    """Read tags with commas, semicolons or bars between them."""
    return {text_key(part) for part in re.split(r"[,;|]", text) if part.strip()}


def attributes(desk: Desk, kind: str, cells: Mapping[str, str], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the owner's own columns, by the types of the config; those of other files stay. Raises ``RowError``."""
    found = dict(before["attributes"]) if before else {}
    known = KINDS[kind].columns
    for name, text in cells.items():
        if name in known:
            continue
        if text:
            found[name] = _typed(desk, name, text)
        else:
            found.pop(name, None)
    return found


def _typed(desk: Desk, name: str, text: str) -> Any:
    match desk.config.attributes.get(name, "text"):
        case "number":
            number = values.decimal(text, name, desk.numbers)
            return int(number) if number == int(number) else float(number)
        case "yes_no":
            return _YES_NO[values.yes_no(text, name) or "no"]
        case "date":
            day = values.birthday(text, "solar", desk.order(text), None, name)
            if day is None:
                raise RowError(f'{name} "{text}" is what a till writes where it knows no date')
            return f"{day.year or 0:04d}-{day.month_day // 100:02d}-{day.month_day % 100:02d}"
        case _:
            return text
