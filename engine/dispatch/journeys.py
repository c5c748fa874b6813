"""Rules as they were when their matches were made: a journey under way keeps its actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from engine.database.tables import contents, rule_versions, rules
from engine.dispatch.budgets import Budgets
from engine.dispatch.claims import Claim
from engine.dispatch.fence import Policy, UnreadableRuleError
from engine.evaluation.stop import Kept, why_stopped
from engine.language.config import Contact, WebhookConfig
from engine.language.document import Document
from engine.language.offers import Offer
from engine.language.problems import errors
from engine.language.rule import Rule
from engine.language.templates import Template
from engine.language.times import Duration, Hours
from engine.vocabulary.conditions import read_conditions
from engine.vocabulary.home import Home
from engine.vocabulary.reading import Reader, Surroundings
from engine.vocabulary.validate import rule_from


class Journeys:
    """Gives the rule of a version; each is read once."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._read: dict[int, Rule | None] = {}

    def rule(self, conn: Connection, version_id: int) -> Rule:
        """Give the rule as it was at that version. Raises ``UnreadableRuleError``."""
        if version_id not in self._read:
            self._read[version_id] = self._rule(conn, version_id)
        rule = self._read[version_id]
        if rule is None:
            raise UnreadableRuleError
        return rule

    def _rule(self, conn: Connection, version_id: int) -> Rule | None:
        version = conn.execute(
            select(rule_versions.c.content_hash, rule_versions.c.body, rules.c.rule, rules.c.path)
            .join(rules, rules.c.id == rule_versions.c.rule_id)
            .where(rule_versions.c.id == version_id)
        ).one()
        for rule in self._home.rules:
            if rule.id == version.rule and rule.version_hash == version.content_hash:
                return rule
        body = {key: value for key, value in version.body.items() if key != "segments"}
        around = self._as_then(conn, body, version.body.get("segments", {}))
        then = rule_from(_document(version.path, body), around)[0]
        gone = {name: members for name, members in around.segments.items() if name not in self._home.segments}
        return None if then is None else replace(then, segments=gone)

    def _as_then(self, conn: Connection, body: Mapping[str, Any], segments: Mapping[str, Any]) -> Surroundings:
        """Give what the rule may name, with stand-ins for what has left the home since.

        Contents and terms were fixed with the match: of templates and offers only the names are asked for here.
        ``segments`` were written down with the version. A topic that is gone is still asked about, guests have refused
        it; what was for a contact goes to the manager; a webhook has nobody to tell. The hours are asked at the fence.
        """
        around = self._home.around
        used = set(_named(body, "template"))
        rows = conn.execute(
            select(contents.c.template, contents.c.files).where(contents.c.template.in_(used)).order_by(contents.c.id)
        )
        files: dict[str, dict[str, str]] = {}
        for row in rows:  # the version of the match is among them: what it had, one of them has
            files.setdefault(row.template, {}).update(row.files)
        then = {name: Template(name, texts) for name, texts in files.items()}
        calendar = around.calendar.with_names(_festival_of(body))
        offers = {name: _stand_in(name) for name in _named(body, "offer")}
        around = self._with_segments(around, {**segments, **around.segment_data})
        config, to = around.config, dict.fromkeys(_named(body, "to"))
        nobody, nothing = Contact(None, None, None), WebhookConfig("file", None, None)
        config = replace(
            config,
            topics=(*config.topics, *([body["topic"]] if "topic" in body else [])),
            contacts={**dict.fromkeys(to, nobody), **config.contacts},
            webhooks={**dict.fromkeys(to, nothing), **config.webhooks},
            hours={channel: Hours.parse("00:00-24:00") for channel in config.hours},
        )
        return replace(
            around,
            config=config,
            templates={**around.templates, **then},
            offers={**around.offers, **offers},
            calendar=calendar,
        )

    def _with_segments(self, around: Surroundings, data: Mapping[str, Any]) -> Surroundings:
        """Read the segments that a version has kept and that the home has no more."""
        names = replace(around, segments=dict.fromkeys(data, ()))
        read: dict[str, tuple[Any, ...]] = {}
        for name, conditions in data.items():
            reader = Reader(_document("config/segments.yaml", conditions), names)
            members = read_conditions(reader)
            if not errors(reader.problems):
                read[name] = members
        return replace(around, segments={**read, **around.segments})


def policy_of(home: Home, journeys: Journeys) -> Policy:
    """Give what the fence asks of this home."""
    kept: Kept = {}

    def stopped(conn: Connection, rule: Rule, claim: Claim, at: datetime) -> str | None:
        return why_stopped(
            conn,
            home,
            rule,
            customer_id=claim.customer_id,
            matched_at=claim.matched_at,
            as_of=at,
            step=claim.step,
            kept=kept,
        )

    return Policy(
        hours=dict(home.config.hours),
        limits=home.config.limits,
        day_starts=home.config.day_starts,
        rule=journeys.rule,
        why_stopped=stopped,
        budgets=Budgets(
            home.config.limits.budget,
            home.config.business.timezone,
            home.config.day_starts,
            home.config.business.minor_units,
        ),
        law=home.config.law,
        implied=home.config.implied,
    )


def _named(body: Mapping[str, Any], setting: str) -> Iterator[str]:
    """Give what the actions name under ``setting``; a plain value stands for the first setting."""
    yield from _named_in(body.get("actions", ()), setting)


def _named_in(steps: Sequence[Mapping[str, Any]], setting: str) -> Iterator[str]:
    first = {"coupon": "offer", "webhook": "to"}
    for step in steps:
        for word, settings in step.items():
            if word == "split":
                for branch in settings.values():
                    yield from _named_in(branch["actions"], setting)
            elif isinstance(settings, Mapping) and setting in settings:
                yield settings[setting]
            elif isinstance(settings, str) and first.get(word, "template") == setting and word not in {"wait", "tag"}:
                yield settings


def _festival_of(body: Mapping[str, Any]) -> list[str]:
    """Give the festival that the trigger names, if it does."""
    settings = body["trigger"].get("festival")
    name = settings.get("name") if isinstance(settings, Mapping) else settings
    return [] if name is None else [name]


def _document(shown: str, data: Mapping[str, Any]) -> Document:
    """Give plain data as a document: it was read from a file once, and problems are not shown to anybody."""
    return Document(shown, "", dict(data), (), {}, {})


def _stand_in(name: str) -> Offer:
    return Offer(name, name, "item", None, name, Duration.parse("1 day"), None, (), None, worth=1)
