"""The one way in which two texts of an owner, a till or a guest count as the same."""

from __future__ import annotations


def text_key(value: str) -> str:
    """Fold case and blanks: ``" Flat  White "`` and ``"flat white"`` have the same key."""
    return " ".join(value.split()).casefold()
