"""The trigger ``enters``: in a segment now, and not at the rule's last evaluation. One query at two times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, false, literal, or_, select

from engine.database.facts import facts_select
from engine.database.sql import EpochSeconds
from engine.database.tiers import edges_on
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration, business_day
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.conditions import Segment, all_hold, compare
from engine.vocabulary.occasions import Candidates, of_day
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import late_setting, stays_open


@dataclass(frozen=True)
class Enters:
    """A guest comes into a segment."""

    about: ClassVar[str] = phrase(
        "The guest is in this segment of config/segments.yaml, and was not when the rule was last checked; "
        "the first time it is checked nobody enters."
    )
    once_for: ClassVar[Phrase] = phrase("day")
    open_for: ClassVar[Phrase] = phrase("that day and the next")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "enters: regulars"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    segment: Segment
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """The segment's name, and how long it stays open."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["segment"],
            "description": cls.about,
            "properties": {
                "segment": {"type": "string", "description": phrase("The segment's name in config/segments.yaml.")},
                **late_setting(),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the segment's name, or the settings."""
        given = reader.settings("segment")
        return cls(Segment.read(reader.setting("segment")), stays_open(reader, given))

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest who came in since the watermark; the occasion is the business day.

        Without a watermark nobody comes in: nothing is known of before, and everybody inside would get the message.
        """
        came_in: ColumnElement[bool] = false()
        if scope.watermark is not None and scope.watermark < scope.moment:
            came_in = scope.facts.c.customer_id.in_(self._came_in(scope, scope.watermark))
        return Candidates(
            source=scope.guest(),
            where=(came_in,),
            occasion=scope.number("yyyymmdd", of_day),
            closes=scope.instant(f"late {self.late}", self.late.after),
            expired=literal(0),
        )

    def _came_in(self, scope: Scope, watermark: datetime) -> Select[Any]:
        inside = (
            select(scope.facts.c.customer_id)
            .select_from(scope.guest())
            .where(self.segment.sql(scope))
            .cte("inside")
            .prefix_with("MATERIALIZED")
        )
        before = bindparam("as_of_then", watermark, EpochSeconds())
        only = None if compare([self.segment], scope.segments) else select(inside.c.customer_id)
        facts = facts_select(before, only, scope.plan, _edges_then(scope, watermark)).cte("facts_then")
        facts = facts.prefix_with("MATERIALIZED")
        then = scope.earlier(watermark, facts.alias("f_then"), facts)
        guest = then.facts.c
        was_inside = (
            select(guest.customer_id)
            .select_from(then.guest())
            # Who joined since was no guest then, whatever holds of a guest of whom nothing is known.
            .where(or_(guest.joined_at.is_(None), guest.joined_at <= then.as_of), all_hold([self.segment], then))
            .add_cte(then.days_table())
        )
        return select(inside.c.customer_id).where(inside.c.customer_id.not_in(was_inside))

    def sentence(self) -> Phrase:
        """Say it, to follow 'the guest'."""
        return phrase('has come into the segment "{name}"', name=self.segment.name)


def _edges_then(scope: Scope, watermark: datetime) -> BindParameter[str] | None:
    """Give from which days on orders counted towards tiers at the watermark, zone by zone."""
    if scope.plan is None:
        return None
    todays = {zone.id: business_day(watermark, zone.info, scope.plan.day_starts) for zone in scope.zones}
    return edges_on(scope.plan, "edges_then", todays)
