"""The one way in which two texts of an owner, a till or a guest count as the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text_key(value: str) -> str:
    """Fold case and blanks: ``" Flat  White "`` and ``"flat white"`` have the same key."""
    return " ".join(value.split()).casefold()


def column_key(name: str) -> str:
    """Give the name under which imports keep a column of the owner's own: ``VIP Level`` is ``vip_level``."""
    return "_".join(name.replace("-", " ").replace("_", " ").split()).casefold()


def text_keys(values: Mapping[str, Any]) -> dict[str, str]:
    """Give the key of each value of a JSON object, by name: ``True`` is ``yes``, a number as it is written."""
    return {name: text_key(_written(value)) for name, value in values.items() if value is not None}


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
