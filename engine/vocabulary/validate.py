"""From a document to a rule, or to all of its problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.language.budgets import KINDS, Budget
from engine.language.phrases import Phrase, listed, phrase
from engine.language.problems import Problem, errors
from engine.language.rule import Active, Limits, Purpose, Rule, Send, Step
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
from engine.vocabulary.actions import Coupon
from engine.vocabulary.conditions import read_conditions
from engine.vocabulary.lawful import check_law
from engine.vocabulary.loyalty_actions import check_points
from engine.vocabulary.never import check_holdout, check_never, check_whole
from engine.vocabulary.reading import Reader, Surroundings
from engine.vocabulary.schema import rule_schema
from engine.vocabulary.steps import once_each, read_steps, what_shows
from engine.vocabulary.triggers import TRIGGERS, given_by
from engine.vocabulary.webhook import Webhook

DEFAULT_PRIORITY = 100
#: What a template shows of what fired, and the trigger that fires on it.
_FIRED: Mapping[str, tuple[Phrase, str]] = {
    "order": (phrase("the order"), "ordered"),
    "rating": (phrase("the rating"), "low_rating"),
    "event": (phrase("the event"), "event"),
    "friend": (phrase("the friend"), "referred"),
    "expiring": (phrase("what expires"), "expiring"),
}


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
    steps = read_steps(reader)
    _check_placeholders(reader, steps, trigger)
    if trigger is not None:
        check_points(reader, once_each(steps), given_by(trigger))
    _check_purpose(reader, steps)
    _check_topic(reader)
    _check_budget(reader, steps)
    send = _send(reader, steps) if _is_shaped(reader, "send") else Send()
    active = _active(reader) if _is_shaped(reader, "active") else Active()
    check_never(reader, steps, active, send)
    holdout = parse_share(data["holdout"]) if _is_shaped(reader, "holdout") else 0
    check_holdout(reader, holdout)
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
        limits=_limits(reader, trigger),
        holdout=holdout,
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
            phrase(
                '"trigger" holds {count} words ({words}); a rule has exactly one trigger',
                count=len(words),
                words=listed(words),
            ),
            "one-trigger",
            key=True,
            hint=phrase("keep one, and put the other into a rule of its own"),
        )
        return None
    if not data:
        hint = phrase("write one of: {words}", words=listed(TRIGGERS))
        place.problem(phrase('"trigger" is empty'), "one-trigger", key=True, hint=hint)
        return None
    if not words:
        return None
    word = place.under(words[0])
    shape = rule_schema()["properties"]["trigger"]["properties"][words[0]]
    return TRIGGERS[words[0]].read(word) if word.is_shaped(shape) else None


def _check_placeholders(reader: Reader, steps: Iterable[Step], trigger: Any) -> None:
    """A template that shows an order, a rating, a friend ... needs a trigger that fires on one."""
    for step in once_each(steps):
        if isinstance(step.settings, Webhook):
            _check_told(reader.under(*step.at, step.word, "values"), step.settings, trigger)
        template = reader.around.templates.get(getattr(step.settings, "template", ""))
        if template is None or trigger is None:
            continue
        given = given_by(trigger)
        for name, (shown, fires) in _FIRED.items():
            if name not in given and (where := what_shows(template, step, name)):
                reader.under(*step.at, *where[1]).problem(
                    phrase("{what} shows {shown}, and this trigger fires on none", what=where[0], shown=shown),
                    f"no-{name}",
                    hint=phrase("use the trigger {trigger}, or another template", trigger=fires),
                )


def _check_told(place: Reader, webhook: Webhook, trigger: Any) -> None:
    for index, value in enumerate(webhook.values if trigger is not None else ()):
        name = value.partition(".")[0]
        if name in _FIRED and name not in given_by(trigger):
            said = phrase("this trigger fires on no {name}, so there is no {value}", name=name, value=value)
            place.under(index).problem(said, f"no-{name}")


def _purpose(data: Mapping[str, Any]) -> Purpose:
    return "service" if data.get("purpose") == "service" else "marketing"


def _check_purpose(reader: Reader, steps: Iterable[Step]) -> None:
    data = reader.data
    if _purpose(data) != "service" or "because" in data:
        return
    for step in once_each(steps):
        if isinstance(step.settings, Coupon):
            reader.under(*step.at, "coupon").problem(
                phrase("an offer is marketing, and this rule says it is service"),
                "offer-in-service",
                key=True,
                hint=phrase('leave "purpose: service" out, or say why in "because:"'),
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
    for channel in sorted({step.settings.channel for step in steps} - {None}):
        hours = reader.around.config.hours[channel]
        if windows_meet(hours, send.between, send.on):
            check_law(reader, channel, send)
        else:
            reader.under("send").problem(
                phrase(
                    '"send" and the hours for {channel} in config/regulars.yaml ({hours}) never meet',
                    channel=channel,
                    hours=hours,
                ),
                "never-open",
                key=True,
                hint=phrase("nothing could ever go out"),
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
            phrase(
                '"until" ({until}) lies before "from" ({since}): the rule is never active', until=until, since=since
            ),
            "empty-range",
        )
    return Active(since=since, until=until)


def _limits(reader: Reader, trigger: Any) -> Limits:
    given = reader.data.get("limits", {})
    again = Duration.parse(given["again_after"]) if "again_after" in given else trigger.again_after
    budget = {kind: Budget.parse(given["budget"][kind]) for kind in KINDS if kind in given.get("budget", {})}
    limits = Limits(again_after=again, max_matches=given.get("max_matches"), budget=budget)
    check_whole(reader, limits)
    return limits


def _check_budget(reader: Reader, steps: Iterable[Step]) -> None:
    """What a coupon is worth must be known where there is a budget for it, the rule's own or the home's."""
    limits = reader.data.get("limits")
    budget = limits.get("budget") if isinstance(limits, Mapping) else None
    own = isinstance(budget, Mapping) and "coupon_value" in budget
    if not own and "coupon_value" not in reader.around.config.limits.budget:
        return
    for step in once_each(steps):
        offer = reader.around.offers.get(getattr(step.settings, "offer", ""))
        if isinstance(step.settings, Coupon) and offer is not None and offer.worth is None:
            reader.under(*step.at, "coupon").problem(
                phrase('nobody says what the offer "{offer}" is worth, and there is a budget for it', offer=offer.key),
                "no-worth",
                key=True,
                hint=phrase('add "worth:" to it in config/offers.yaml: what it costs you when it is used'),
            )


def same_ids(rules: Iterable[tuple[Document, str]]) -> list[Problem]:
    """Find rules that share an id, under which is remembered what was sent: nobody knows which is the right one."""
    sharing: dict[str, list[Document]] = {}
    for document, rule_id in rules:
        sharing.setdefault(rule_id, []).append(document)
    return [
        document.problem(
            ("id",),
            phrase(
                'the id "{rule}" also stands in {files}',
                rule=rule_id,
                files=listed(each.shown for each in documents if each is not document),
            ),
            "same-id",
            hint=phrase("give a copied rule an id of its own; until then none of them runs"),
        )
        for rule_id, documents in sharing.items()
        if len(documents) > 1
        for document in documents
    ]
