"""Names of the data that an owner's files speak of: products, stores, tags ... They are looked for by ``validate``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from engine.language.document import Document, Path

Kind = Literal[
    "attribute",
    "category",
    "channel",
    "city",
    "event",
    "gender",
    "ledger",
    "product",
    "rating source",
    "rule",
    "store",
    "tag",
    "tier",
]

_TEXT_TESTS: Final = ("equals", "is_not", "one_of", "none_of")


@dataclass(frozen=True)
class Mention:
    """One name at its place, its key or its value. ``made``: the rule makes it itself, as an action does a tag."""

    document: Document
    at: Path
    kind: Kind
    name: str
    made: bool = False
    on_key: bool = False
    never: bool = False  #: the test holds for those who never had it: without any items nobody is known to be one


def texts_of(data: Any, at: Path) -> Iterator[tuple[Path, str]]:
    """Yield the texts of a value, a list or a map of tests on a text, each with its path."""
    if isinstance(data, Mapping):
        for word in _TEXT_TESTS:
            if word in data:
                yield from texts_of(data[word], (*at, word))
    elif isinstance(data, list):
        for index, each in enumerate(data):
            yield (*at, index), str(each)
    elif data is not None:
        yield at, str(data)
