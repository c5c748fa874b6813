"""How a word reads its settings: the document, the home that it may name things of, and the problems found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from engine.language.calendarfile import Calendar
from engine.language.check import check, did_you_mean
from engine.language.config import Config
from engine.language.loyalty import Loyalty
from engine.language.offers import Offer
from engine.language.phrases import listed, phrase
from engine.language.problems import Problem, Severity, errors
from engine.language.templates import Template
from engine.language.yamlfile import Document, Path
from engine.vocabulary.mentions import Kind, Mention, texts_of


@dataclass(frozen=True)
class Surroundings:
    """What the words of a home's rules may name."""

    config: Config
    offers: Mapping[str, Offer] = field(default_factory=dict)
    templates: Mapping[str, Template] = field(default_factory=dict)
    segments: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    loyalty: Loyalty = field(default_factory=Loyalty)
    calendar: Calendar = field(default_factory=Calendar)
    today: date | None = None  #: where it is known, what lies behind or too far ahead is told
    segment_data: Mapping[str, Any] = field(default_factory=dict)  #: their conditions as they are written
    broken_segments: frozenset[str] = frozenset()  #: they stand there, but nobody knows who is in them
    kept: bool = False  #: a version that was sound in the home of its day is read again: nobody is told of problems
    mentions: list[Mention] = field(default_factory=list, compare=False)  #: names of the data, as they are read

    @property
    def minor_units(self) -> int:
        """Give how many minor units make one of the home's currency: 100 for dollars, 1 for yen."""
        return self.config.business.minor_units


@dataclass(frozen=True)
class Reader:
    """One place in one document. Problems found below it gather in ``problems``, shared by all its children."""

    document: Document
    around: Surroundings
    at: Path = ()
    problems: list[Problem] = field(default_factory=list)
    after_match: bool = False  #: inside stop_if, where ``since: match`` has a meaning

    @property
    def data(self) -> Any:
        """Give the plain value at this place."""
        value: Any = self.document.data
        for key in self.at:
            value = value[key]
        return value

    def under(self, *keys: str | int) -> Reader:
        """Give the reader of a place below."""
        return replace(self, at=(*self.at, *keys))

    def settings(self, first: str) -> Mapping[str, Any]:
        """Give the settings of a word as a map: a plain value stands for the first one, a blank for all defaults."""
        data = self.data
        if data is None:
            return {}
        return data if isinstance(data, Mapping) else {first: data}

    def setting(self, word: str) -> Reader:
        """Give the reader of one setting: where a plain value stands for it, that is here."""
        return self.under(word) if isinstance(self.data, Mapping) else self

    def problem(
        self, message: str, code: str, *, key: bool = False, hint: str = "", severity: Severity = "error"
    ) -> None:
        """Note a problem at this place, at its key or at its value.

        A version that a journey keeps was sound when it was written: what its home lacks by now is no problem of it.
        """
        if self.around.kept:
            return
        on: Literal["key", "value"] = "key" if key else "value"
        self.problems.append(
            self.document.problem(self.at, message, code, on=on, hint=hint, severity=severity),
        )

    def known(self, what: str, name: str, names: Mapping[str, Any] | tuple[str, ...], code: str, where: str) -> bool:
        """Check that ``name`` is one of ``names``; else note a problem with the nearest."""
        if name in names:
            return True
        message = phrase('there is no {what} "{name}"{meant}', what=what, name=name, meant=did_you_mean(name, names))
        known = listed(sorted(names)) if names else phrase("none yet")
        self.problem(message, code, hint=phrase("{where}: {names}", where=where, names=known))
        return False

    def names(self, kind: Kind, *, made: bool = False, never: bool = False) -> None:
        """Remember the names of the data in the text test here, so that ``validate`` can look for them.

        ``made``: the rule gives the name itself. ``never``: the test holds for guests who never had it.
        """
        self.around.mentions.extend(
            Mention(self.document, at, kind, name, made=made, never=never) for at, name in texts_of(self.data, self.at)
        )

    def mention(self, kind: Kind, name: str, *, made: bool = False) -> None:
        """Remember a name of the data that stands in the key here; ``made`` as for ``names``."""
        self.around.mentions.append(Mention(self.document, self.at, kind, name, on_key=True, made=made))

    def is_shaped(self, schema: Mapping[str, Any]) -> bool:
        """Tell whether the value here has the right shape, without noting anything: the whole file's check did."""
        at, broken = self.at, self.document.broken
        if any(path[: len(at)] == at or at[: len(path)] == path for path in broken):
            return False
        return not errors(check(self.document, schema, at=at))

    def shape_is_right(self, schema: Mapping[str, Any]) -> bool:
        """Check the value here against a schema; problems are noted, and reading on would only repeat them."""
        found = check(self.document, schema, at=self.at)
        self.problems.extend(found)
        return not errors(found)
