"""The trigger ``event``: something with a name happened to a guest, at a store, or to all (rain, leftovers)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Self

from sqlalchemy import CTE, ColumnElement, and_, func, select, union_all

from engine.database.packed import values_cte
from engine.database.sql import unindexed
from engine.database.tables import events
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.event_conditions import EventTest
from engine.vocabulary.occasions import Candidates, OpenDays, exactly, open_days, open_instants
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import DURATION, late_setting, stay_after, then

_STAYS_OPEN = "3 days"


@dataclass(frozen=True)
class Event:
    """A named event."""

    about: ClassVar[str] = phrase(
        "An event of this name happened to the guest: a row of an events file, or `regulars event`. One with only a "
        "store is for each guest of that store, one with neither guest nor store for every guest."
    )
    once_for: ClassVar[Phrase] = phrase("event and guest")
    open_for: ClassVar[Phrase] = phrase("3 days, or late")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "event:\n  name: tasting\n  where:\n    drink: espresso\n  ago: 1 day"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset({"event"})
    again_after: ClassVar[Duration | None] = None
    event: EventTest
    ago: Duration
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """The name, tests on its data, how long ago, and how long it is answered."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["name"],
            "description": cls.about,
            "properties": {
                **EventTest.schema(),
                "ago": DURATION | {"description": phrase("This long after the event; at once if left out.")},
                **late_setting(_STAYS_OPEN),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the name, or the settings."""
        given = reader.settings("name")
        event = EventTest.read(reader) if reader.setting("name") != reader else EventTest.of_name(reader)
        ago = Duration.parse(given.get("ago", "0 minutes"))
        return cls(event, ago, stay_after(ago, reader, given, _STAYS_OPEN))

    def candidates(self, scope: Scope) -> Candidates:
        """One row an event and guest; the occasion is the event."""
        if not self.ago.is_calendar:
            instants = open_instants(scope, ago=self.ago.delta(), stays_open=self.late)
            whom = self._whom(scope, instants.hold(events.c.at))
            return exactly(
                scope.guests_of(whom),
                whom.c.at,
                instants,
                occasion=whom.c.id,
                where=(),
                event_id=whom.c.id,
                store_id=whom.c.store_id,
            )
        days = open_days(scope, opens=self.ago.after, first=self.ago.latest, closes=then(self.ago, self.late))
        whom = self._whom(scope, days.may_hold(events.c.at))
        lasts = _lasts(scope, days)
        of_day = and_(lasts.c.zone_id == scope.facts.c.zone_id, whom.c.at >= lasts.c.begins, whom.c.at < lasts.c.ends)
        opened = and_(days.c.zone_id == lasts.c.zone_id, days.c.key == lasts.c.day)
        return Candidates(
            source=scope.guests_of(whom).join(lasts, of_day).join(days.table, opened),
            where=(),
            occasion=whom.c.id,
            closes=days.c.closes,
            expired=days.c.expired,
            event_id=whom.c.id,
            store_id=whom.c.store_id,
        )

    def _whom(self, scope: Scope, lately: tuple[ColumnElement[bool], ...]) -> CTE:
        """SQL: ``whom(id, at, store_id, customer_id)``, each event with each guest whom it is for."""
        asked = (events.c.at <= scope.as_of, *lately, *self.event.sql(events))
        happened = (
            select(events.c.id, events.c.at, events.c.store_id, events.c.customer_id)
            .where(*asked)
            .cte("happened")
            .prefix_with("MATERIALIZED")
        )
        guest = scope.everyone.alias("guest")
        what, nobody = (happened.c.id, happened.c.at, happened.c.store_id), happened.c.customer_id.is_(None)
        of_store = select(*what, guest.c.customer_id).join_from(
            happened,
            guest,
            guest.c.store_id == unindexed(happened.c.store_id),
        )
        of_all = and_(nobody, happened.c.store_id.is_(None))
        everywhere = select(*what, guest.c.customer_id).join_from(happened, guest, of_all)
        # Asked once, and first: without such an event no guest is looked at. An EXISTS would become a join.
        such = happened.alias("such")
        of_all_at_all = select(func.count()).where(such.c.customer_id.is_(None), such.c.store_id.is_(None))
        any_at_all = of_all_at_all.scalar_subquery() > 0
        whom = union_all(
            select(*what, happened.c.customer_id).where(happened.c.customer_id.is_not(None)),
            of_store.where(nobody),
            everywhere.where(any_at_all),
        )
        return whom.cte("whom").prefix_with("MATERIALIZED")

    def sentence(self) -> Phrase:
        """Say it, to follow 'the guest'."""
        if self.ago.is_calendar or self.ago.delta():
            return phrase("had an event{which}, {ago} ago", which=self.event.sentence(), ago=self.ago)
        return phrase("has an event{which}", which=self.event.sentence())


def _lasts(scope: Scope, days: OpenDays) -> CTE:
    """Give ``lasts(zone_id, day, begins, ends)``: from which instant to which each open day lasts, zone by zone."""

    def rows() -> Iterator[tuple[int, ...]]:
        for zone in scope.zones:
            for day in range(days.since.toordinal(), days.until.toordinal() + 1):
                begins, ends = (scope.start(date.fromordinal(each), zone) for each in (day, day + 1))
                yield zone.id, day, int(begins.timestamp()), int(ends.timestamp())

    return values_cte("lasts", ("zone_id", "day", "begins", "ends"), list(rows()))
