"""Looks for guests in what must hold none: the trail, and the answers of providers (I6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, String, cast, select

from engine.database.tables import audit, channels, customers, delivery_events, dispatches, endpoints
from engine.dispatch.proofs import Proof

#: Where nobody's name, address or number may stand. A person who decides is named as the actor, and only there.
COLUMNS: Final[tuple[tuple[str, ColumnElement[Any]], ...]] = (
    ("audit.actor", audit.c.actor),
    ("audit.subject", audit.c.subject),
    ("audit.detail", audit.c.detail),
    ("dispatches.reason", dispatches.c.reason),
    ("dispatches.provider_reply", dispatches.c.provider_reply),
    ("delivery_events.code", delivery_events.c.code),
    ("channels.stopped_why", channels.c.stopped_why),
)
_ADDRESS: Final = re.compile(r"[^\s<>,;:\"'()]+@[^\s<>,;:\"'()]+\.[^\s<>,;:\"'()]+")
_NUMBER: Final = re.compile(r"\+\d[\d ()./-]{6,}\d")
#: May be a number without its plus, or the provider's id: it counts where a guest has it.
_DIGITS: Final = re.compile(r"(?<![\w.-])\d{8,15}(?![\w.-])")
_WORDS: Final = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")
#: A name has at most so many words; a lookup asks about so many at once.
_LONGEST: Final = 4
_AT_ONCE: Final = 500


def leaks(conn: Connection) -> Proof:
    """Look at every different text of these columns; names and plain digits count where a guest has them."""
    proof, count = Proof("privacy", "I6"), 0
    names: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for where, column in COLUMNS:
        text = cast(column, String)
        for found in conn.scalars(select(text).where(column.is_not(None), text != "null").distinct()):
            count += 1
            if _ADDRESS.search(found):
                proof.fault(None, f"an address stands in {where}")
            elif _NUMBER.search(found):
                proof.fault(None, f"a number stands in {where}")
            numbers |= dict.fromkeys(_DIGITS.findall(found), where)
            if where != "audit.actor":
                names |= dict.fromkeys(_names(found), where)
    held = {f"+{digits}": where for digits, where in numbers.items()}
    for where in _known(conn, endpoints.c.address, held):
        proof.fault(None, f"a guest's number stands in {where}")
    for where in _known(conn, customers.c.name, names):
        proof.fault(None, f"a guest's name stands in {where}")
    proof.looked_at = f"{count:,} different texts of the trail and of providers"
    return proof


def _names(text: str) -> Iterator[str]:
    """Give what may be a whole name: two words or more, or one that is not of the alphabet that the engine writes."""
    for found in _WORDS.findall(text):
        words = found.split(" ")
        for first in range(len(words)):
            for last in range(first + 1, min(first + _LONGEST, len(words)) + 1):
                name = " ".join(words[first:last])
                if last - first > 1 or not name.isascii():
                    yield name


def _known(conn: Connection, column: ColumnElement[Any], asked: dict[str, str]) -> Iterator[str]:
    """Give where those stand that the column has."""
    wanted = sorted(asked)
    for first in range(0, len(wanted), _AT_ONCE):
        portion = wanted[first : first + _AT_ONCE]
        for found in conn.scalars(select(column).where(column.in_(portion)).distinct().order_by(column)):
            yield asked[found]
