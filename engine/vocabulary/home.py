"""The owner's folder, read whole: config, offers, segments, templates, rules and every problem in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from engine.database.tiers import TierPlan
from engine.language.calendarfile import Calendar, load_calendar
from engine.language.config import Config, load_config
from engine.language.keys import load_key
from engine.language.loyalty import Loyalty, load_loyalty
from engine.language.offers import OFFERS_FILE, Offer, load_offers
from engine.language.problems import Problem, ProblemsError, errors, ordered
from engine.language.rule import Rule
from engine.language.smslength import SAMPLE_NAME
from engine.language.templates import Template, load_templates
from engine.language.textkey import text_key
from engine.language.yamlfile import Document, find, load
from engine.vocabulary.conditions import Condition, read_conditions
from engine.vocabulary.mentions import Kind, Mention
from engine.vocabulary.reading import Reader, Surroundings
from engine.vocabulary.schema import Names, config_schema, segments_schema
from engine.vocabulary.segments import used_in, wrong_ones
from engine.vocabulary.validate import rule_from, same_ids

SEGMENTS_FILE = "config/segments.yaml"


@dataclass(frozen=True)
class Home:
    """A home that can be run: its config is right; single rules may be broken and are then only in ``problems``."""

    root: Path
    config: Config
    key: bytes = field(repr=False)
    offers: Mapping[str, Offer] = field(default_factory=dict)
    loyalty: Loyalty = field(default_factory=Loyalty)
    calendar: Calendar = field(default_factory=Calendar)
    segments: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    segment_data: Mapping[str, Any] = field(default_factory=dict)  #: their conditions as they are written
    templates: Mapping[str, Template] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    exclude: tuple[Condition, ...] = ()  #: who meets all of these never gets marketing
    problems: tuple[Problem, ...] = ()
    broken: frozenset[str] = frozenset()  #: rule files with errors, as shown

    @property
    def around(self) -> Surroundings:
        """What the words of this home's rules may name."""
        return Surroundings(self.config, self.offers, self.templates, self.segments, self.loyalty, self.calendar)

    @property
    def tier_plan(self) -> TierPlan | None:
        """By what the database works tiers out; None: those of the customers' files count."""
        tiers = self.loyalty.tiers
        if tiers is None:
            return None
        levels = tuple((text_key(each.key), each.at) for each in tiers.levels)
        return TierPlan(tiers.by, tiers.within, levels, self.config.day_starts)

    def problems_of(self, rule_path: str) -> list[Problem]:
        """Give the problems of one file."""
        return [problem for problem in self.problems if problem.path == rule_path]


def load_home(root: Path, environ: Mapping[str, str], today: date | None = None) -> Home:
    """Read the home at ``root``; ``today`` lets it tell festivals without a date before long.

    How long an SMS becomes is not worked out for it: that is for ``check_home`` and ``checked_home`` to warn of.

    Raises:
        ProblemsError: the config is missing or wrong, so nothing can run; it carries every problem of the home.
        KeyFileError: ``regulars.key`` is missing or cannot be read.
    """
    read = _read(root, environ, today, lengths=False)
    if read.config is None or not read.sound:
        raise ProblemsError(check_home(root, environ, today))
    return Home(
        root=root.absolute(),
        config=read.config,
        key=load_key(root),
        offers=read.offers,
        loyalty=read.loyalty,
        calendar=read.calendar,
        segments=read.segments,
        segment_data=read.segment_data,
        templates=read.templates,
        rules=read.rules,
        exclude=read.exclude,
        problems=tuple(ordered(read.problems)),
        broken=read.broken,
    )


def check_home(root: Path, environ: Mapping[str, str], today: date | None = None) -> list[Problem]:
    """Give every problem of every file of the home at ``root``, sorted; nothing is needed but the files."""
    return ordered(_read(root, environ, today).problems)


@dataclass(frozen=True)
class Checked:
    """What the files of a home say of themselves, and which names of the data they speak of."""

    problems: Sequence[Problem]
    database_url: str = field(default="", repr=False)  #: "" where the config cannot be read
    mentions: Sequence[Mention] = ()
    made: Mapping[Kind, Iterable[str]] = field(default_factory=dict)  #: names that the files make themselves
    config: Config | None = field(default=None, repr=False)  #: as far as it can be read, with defaults for the rest
    templates: Mapping[str, Template] = field(default_factory=dict)


def checked_home(root: Path, environ: Mapping[str, str], today: date | None = None) -> Checked:
    """Give every problem, and what else ``validate`` has to look for."""
    read = _read(root, environ, today)
    if read.config is None or not read.config.sound:
        return Checked(ordered(read.problems), config=read.config, templates=read.templates)
    loyalty = read.loyalty
    made: dict[Kind, Iterable[str]] = {
        "attribute": read.config.attributes,
        "ledger": loyalty.ledgers,
        "tier": [] if loyalty.tiers is None else [level.key for level in loyalty.tiers.levels],
    }
    mentions = [*read.mentions, *_stores_of_offers(root)]
    problems = ordered(read.problems)
    return Checked(problems, read.config.database_url, mentions, made, read.config, read.templates)


def _stores_of_offers(root: Path) -> Iterator[Mention]:
    """Yield the stores that offers name: their file is read before anything else of the vocabulary."""
    document = load(root / OFFERS_FILE, OFFERS_FILE)[0] if (root / OFFERS_FILE).exists() else None
    if document is None:
        return
    for key, offer in document.data.items():
        stores = offer.get("stores") if isinstance(offer, dict) else None
        for index, name in enumerate(stores if isinstance(stores, list) else ()):
            yield Mention(document, (key, "stores", index), "store", str(name))


def names(root: Path, environ: Mapping[str, str]) -> Names:
    """Give the names that the home at ``root`` has made, as far as its files can be read.

    Raises ``ProblemsError`` where there is no config that can be read.
    """
    read = _read(root, environ, None)
    if read.config is None:
        raise ProblemsError(ordered(read.problems))
    found: dict[str, Iterable[str]] = {
        "templates": read.templates,
        "offers": read.offers,
        "festivals": read.calendar.names,
        "segments": read.segments,
        "webhooks": read.config.webhooks,
        "topics": read.config.topics,
        "contacts": {*read.config.contacts, "store"},
    }
    return {what: sorted(named) for what, named in found.items()}


@dataclass
class _Read:
    """A home as far as it could be read."""

    config: Config | None = None
    sound: bool = False
    offers: Mapping[str, Offer] = field(default_factory=dict)
    loyalty: Loyalty = field(default_factory=Loyalty)
    calendar: Calendar = field(default_factory=Calendar)
    segments: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    segment_data: Mapping[str, Any] = field(default_factory=dict)  #: their conditions as they are written
    templates: Mapping[str, Template] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    exclude: tuple[Condition, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    broken: frozenset[str] = frozenset()
    mentions: list[Mention] = field(default_factory=list)


def _read(root: Path, environ: Mapping[str, str], today: date | None, *, lengths: bool = True) -> _Read:
    read = _Read()
    read.config, document, read.problems = load_config(root, environ)
    if read.config is None or document is None:
        return read

    def told(result: tuple[Any, list[Problem]]) -> Any:
        read.problems.extend(result[1])
        return result[0]

    read.offers = told(load_offers(root, read.config.business.currency))
    read.loyalty = told(load_loyalty(root, read.config.business.currency))
    required = replace(read.config.law, business=SAMPLE_NAME).texts("sms", None) if lengths else None
    read.templates = told(load_templates(root, required))
    read.calendar = told(load_calendar(root))
    around = Surroundings(
        read.config, read.offers, read.templates, loyalty=read.loyalty, calendar=read.calendar, today=today
    )
    read.mentions = around.mentions
    around = told(_load_segments(root, around))
    read.segments, read.segment_data = around.segments, around.segment_data
    exclude, found = _read_exclude(document, around)
    read.exclude, read.sound = exclude, read.config.sound and not errors(found)
    read.problems.extend(found)
    read.rules, read.broken, found = _load_rules(root, around)
    read.problems.extend(found)
    return read


def _read_exclude(document: Document, around: Surroundings) -> tuple[tuple[Condition, ...], list[Problem]]:
    if not document.data.get("exclude"):
        return (), []
    reader = Reader(document, around, ("exclude",))
    definitions = config_schema()["definitions"]
    reader.shape_is_right({**definitions["conditions"], "definitions": definitions})
    return read_conditions(reader), reader.problems


def _load_rules(root: Path, around: Surroundings) -> tuple[tuple[Rule, ...], frozenset[str], list[Problem]]:
    files, problems = find(root / "rules", "rules")
    rules: list[Rule] = []
    broken = {problem.path for problem in errors(problems)}
    documents: list[tuple[Document, str]] = []
    for file, shown in files:
        document, found = load(file, shown)
        problems.extend(found)
        rule = None
        unread = bool(errors(found))  # a rule whose file is wrong in part would be another rule
        if document is not None:
            rule, found = rule_from(document, around)
            problems.extend(found)
            if isinstance(document.data, dict) and isinstance(document.data.get("id"), str):
                documents.append((document, document.data["id"]))
                around.mentions.append(Mention(document, ("id",), "rule", document.data["id"], made=True))
        if rule is None or unread:
            broken.add(shown)
        else:
            rules.append(rule)
    twice = same_ids(documents)
    broken |= {problem.path for problem in twice}
    kept = tuple(rule for rule in rules if rule.path not in broken)
    return tuple(sorted(kept, key=lambda rule: (rule.priority, rule.id))), frozenset(broken), [*problems, *twice]


def _load_segments(root: Path, around: Surroundings) -> tuple[Surroundings, list[Problem]]:
    """Give the surroundings with the segments; those that are wrong, or use such a one, are ``broken_segments``."""
    file = root / SEGMENTS_FILE
    if not file.exists():
        return around, []
    document, problems = load(file, SEGMENTS_FILE)
    if document is None:
        return around, problems
    reader = Reader(document, replace(around, segments=dict.fromkeys(document.data, ())))
    reader.shape_is_right(segments_schema())
    schema = segments_schema()
    one = {**schema["additionalProperties"], "definitions": schema["definitions"]}
    segments: dict[str, tuple[Condition, ...]] = {}
    broken: set[str] = set()
    for name in document.data:
        before = len(reader.problems)
        shaped = reader.under(name).is_shaped(one)
        if isinstance(document.data[name], dict) and "conditions" in document.data[name]:
            segments[name] = read_conditions(reader.under(name, "conditions"))
        if not shaped or errors(reader.problems[before:]) or document.is_spoilt((name,)):
            broken.add(name)
    broken |= wrong_ones(reader, segments)
    while more := {name for name in segments if name not in broken and broken & set(used_in(segments[name]))}:
        broken |= more
    sound = {name: members for name, members in segments.items() if name not in broken}
    data = {name: document.data[name]["conditions"] for name in sound}
    known = replace(around, segments=sound, segment_data=data, broken_segments=frozenset(broken))
    return known, [*problems, *reader.problems]
