"""The trigger ``referred``: a guest whom this one brought has ordered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Self

from sqlalchemy import and_, func, not_, select

from engine.database.counting import counts
from engine.database.tables import customers, orders
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.occasions import Candidates, exactly, open_instants
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import exact_stay, late_setting, later


@dataclass(frozen=True)
class Referred:
    """A friend whom the guest referred has ordered."""

    about: ClassVar[str] = phrase(
        "A friend whom the guest referred has ordered so many times; it is the guest who is written to."
    )
    once_for: ClassVar[Phrase] = phrase("friend")
    open_for: ClassVar[Phrase] = phrase("7 days, or late")
    again_for: ClassVar[Phrase | None] = None
    example: ClassVar[str] = "referred:\n  orders: 1"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = None
    gives: ClassVar[frozenset[str]] = frozenset({"friend"})
    again_after: ClassVar[Duration | None] = None
    orders: int
    late: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """How many orders of the friend, and how long it is answered."""
        count: JsonSchema = {"minimum": 1, "maximum": 1_000_000}
        return {
            "type": ["integer", "object", "null"],
            **count,
            "additionalProperties": False,
            "description": cls.about,
            "properties": {
                "orders": {
                    "type": "integer",
                    **count,
                    "description": phrase("When the friend has placed this many orders; 1 if left out."),
                },
                **late_setting("7 days"),
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``1`` or the settings."""
        given = reader.settings("orders")
        return cls(given.get("orders", 1), exact_stay(reader, given, "late", "7 days"))

    def candidates(self, scope: Scope) -> Candidates:
        """One row a friend; the occasion is the friend. Nobody refers to oneself."""
        facts, order = scope.facts, orders.alias("o")
        friend, guest = customers.alias("friend"), customers.alias("guest")
        named = and_(guest.c.source == friend.c.source, guest.c.external_id == friend.c.referred_by)
        earlier = orders.alias("e")
        so_far = (
            select(func.count(earlier.c.id))
            .where(
                earlier.c.customer_id == order.c.customer_id,
                counts(earlier, scope.as_of),
                not_(later(earlier, order)),
            )
            .correlate(order)
            .scalar_subquery()
        )
        source = (
            scope.guest()
            .join(guest, guest.c.id == facts.c.customer_id)
            .join(friend, named)
            .join(order, order.c.customer_id == friend.c.id)
        )
        return exactly(
            source,
            order.c.ordered_at,
            open_instants(scope, ago=timedelta(0), stays_open=self.late),
            occasion=friend.c.id,
            where=(
                friend.c.erased_at.is_(None),
                friend.c.id != guest.c.id,
                counts(order, scope.as_of),
                so_far == self.orders,
            ),
            friend_id=friend.c.id,
        )

    def sentence(self) -> Phrase:
        """Say it, to follow 'the guest'."""
        if self.orders == 1:
            return phrase("has referred a friend who has placed the first order")
        return phrase("has referred a friend who has placed {count} orders", count=self.orders)
