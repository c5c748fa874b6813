"""From the list ``actions`` to the steps of a rule: places, waits, branches, and what must stand before what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

from engine.language.phrases import Phrase, listed, phrase
from engine.language.problems import Problem
from engine.language.rule import Branch, Step
from engine.language.templatecheck import check_text
from engine.language.templates import Template
from engine.language.templates import Word as TemplateWord
from engine.language.times import Duration
from engine.vocabulary.actions import ACTIONS, Coupon, Split, Wait, settings_schema
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.conditions import conditions_schema, read_conditions
from engine.vocabulary.messages import Alert, Email, Sms
from engine.vocabulary.reading import Reader
from engine.vocabulary.webhook import Webhook

#: Each way through the splits of a rule writes rows of its own.
MOST_WAYS = 64


@dataclass(frozen=True)
class Way:
    """One way through the splits so far: whose it is, and how long it has waited."""

    branches: tuple[Branch, ...] = ()
    waits: tuple[Duration, ...] = ()


@dataclass
class _Steps:
    """What is read, in the order of the file."""

    rule_id: str
    steps: list[Step] = field(default_factory=list)
    number: int = 0  #: of the entry read last
    splits: int = 0
    complete: bool = True  #: every entry could be read


def read_steps(reader: Reader) -> tuple[Step, ...]:
    """Read ``actions``; a step that cannot be read is left out, its problem noted."""
    place, data = reader.under("actions"), reader.data.get("actions")
    if not isinstance(data, list):
        return ()
    read = _Steps(str(reader.data.get("id", "")))
    ways = _entries(place, [Way()], "", read, last=True)[0]
    if read.complete:  # else the step that is missing may be the one that cannot be read
        problems: dict[Problem, None] = {}  # each once, though several ways lead through a step
        for way in ways:
            found = replace(reader, problems=[])
            _check_way(found, [step for step in read.steps if set(step.branches) <= set(way.branches)])
            problems |= dict.fromkeys(found.problems)
        reader.problems.extend(problems)
    return tuple(read.steps)


def once_each(steps: Iterable[Step]) -> list[Step]:
    """Give the first step of each number: what stands in the file once is said once."""
    return list({step.number: step for step in reversed(list(steps))}.values())[::-1]


def written_steps(actions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Yield each step's number, its name as people know it and what is written, from plain data that was read once."""
    number = 0

    def walk(entries: Sequence[Mapping[str, Any]], above: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
        nonlocal number
        for index, entry in enumerate(entries):
            number += 1
            name = f"{above}{index + 1}"
            yield number, name, entry
            for branch, inside in entry.get("split", {}).items():
                yield from walk(inside["actions"], f"{name}.{branch}.")

    yield from walk(actions, "")


def _entries(place: Reader, entering: list[Way], above: str, read: _Steps, *, last: bool) -> list[list[Way]]:
    """Read one list of steps. Gives, for each way that enters, the ways that lead out; ``last``: it ends the rule."""
    data = place.data
    leaving = [[way] for way in entering]
    word = None
    for index, entry in enumerate(data):
        read.number += 1
        here, label = place.under(index), f"{above}{index + 1}"
        word = _word_of(here, entry)
        if word is None:
            read.complete = False
            continue
        settings = ACTIONS[word].read(here.under(word))
        if isinstance(settings, Wait):
            leaving = [[Way(way.branches, (*way.waits, settings.duration)) for way in ways] for ways in leaving]
        elif isinstance(settings, Split):
            ends = last and index == len(data) - 1
            leaving = _branches(here.under(word), settings, leaving, label, read, last=ends)
        else:
            first = Step(read.number, word, settings, label=label, only_if=_only_if(here.under(word)), at=here.at)
            for way in _distinct(entering, leaving):
                read.steps.append(replace(first, waits=way.waits, branches=way.branches))
    if word == "wait" and last:
        place.under(len(data) - 1).problem(
            phrase('"wait" is the last step: nothing comes after it'),
            "wait-last",
            hint=phrase("remove it, or add a step"),
        )
    return leaving


def _distinct(entering: list[Way], leaving: list[list[Way]]) -> list[Way]:
    """Give the ways that differ for the next step: a split counts only where its branches wait differently."""
    found: list[Way] = []
    for entered, ways in zip(entering, leaving, strict=True):
        found += ways if len({way.waits for way in ways}) > 1 else [Way(entered.branches, ways[0].waits)]
    return found


def _branches(
    place: Reader, split: Split, leaving: list[list[Way]], label: str, read: _Steps, *, last: bool
) -> list[list[Way]]:
    """Read the branches of a split, each once for all the ways that enter it."""
    read.splits += 1
    if sum(map(len, leaving)) * len(split.shares) > MOST_WAYS:
        said = phrase("with this split more than {most} ways lead through the rule", most=MOST_WAYS)
        place.problem(said, "too-many-ways", key=True, hint=phrase("make two rules of it"))
        read.complete = False
        return leaving
    # The salt has a blank, and no rule's id has one: nothing else draws the same guests.
    salt = f"split {read.rule_id} {read.splits}"
    entering = [(number, way) for number, ways in enumerate(leaving) for way in ways]
    after: list[list[Way]] = [[] for _ in leaving]
    low = 0
    for name, share in split.shares.items():
        branch = Branch(salt, low, low + share)
        low += share
        inside = [Way((*way.branches, branch), way.waits) for _, way in entering]
        out = _entries(place.under(name, "actions"), inside, f"{label}.{name}.", read, last=last)
        for (number, _), ways in zip(entering, out, strict=True):
            after[number] += ways
    return after


def _only_if(place: Reader) -> tuple[Any, ...]:
    if not isinstance(place.data, Mapping) or "only_if" not in place.data:
        return ()
    return read_conditions(replace(place.under("only_if"), after_match=True))


def _word_of(here: Reader, entry: object) -> str | None:
    """Give the one word of a step whose settings can be read; what is unknown or of a wrong shape is told already."""
    words = [str(word) for word in entry if word in ACTIONS] if isinstance(entry, Mapping) else []
    if len(words) > 1:
        said = phrase(
            "this step holds {count} words ({words}); a step has exactly one", count=len(words), words=listed(words)
        )
        here.problem(said, "one-word-a-step", hint=phrase('put a "-" before each word'))
    if len(words) != 1 or len(here.data) != 1 or not here.under(words[0]).is_shaped(_shape(words[0])):
        return None
    return words[0]


@cache
def _shape(word: str) -> JsonSchema:
    """The settings of a step; the steps in its branches are looked at one by one, so that one wrong hides no other."""
    return {**settings_schema(word), "definitions": {"conditions": conditions_schema(), "step": {}}}


def what_shows(template: Template, step: Step, name: str) -> tuple[Phrase, tuple[str, ...]] | None:
    """Tell what of a step's message needs ``name``, such as ``coupon``, and where it stands below the step; or None."""
    subject = getattr(step.settings, "subject", None)
    if subject is not None and name in check_text(subject, "").names:
        return phrase("the subject"), (step.word, "subject")
    if template.uses(name, cast("TemplateWord", step.word), own_subject=subject is not None):
        return phrase('the template "{name}"', name=template.name), (step.word,)
    return None


def _check_coupon(reader: Reader, step: Step, template: Template) -> None:
    """No coupon has been drawn before this message: it must show none."""
    if shown := what_shows(template, step, "coupon"):
        said = phrase('{what} shows a coupon, and no "coupon" step stands before this one', what=shown[0])
        hint = phrase("add a coupon step before it")
        reader.under(*step.at, *shown[1]).problem(said, "no-coupon", hint=hint)


def _check_way(reader: Reader, steps: Sequence[Step]) -> None:
    """Check what one way through the rule does, from its first step to its last."""
    if not steps:
        said = phrase("for some guests no branch does anything")
        hint = phrase("for guests who shall get nothing, to compare, use holdout")
        reader.under("actions").problem(said, "no-step", key=True, hint=hint)
    drawn = False
    silent: list[Step] = []
    for step in steps:
        settings, place = step.settings, reader.under(*step.at, step.word)
        if isinstance(settings, Coupon):
            drawn = drawn or not (step.only_if and settings.always)
            silent += [] if settings.always else [step]
            if step.only_if and not settings.always:
                said = phrase("a coupon follows the message that shows it, so only_if does nothing here")
                hint = phrase("write only_if in the message: where that is left out, no coupon is issued for it")
                place.under("only_if").problem(said, "only-if-of-coupon", key=True, hint=hint)
        elif isinstance(settings, Webhook):
            silent = []  # it has the code, and the owner's own system tells the guest
        elif isinstance(settings, Email | Sms | Alert):
            if settings.channel is not None:  # a message to staff does not tell the guest
                silent = []
            template = reader.around.templates.get(settings.template)
            if template is not None and not drawn:
                _check_coupon(reader, step, template)
    for coupon in silent:
        reader.under(*coupon.at, "coupon").problem(
            phrase("no step after this one tells the guest of the coupon"),
            "silent-coupon",
            hint=phrase('add an email, an sms or a webhook after it, or "always: true"'),
        )
