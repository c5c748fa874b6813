"""The trigger ``tier_changed``: the guest rose to another tier, or fell to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Self

from sqlalchemy import CTE, and_, func, select

from engine.database.packed import values_cte
from engine.database.sql import in_turn
from engine.database.tables import tier_changes
from engine.language.phrases import Phrase, listed, phrase
from engine.language.textkey import text_key
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema, TextTest, text_tests
from engine.vocabulary.occasions import Candidates, firing_days, of_day
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import late_setting, stays_open

_LATE: Final = "7 days"
_COLUMNS: Final = ("zone_id", "key", "occasion", "closes", "expired")
_DIRECTIONS: Final = {"up": phrase("rose"), "down": phrase("fell")}


@dataclass(frozen=True)
class TierChanged:
    """The tier changed."""

    about: ClassVar[str] = phrase(
        "The guest's tier changed: worked out by config/loyalty.yaml, else as the customers' file says."
    )
    once_for: ClassVar[Phrase] = phrase("day of the change")
    open_for: ClassVar[Phrase] = phrase("for 7 days")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "tier_changed:\n  to: gold"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset()
    again_after: ClassVar[Duration | None] = None
    to: TextTest | None
    since: TextTest | None  #: ``from``
    direction: Literal["up", "down"] | None
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """To which tier, from which, and which way."""
        tier = text_tests(phrase("tier"))
        return {
            "type": ["string", "array", "object", "null"],
            "minLength": 1,
            "items": {"type": "string"},
            "minItems": 1,
            "additionalProperties": False,
            "x-also": {"into": "to", "tier": "to", "before": "from", "upgrade": "direction", "downgrade": "direction"},
            "description": cls.about,
            "properties": {
                "to": tier | {"description": phrase("The tier after the change; any, or none at all, if left out.")},
                "from": tier | {"description": phrase("The tier before it; any, or none at all, if left out.")},
                "direction": {
                    "type": "string",
                    "enum": list(_DIRECTIONS),
                    "x-also": {"upgrade": "up", "downgrade": "down"},
                    "description": phrase(
                        "Only up or only down; for tiers of config/loyalty.yaml, which have an order."
                    ),
                },
                **late_setting(_LATE),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``gold``, a list or the settings."""
        given = reader.settings("to")
        to, since = (TextTest.read(given[word]) if word in given else None for word in ("to", "from"))
        if to is not None and since is not None and _one_tier(to) is not None and _one_tier(to) == _one_tier(since):
            said = phrase('"from" and "to" are the same tier: no guest ever changes so')
            reader.under("to").problem(said, "empty-range")
        tiers = reader.around.loyalty.tiers
        if tiers is not None:
            names = {text_key(level.key): level for level in tiers.levels}
            for word, test in (("to", to), ("from", since)):
                place = reader.under(word) if isinstance(reader.data, dict) else reader
                for name in () if test is None else (*(test.wanted or ()), *test.unwanted):
                    if "*" not in name and text_key(name) not in names:
                        where = phrase("config/loyalty.yaml has")
                        place.known(phrase("tier"), text_key(name), names, "unknown-tier", where)
        for word in ("to", "from") if tiers is None else ():
            if word in given:
                reader.setting(word).names("tier")
        if tiers is None and "direction" in given and reader.around.loyalty.sound:
            reader.under("direction").problem(
                phrase('which tier is the higher one is known only of the "tiers" in config/loyalty.yaml'),
                "no-tiers",
                key=True,
                hint=phrase('write them there, or name the tiers here with "to" and "from"'),
            )
        return cls(to, since, given.get("direction"), stays_open(reader, given, default=_LATE))

    def candidates(self, scope: Scope) -> Candidates:
        """One row a change; the occasion is its day, or the one on which it lay before a file of older orders came."""
        days, change, facts = self._days(scope), tier_changes.alias("change"), scope.facts
        where = [change.c.customer_id == facts.c.customer_id]
        if self.to is not None:
            where.append(self.to.sql(change.c.to_key))
        if self.since is not None:
            where.append(self.since.sql(change.c.from_key))
        if self.direction is not None:
            where.append(change.c.kind == self.direction)
        same = and_(days.c.zone_id == facts.c.zone_id, days.c.key == change.c.day)
        return Candidates(
            source=in_turn(scope.guest().join(change, and_(*where)), days, same),
            where=(change.c.day.in_(select(days.c.key)),),
            occasion=func.coalesce(change.c.occasion, days.c.occasion),
            closes=days.c.closes,
            expired=days.c.expired,
        )

    def _days(self, scope: Scope) -> CTE:
        rows: list[tuple[int, ...]] = []
        for zone in scope.zones:
            for day, expired in firing_days(scope, zone, self.late.after):
                closes = int(scope.start(self.late.after(day), zone).timestamp())
                rows.append((zone.id, day.toordinal(), of_day(day), closes, int(expired)))
        return values_cte("open_changes", _COLUMNS, rows)

    def sentence(self) -> Phrase:
        """Say it in English."""
        said: list[Any] = [
            phrase("{rose} to another tier", rose=_DIRECTIONS.get(self.direction or "", phrase("changed")))
        ]
        if self.to is not None:
            said.append(phrase("to {tier}", tier=self.to.sentence()))
        if self.since is not None:
            said.append(phrase("from {tier}", tier=self.since.sentence()))
        return listed(said)


def _one_tier(test: TextTest) -> str | None:
    """Give the key of the one tier that a test wants; None where it wants several, or any of a kind."""
    wanted = {text_key(name) for name in test.wanted or ()}
    return wanted.pop() if len(wanted) == 1 and not any("*" in name for name in wanted) else None
