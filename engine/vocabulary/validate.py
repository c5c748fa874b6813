"""From a document to a rule, or to all of its problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from engine.language.phrases import phrase
from engine.language.problems import Problem, errors
from engine.language.rule import Active, Limits, Purpose, Rule, Send, Step
from engine.language.templates import Word as TemplateWord
from engine.language.times import (
    ClockRange,
    Duration,
    Schedule,
    parse_date,
    parse_share,
    parse_weekdays,
    windows_meet,
)
from engine.language.yamlfile import Document
from engine.vocabulary.actions import ACTIONS, Alert, Coupon, Email, Sms, Wait
from engine.vocabulary.conditions import read_conditions
from engine.vocabulary.reading import Reader, Surroundings
from engine.vocabulary.schema import rule_schema
from engine.vocabulary.triggers import TRIGGERS

DEFAULT_PRIORITY = 100


def rule_from(document: Document, around: Surroundings) -> tuple[Rule | None, list[Problem]]:
    """Read a rule file. Gives the rule (None where anything is wrong) and every problem, warnings too."""
    reader = Reader(document, around)
    reader.shape_is_right(rule_schema())
    data = document.data
    # Parts whose own shape is right are read on, so that problems of meaning come with those of shape.
    trigger = _trigger(reader)
    conditions = read_conditions(reader.under("conditions")) if "conditions" in data else ()
    stops = (
        read_conditions(Reader(document, around, ("stop_if",), reader.problems, after_match=True))
        if "stop_if" in data
        else ()
    )
    steps = _steps(reader)
    _check_placeholders(reader, steps, trigger)
    _check_purpose(reader, steps)
    _check_topic(reader)
    send = _send(reader, steps) if _is_shaped(reader, "send") else Send()
    active = _active(reader) if _is_shaped(reader, "active") else Active()
    if errors(reader.problems) or trigger is None or document.spoilt:
        return None, reader.problems
    return Rule(
        id=data["id"],
        path=document.shown,
        about=data.get("about", ""),
        trigger=trigger,
        conditions=conditions,
        steps=steps,
        stop_if=stops,
        schedule=Schedule.parse(data["schedule"]) if "schedule" in data else around.config.schedule,
        purpose=_purpose(data),
        topic=data.get("topic"),
        priority=data.get("priority", DEFAULT_PRIORITY),
        send=send,
        active=active,
        limits=_limits(data, trigger),
        holdout=parse_share(data["holdout"]) if "holdout" in data else 0,
        body=data,
    ), reader.problems


def _is_shaped(reader: Reader, word: str) -> bool:
    return word in reader.data and reader.under(word).is_shaped(rule_schema()["properties"][word])


def _trigger(reader: Reader) -> Any:
    place = reader.under("trigger")
    data = reader.data.get("trigger")
    if not isinstance(data, Mapping):
        return None
    words = [word for word in data if word in TRIGGERS]
    if len(words) > 1:
        place.problem(
            f'"trigger" holds {len(words)} words ({", ".join(words)}); a rule has exactly one trigger',
            "one-trigger",
            key=True,
            hint="keep one, and put the other into a rule of its own",
        )
        return None
    if not data:
        place.problem('"trigger" is empty', "one-trigger", key=True, hint=f"write one of: {', '.join(TRIGGERS)}")
        return None
    if not words:
        return None
    word = place.under(words[0])
    made = TRIGGERS[words[0]]
    return made.read(word) if word.is_shaped(made.schema()) else None


def _steps(reader: Reader) -> tuple[Step, ...]:
    place, data = reader.under("actions"), reader.data.get("actions")
    if not isinstance(data, list):
        return ()
    steps: list[Step] = []
    waits: tuple[Duration, ...] = ()
    word: str | None = None
    all_read = True
    for index, entry in enumerate(data):
        word = _word_of(place.under(index), entry)
        if word is None:
            all_read = False
            continue
        settings = ACTIONS[word].read(place.under(index, word))
        if isinstance(settings, Wait):
            waits = (*waits, settings.duration)
        else:
            steps.append(Step(index + 1, word, settings, waits))
    if word == "wait":
        place.under(len(data) - 1).problem(
            '"wait" is the last step: nothing comes after it', "wait-last", hint="remove it, or add a step"
        )
    if all_read:  # else the step that is missing may be the one that cannot be read
        _check_coupons(place, steps)
    return tuple(steps)


def _word_of(here: Reader, entry: object) -> str | None:
    """Give the one word of a step whose settings can be read; what is unknown or of a wrong shape is told already."""
    words = [str(word) for word in entry if word in ACTIONS] if isinstance(entry, Mapping) else []
    if len(words) > 1:
        here.problem(
            f"this step holds {len(words)} words ({', '.join(words)}); a step has exactly one",
            "one-word-a-step",
            hint='put a "-" before each word',
        )
    if len(words) != 1 or len(here.data) != 1 or not here.under(words[0]).is_shaped(ACTIONS[words[0]].schema()):
        return None
    return words[0]


def _check_coupons(place: Reader, steps: Iterable[Step]) -> None:
    """A code must be drawn before the message that shows it, and be shown by one."""
    drawn = False
    silent: list[Step] = []
    for step in steps:
        settings = step.settings
        if isinstance(settings, Coupon):
            drawn = True
            silent += [] if settings.always else [step]
        elif isinstance(settings, Email | Sms | Alert):
            if not isinstance(settings, Alert):  # an alert tells staff, not the guest
                silent = []
            template = place.around.templates.get(settings.template)
            if template is not None and not drawn and template.uses_coupon(cast("TemplateWord", step.word)):
                place.under(step.number - 1, step.word).problem(
                    f'the template "{settings.template}" shows a coupon, and no "coupon" step stands before this one',
                    "no-coupon",
                    hint="add a coupon step before it",
                )
    for coupon in silent:
        place.under(coupon.number - 1, "coupon").problem(
            "no step after this one tells the guest of the coupon",
            "silent-coupon",
            hint='add an email or an sms after it, or "always: true"',
        )


def _check_placeholders(reader: Reader, steps: Iterable[Step], trigger: Any) -> None:
    """A template that shows an order or a rating needs a trigger that fires on one."""
    for step in steps:
        template = reader.around.templates.get(getattr(step.settings, "template", ""))
        if template is None or trigger is None:
            continue
        for name, fires in (("order", "ordered"), ("rating", "low_rating"), ("event", "event")):
            if name not in trigger.gives and template.uses(name, cast("TemplateWord", step.word)):
                reader.under("actions", step.number - 1, step.word).problem(
                    f'the template "{template.name}" shows the {name}, and this trigger fires on none',
                    f"no-{name}",
                    hint=f"use the trigger {fires}, or another template",
                )


def _purpose(data: Mapping[str, Any]) -> Purpose:
    return "service" if data.get("purpose") == "service" else "marketing"


def _check_purpose(reader: Reader, steps: Iterable[Step]) -> None:
    data = reader.data
    if _purpose(data) != "service" or "because" in data:
        return
    for step in steps:
        if isinstance(step.settings, Coupon):
            reader.under("actions", step.number - 1, "coupon").problem(
                "an offer is marketing, and this rule says it is service",
                "offer-in-service",
                key=True,
                hint='leave "purpose: service" out, or say why in "because:"',
            )


def _check_topic(reader: Reader) -> None:
    topic = reader.data.get("topic")
    if isinstance(topic, str):
        topics = reader.around.config.topics
        reader.under("topic").known(phrase("topic"), topic, topics, "unknown-topic", phrase("config/regulars.yaml has"))


def _send(reader: Reader, steps: Iterable[Step]) -> Send:
    data = reader.data.get("send", {})
    send = Send(
        between=ClockRange.parse(data["between"]) if "between" in data else None,
        on=parse_weekdays(data["on"]) if "on" in data else None,
        within=Duration.parse(data["within"]) if "within" in data else None,
        spread=Duration.parse(data["spread"]) if "spread" in data else None,
    )
    for channel in sorted({step.word for step in steps} & {"email", "sms"}):
        hours = reader.around.config.hours[channel]
        if not windows_meet(hours, send.between, send.on):
            reader.under("send").problem(
                f'"send" and the hours for {channel} in config/regulars.yaml ({hours}) never meet',
                "never-open",
                key=True,
                hint="nothing could ever go out",
            )
    return send


def _active(reader: Reader) -> Active:
    given = reader.data.get("active", True)
    if isinstance(given, bool):
        return Active(switch=given)
    since = parse_date(given["from"]) if "from" in given else None
    until = parse_date(given["until"]) if "until" in given else None
    if since and until and until < since:
        reader.under("active", "until").problem(
            f'"until" ({until}) lies before "from" ({since}): the rule is never active', "empty-range"
        )
    return Active(since=since, until=until)


def _limits(data: Mapping[str, Any], trigger: Any) -> Limits:
    given = data.get("limits", {})
    again = Duration.parse(given["again_after"]) if "again_after" in given else trigger.again_after
    return Limits(again_after=again, max_matches=given.get("max_matches"))


def same_ids(rules: Iterable[tuple[Document, str]]) -> list[Problem]:
    """Find rules that share an id, under which is remembered what was sent: nobody knows which is the right one."""
    sharing: dict[str, list[Document]] = {}
    for document, rule_id in rules:
        sharing.setdefault(rule_id, []).append(document)
    return [
        document.problem(
            ("id",),
            f'the id "{rule_id}" also stands in {", ".join(each.shown for each in documents if each is not document)}',
            "same-id",
            hint="give a copied rule an id of its own; until then none of them runs",
        )
        for rule_id, documents in sharing.items()
        if len(documents) > 1
        for document in documents
    ]
