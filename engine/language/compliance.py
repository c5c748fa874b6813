"""Country files, ``config/compliance/*.yaml``: the law on advertising messages, as far as Regulars acts on it.

Everywhere the stricter of the home's and the guest's country wins. Service messages know none of this. Nothing here is
legal advice: every value has its source, says how sure it is, and may be corrected by the owner's lawyer.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from engine.language.check import check
from engine.language.compliance_schema import COMPLIANCE_SCHEMA, FILLED
from engine.language.contacts import Channel
from engine.language.document import Document
from engine.language.durations import Duration, parse_date
from engine.language.hours import Hours, Opening, goes_beyond
from engine.language.phrases import listed, phrase
from engine.language.problems import Problem, errors, ordered
from engine.language.shipped import shipped_files
from engine.language.yamlfile import find, load

COMPLIANCE_FOLDER: Final = "config/compliance"
CHANNELS: Final[tuple[Channel, ...]] = ("email", "sms")
_AS_OF: Final = re.compile(r"^as_of: ([0-9]{4}-[0-9]{2}-[0-9]{2})", re.MULTILINE)
Sure = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class LegalHours:
    """When advertising may go out, on the guest's clock."""

    open: Hours
    holidays_closed: bool


@dataclass(frozen=True, slots=True)
class Ends:
    """How long implied consent lasts: as long as one of the two does. A None never makes it last."""

    after_order: Duration | None
    after_consent: Duration | None


@dataclass(frozen=True, slots=True)
class Texts:
    """What a message must hold, not yet filled in. ``unless_has``: words that show that it is there."""

    begin: str = ""  #: of an SMS, or of a subject
    end: str = ""
    unless_has: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value that is not sure: where it stands (``hours.sms``), how sure it is, and who says so."""

    what: str
    sure: Sure
    source: str


@dataclass(frozen=True)
class CountryLaw:
    """One country's file."""

    country: str
    as_of: date
    path: str  #: as shown
    shipped: bool  #: not the home's own
    hours: Mapping[Channel, LegalHours] = field(default_factory=dict)
    implied: Mapping[Channel, Ends | None] = field(default_factory=dict)  #: where it counts; None: it never ends
    texts: Mapping[Channel, Texts] = field(default_factory=dict)
    refusal_number: str = ""
    stop_words: tuple[str, ...] = ()  #: what a guest answers to end it, besides STOP and the like
    doubts: tuple[Doubt, ...] = ()
    newer: date | None = None  #: of the shipped file, where that is newer than the home's own

    def lacks_number(self, channel: Channel) -> bool:
        """Whether a required text wants the refusal number, and nobody gave it."""
        texts = self.texts.get(channel, Texts())
        return not self.refusal_number and "{refusal_number}" in texts.begin + texts.end


@dataclass(frozen=True, slots=True)
class Since:
    """Implied consent holds where the last order or the consent is of these instants (epoch seconds) or later.

    None: no order, or no consent, makes it hold.
    """

    ordered: int | None
    agreed: int | None


#: All must hold; nothing must: implied consent never ends. None: it does not count.
Implied = tuple[Since, ...] | None


@dataclass(frozen=True, slots=True)
class ImpliedTerms:
    """What implied consent is worth for one channel at one moment: at home, and for guests of other countries.

    ``elsewhere`` names only countries in which it is another.
    """

    home: Implied = None
    elsewhere: tuple[tuple[str, Implied], ...] = ()


@dataclass(frozen=True)
class Compliance:
    """The law for one home: its country's and its guests'. Without files nothing is known, and implied consent is none.

    Countries are two letters; None is a guest's who has none: the home's.
    """

    home: str = ""
    business: str = ""
    countries: Mapping[str, CountryLaw] = field(default_factory=dict)

    def laws(self, country: str | None) -> tuple[CountryLaw, ...]:
        """Give the files that hold for a guest: the home's and the guest's own, each once."""
        named = dict.fromkeys((self.home, country or self.home))
        return tuple(self.countries[name] for name in named if name in self.countries)

    def opening(self, hours: Hours, channel: Channel, country: str | None, purpose: str) -> Hours | Opening:
        """Give when a message may go out to a guest of a country: the home's hours, inside the legal ones."""
        if purpose != "marketing":
            return hours
        legal = [law.hours[channel] for law in self.laws(country) if channel in law.hours]
        shut = frozenset(
            law.country for law in self.laws(country) if channel in law.hours and law.hours[channel].holidays_closed
        )
        if not legal:
            return hours
        return Opening((hours, *(each.open for each in legal)), shut)

    def apart(self, hours: Hours, channel: Channel) -> tuple[str, ...]:
        """Give the countries whose guests advertising reaches at other hours than those of the home's, or never."""
        at_home = self.unsendable(channel, None)
        return tuple(
            country
            for country, law in sorted(self.countries.items())
            if country != self.home
            and (self.unsendable(channel, country) != at_home or _binds(law.hours.get(channel), hours))
        )

    def unsendable(self, channel: Channel, country: str | None) -> bool:
        """Whether a text that the law wants cannot be written, for want of the number for refusals."""
        law = self._texts_of(channel, country)
        return law is not None and law.lacks_number(channel)

    def texts(self, channel: Channel, country: str | None) -> Texts:
        """Give what a message to a guest of a country must hold, filled in: the guest's country's, else the home's."""
        law = self._texts_of(channel, country)
        if law is None:
            return Texts()
        texts = law.texts[channel]
        values = {"business": self.business, "refusal_number": law.refusal_number}
        return Texts(texts.begin.format(**values), texts.end.format(**values), texts.unless_has)

    def implied(self, channel: Channel, today: date, start: Callable[[date], int]) -> ImpliedTerms:
        """Give what implied consent is worth on the home's day ``today``; ``start`` gives the second a day begins."""

        def worth(country: str | None) -> Implied:
            laws = self.laws(country)
            if not laws or any(channel not in law.implied for law in laws):
                return None
            ends = dict.fromkeys(end for law in laws if (end := law.implied[channel]) is not None)
            return tuple(Since(since(each.after_order), since(each.after_consent)) for each in ends)

        def since(lasts: Duration | None) -> int | None:
            # On the day on which two years are over it has ended: the first day that counts is the next.
            return None if lasts is None else start(date.fromordinal(lasts.latest(today).toordinal() + 1))

        home = worth(None)
        others = ((country, worth(country)) for country in sorted(self.countries))
        return ImpliedTerms(home, tuple((country, terms) for country, terms in others if terms != home))

    def _texts_of(self, channel: Channel, country: str | None) -> CountryLaw | None:
        for name in (country or self.home, self.home):
            law = self.countries.get(name)
            if law is not None and channel in law.texts:
                return law
        return None


def _binds(legal: LegalHours | None, hours: Hours) -> bool:
    return legal is not None and (legal.holidays_closed or goes_beyond(hours, legal.open))


def with_texts(texts: Texts, message: str) -> str:
    """Give an SMS, or a subject, with what it must hold, where it does not hold it already."""
    has = message.casefold()
    there = any(word.casefold() in has for word in texts.unless_has)
    begin = "" if not texts.begin or texts.begin.casefold().rstrip(" :") in has else texts.begin
    end = "" if not texts.end or there or texts.end.casefold() in has else texts.end
    gap = "" if not begin or begin.endswith(("】", "」")) else " "
    return f"{begin}{gap}{message}{f' {end}' if end else ''}"


def load_compliance(root: Path, home: str, business: str) -> tuple[Compliance, list[Problem]]:
    """Read the country files of the home at ``root``, and the shipped ones of every other country.

    A file with errors is told and left out; ``home`` is the home's country, ``business`` its name.
    """
    countries: dict[str, CountryLaw] = {}
    problems: list[Problem] = []
    for folder, shipped in ((shipped_files() / COMPLIANCE_FOLDER, True), (root / COMPLIANCE_FOLDER, False)):
        files, misnamed = find(folder, COMPLIANCE_FOLDER)
        problems.extend(misnamed)
        for file, shown in files:
            if shipped and (root / COMPLIANCE_FOLDER / file.name).exists():
                continue
            document, found = load(file, shown)
            if document is not None:
                law, more = _law(document, file.stem.upper(), shipped=shipped)
                found += more
                if law is not None:
                    newer = None if shipped else _as_of_shipped(file.name)
                    countries[law.country] = replace(law, newer=newer if newer and newer > law.as_of else None)
            problems.extend(found)
    return Compliance(home, business, countries), ordered(problems)


def _as_of_shipped(name: str) -> date | None:
    """Give the date of the shipped file of that name, without reading the rest."""
    shipped = shipped_files() / COMPLIANCE_FOLDER / name
    found = _AS_OF.search(shipped.read_text(encoding="utf-8")) if shipped.exists() else None
    return date.fromisoformat(found[1]) if found else None


def _law(document: Document, country: str, *, shipped: bool) -> tuple[CountryLaw | None, list[Problem]]:
    problems = check(document, COMPLIANCE_SCHEMA)
    if not errors(problems) and not document.spoilt:
        problems += _meaning(document, country)
    if errors(problems) or document.spoilt:
        return None, problems
    data = document.data
    law = CountryLaw(
        country=data["country"],
        as_of=parse_date(data["as_of"]),
        path=document.shown,
        shipped=shipped,
        hours={
            channel: LegalHours(Hours.parse(given["open"]), given.get("holidays") == "closed")
            for channel, given in _channels(data, "hours")
        },
        implied={
            channel: _ends(given.get("implied_ends"))
            for channel, given in _channels(data, "consent")
            if "implied" in given["kinds"]
        },
        texts={
            channel: Texts(
                given.get("subject", given.get("begin", "")), given.get("end", ""), tuple(given.get("unless_has", ()))
            )
            for channel, given in _channels(data, "texts")
        },
        stop_words=tuple(word for _, given in _channels(data, "texts") for word in given.get("stop_words", ())),
        refusal_number=(data.get("own") or {}).get("refusal_number", ""),
        doubts=tuple(
            Doubt(f"{section}.{channel}", given["sure"], given["source"])
            for section in ("hours", "consent", "texts")
            for channel, given in _channels(data, section)
            if given["sure"] != "high"
        ),
    )
    return law, problems


def _channels(data: Mapping[str, Any], section: str) -> list[tuple[Channel, Mapping[str, Any]]]:
    given = data.get(section) or {}
    return [(channel, given[channel]) for channel in CHANNELS if channel in given]


def _ends(given: Mapping[str, str] | None) -> Ends | None:
    if not given:
        return None
    spans = (Duration.parse(given[name]) if name in given else None for name in ("after_order", "after_consent"))
    return Ends(*spans)


def _meaning(document: Document, country: str) -> list[Problem]:
    """Find what the schema cannot: a name of another country, an unknown placeholder, an end of what is not allowed."""
    data, problems = document.data, []
    if data["country"] != country:
        said = phrase(
            'this file is named after "{named}", and "country" says "{said}"', named=country, said=data["country"]
        )
        cure = phrase("The file of a country is {file}.", file=f"{data['country'].lower()}.yaml")
        problems.append(document.problem(("country",), said, "wrong-country", hint=cure))
    for channel, given in _channels(data, "consent"):
        if "implied_ends" in given and "implied" not in given["kinds"]:
            said = phrase('"implied_ends" says when implied consent ends, and "kinds" does not allow it')
            cure = phrase('Add "implied" to "kinds", or take "implied_ends" out.')
            at = ("consent", channel, "implied_ends")
            problems.append(document.problem(at, said, "useless-setting", on="key", hint=cure))
    for channel, given in _channels(data, "texts"):
        for name in ("begin", "end", "subject"):
            unknown = _unknown_fields(given.get(name, ""))
            if unknown:
                said = phrase('"{name}" holds {unknown}, which nothing fills in', name=name, unknown=listed(unknown))
                cure = phrase("There is {known}.", known=listed(f"{{{each}}}" for each in FILLED))
                problems.append(document.problem(("texts", channel, name), said, "unknown-placeholder", hint=cure))
    return problems


def _unknown_fields(text: str) -> list[str]:
    try:
        fields = [name for _, name, form, how in string.Formatter().parse(text) if name is not None or form or how]
    except ValueError:
        return [text]
    return [f"{{{name}}}" for name in fields if name not in FILLED]
