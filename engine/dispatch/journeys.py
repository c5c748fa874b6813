"""Rules as they were when their matches were made: a journey under way keeps its actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select

from engine.database.tables import rule_versions, rules
from engine.dispatch.budgets import Budgets
from engine.dispatch.claims import Claim
from engine.dispatch.fence import Policy, UnreadableRuleError
from engine.evaluation.register import KEPT
from engine.evaluation.stop import Kept, who_stopped, why_stopped
from engine.language.compliance import ImpliedTerms
from engine.language.config import AttributeType
from engine.language.contacts import Channel
from engine.language.document import Document
from engine.language.problems import errors
from engine.language.rule import Rule
from engine.language.times import business_day, start_of
from engine.vocabulary.conditions import read_conditions
from engine.vocabulary.home import Home
from engine.vocabulary.reading import Reader, Surroundings
from engine.vocabulary.segments import used_in
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
        kept = {name: version.body.get(name, {}) for name in KEPT}
        body = {key: value for key, value in version.body.items() if key not in KEPT}
        around = self._as_then(kept["segments"], kept["attributes"])
        then = rule_from(_document(version.path, body), around)[0]
        if then is None or not set(_segments_asked(then)) <= around.segments.keys():
            return None
        gone = {name: members for name, members in around.segments.items() if name not in self._home.segments}
        return replace(then, segments=gone)

    def _as_then(self, segments: Mapping[str, Any], attributes: Mapping[str, AttributeType]) -> Surroundings:
        """Give what the rule may name; that something has left the home since is no problem of a kept version.

        Contents and terms were fixed with the match. Segments and types of attributes were written down with the
        version. A topic that is gone is still asked about, guests have refused it; what was for a contact goes to the
        manager; a webhook has nobody to tell. The hours are asked at the fence.
        """
        around = replace(self._home.around, kept=True)
        config = replace(around.config, attributes={**around.config.attributes, **attributes})
        return self._with_segments(replace(around, config=config), {**segments, **around.segment_data})

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
    config = home.config

    @lru_cache(maxsize=8)
    def implied_on(channel: Channel, day: date) -> ImpliedTerms:
        return config.implied(channel, start_of(day, config.business.timezone, config.day_starts))

    def implied(channel: Channel, at: datetime) -> ImpliedTerms:
        """What it is worth changes with the home's day: asked for every group of messages, it is worked out once."""
        return implied_on(channel, business_day(at, config.business.timezone, config.day_starts))

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

    def stopped_among(conn: Connection, rule: Rule, claims: Sequence[Claim], at: datetime) -> set[int]:
        guests, first = [each.customer_id for each in claims], claims[0]
        how: dict[str, Any] = {"matched_at": first.matched_at, "as_of": at, "step": first.step, "kept": kept}
        off = who_stopped(conn, home, rule, guests, **how)
        return {each.id for each in claims if each.customer_id in off}

    return Policy(
        hours=dict(home.config.hours),
        limits=home.config.limits,
        day_starts=home.config.day_starts,
        rule=journeys.rule,
        why_stopped=stopped,
        who_stopped=stopped_among,
        budgets=Budgets(
            home.config.limits.budget,
            home.config.business.timezone,
            home.config.day_starts,
            home.config.business.minor_units,
        ),
        law=home.config.law,
        implied=implied,
    )


def _segments_asked(rule: Rule) -> Iterator[str]:
    """Yield the segments that are asked for while a journey is under way."""
    yield from used_in(rule.stop_if)
    for step in rule.steps:
        yield from used_in(step.only_if)


def _document(shown: str, data: Mapping[str, Any]) -> Document:
    """Give plain data as a document: it was read from a file once, and problems are not shown to anybody."""
    return Document(shown, "", dict(data), (), {}, {})
