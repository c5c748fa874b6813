"""The trigger ``expiring``: something of the guest runs out. Several things at once are one match.

Its occasion is the first of them to run out, and a template has them all. ``WHAT`` is the registry of what can run out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol, Self

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)

from engine.database.counting import unused
from engine.database.sql import EpochSeconds, least_of
from engine.database.tables import coupons, points
from engine.language.loyalty import Tiers
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration, business_day
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.expiring_tier import ExpiringTier
from engine.vocabulary.occasions import ONE_DAY, Candidates
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import DURATION, some_time

_MOST = 1_000_000_000
_LOT, _COUPON = points.alias("p"), coupons.alias("c")


class Expirable(Protocol):
    """A kind of thing that runs out."""

    def candidates(self, asked: Expiring, scope: Scope) -> Candidates:
        """SQL: guests of whom enough runs out within the time asked for, or has run out unseen."""
        ...

    def left(self, asked: Expiring, scope: Scope) -> ColumnElement[Any]:
        """SQL: how much of what the guest's match spoke of is still there to run out."""
        ...

    def items(self, asked: Expiring, scope: Scope) -> Select[Any]:
        """SQL: each of those, to be narrowed down to a guest: ``at``, ``amount``, ``name``, ``code``, ``terms``."""
        ...

    def sentence(self, asked: Expiring) -> Phrase:
        """Say what it is, to follow 'the guest has'."""
        ...


@dataclass(frozen=True)
class Expiring:
    """Something runs out."""

    about: ClassVar[str] = phrase(
        "Something of the guest runs out soon: points, a coupon that has not been redeemed, or the tier. "
        "Several at once are one message."
    )
    once_for: ClassVar[Phrase] = phrase("first thing to run out")
    open_for: ClassVar[Phrase] = phrase("until it expires")
    again_for: ClassVar[Phrase | None] = phrase("within")
    example: ClassVar[str] = "expiring:\n  what: points\n  within: 14 days\n  at_least: 50"
    absence: ClassVar[bool] = False
    ends: ClassVar[str | None] = "used"
    gives: ClassVar[frozenset[str]] = frozenset({"expiring"})
    what: str
    within: Duration
    at_least: int
    offer: str | None
    tiers: Tiers | None = None  #: of the home, for ``what: tier``

    @classmethod
    def schema(cls) -> JsonSchema:
        """What, how soon, how much, and which coupon."""
        return {
            "type": ["string", "object"],
            "additionalProperties": False,
            "required": ["what"],
            "description": cls.about,
            "properties": {
                "what": {
                    "type": "string",
                    "enum": list(WHAT),
                    "description": phrase("What runs out."),
                },
                "within": DURATION
                | {"description": phrase("When it runs out this soon, the last day included; 7 days if left out.")},
                "at_least": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _MOST,
                    "description": phrase("Only when so much runs out together: points, or coupons; 1 if left out."),
                },
                "offer": {"type": "string", "description": phrase("Only coupons of this offer of config/offers.yaml.")},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``points`` or the settings; an offer belongs to coupons."""
        given = reader.settings("what")
        what, offer = given["what"], given.get("offer")
        if (
            reader.setting("what").known(
                phrase("thing that runs out"), what, WHAT, "unknown-thing", phrase("there are")
            )
            and offer is not None
        ):
            if what != "coupon":
                reader.under("offer").problem(
                    phrase('"offer" goes with coupons, and this is about {what}', what=what),
                    "offer-of-others",
                    key=True,
                )
            reader.under("offer").known(
                phrase("offer"), offer, reader.around.offers, "unknown-offer", phrase("config/offers.yaml has")
            )
        within = some_time(reader, "within", Duration.parse(given.get("within", "7 days")), "7 days")
        if what == "tier":
            _check_tier(reader, given, within)
        return cls(what, within, given.get("at_least", 1), offer, reader.around.loyalty.tiers)

    @property
    def again_after(self) -> Duration:
        """The message told of all that runs out within this time: the next one is of what comes after."""
        return self.within

    def candidates(self, scope: Scope) -> Candidates:
        """One row a guest; the occasion is the first thing to run out."""
        return WHAT[self.what].candidates(self, scope)

    def ended(self, scope: Scope) -> ColumnElement[bool]:
        """SQL: what was about to run out has been used meanwhile, or nearly all of it."""
        return WHAT[self.what].left(self, scope) < self.at_least

    def items(self, scope: Scope) -> Select[Any]:
        """SQL: each thing that the guest's match spoke of and that is still there, as ``Expirable.items``."""
        return WHAT[self.what].items(self, scope)

    def sentence(self) -> Phrase:
        """Say it, to follow 'the guest'."""
        return phrase("has {what} within {within}", what=WHAT[self.what].sentence(self), within=self.within)

    # When: something "runs out within 7 days" from the day on whose last moment is 7 days away.

    def horizon(self, scope: Scope, at: datetime) -> ColumnElement[Any]:
        """SQL: the instant up to which things run out "within" the time, as seen at ``at``."""
        if not self.within.is_calendar:
            return bindparam(None, at + self.within.delta(), EpochSeconds(), unique=True)
        return scope.instant(f"running out {self.within}", lambda day: self.within.after(day) + ONE_DAY, at=at)

    def furthest(self, scope: Scope, at: datetime) -> datetime:
        """Give the last of those instants in any zone."""
        if not self.within.is_calendar:
            return at + self.within.delta()
        days = ((zone, business_day(at, zone.info, scope.day_starts)) for zone in scope.zones)
        return max((scope.start(self.within.after(day) + ONE_DAY, zone) for zone, day in days), default=at)


def _check_tier(reader: Reader, given: Mapping[str, Any], within: Duration) -> None:
    """A tier falls on a day, is one thing, and is known beforehand only where the home works it out."""
    if reader.around.loyalty.tiers is None and reader.around.loyalty.sound:
        reader.setting("what").problem(
            phrase('when a tier falls is known only of the "tiers" in config/loyalty.yaml'),
            "no-tiers",
            hint=phrase("write them there"),
        )
    if not within.is_calendar:
        message = phrase('"within" counts days here, not {unit}', unit=within.unit)
        reader.under("within").problem(message, "wrong-unit", hint=phrase("such as {duration}", duration="14 days"))
    if "at_least" in given:
        message = phrase('"at_least" goes with points and coupons, and this is about the tier')
        reader.under("at_least").problem(message, "at-least-of-tier", key=True)


class _Things(ABC):
    """What points and coupons share: rows with an instant at which each runs out."""

    #: The column of the instant at which a thing runs out.
    runs_out: ClassVar[ColumnElement[Any]]

    @abstractmethod
    def things(self, asked: Expiring, scope: Scope) -> Select[Any]:
        """SQL: what of the guests is not used: ``id``, ``at``, ``amount``, ``name``, ``code``, ``terms``."""

    def candidates(self, asked: Expiring, scope: Scope) -> Candidates:
        """SQL: those open, and those that opened and ran out since the rule's last evaluation."""
        now = scope.as_of
        since: ColumnElement[Any] = now
        oldest = scope.moment
        if scope.watermark is not None and scope.watermark < scope.moment:
            # What ran out is listed where its time had not begun at the last evaluation.
            since = least_of(now, asked.horizon(scope, scope.watermark))
            oldest = scope.watermark
        # Found first and by one value each, so that the index of what runs out is used.
        lately = (
            self.runs_out > bindparam("ran_out_after", oldest, EpochSeconds()),
            self.runs_out <= bindparam("runs_out_until", asked.furthest(scope, scope.moment), EpochSeconds()),
        )
        thing = self.things(asked, scope).where(*lately).cte("thing").prefix_with("MATERIALIZED")
        expired = case((thing.c.at <= now, 1), else_=0)
        together = (thing.c.customer_id, expired)
        first = func.row_number().over(partition_by=together, order_by=(thing.c.at, thing.c.id))
        running = (
            select(
                thing.c.id,
                thing.c.customer_id,
                thing.c.at,
                expired.label("expired"),
                first.label("first"),
                func.sum(thing.c.amount).over(partition_by=together).label("amount"),
            )
            .select_from(scope.guests_of(thing))
            .where(thing.c.at > since, thing.c.at <= asked.horizon(scope, scope.moment), thing.c.amount > 0)
            .subquery("running_out")
        )
        return Candidates(
            source=scope.guests_of(running),
            where=(running.c.first == 1, running.c.amount >= asked.at_least),
            occasion=running.c.id,
            closes=type_coerce(running.c.at, BigInteger),
            expired=running.c.expired,
        )

    def left(self, asked: Expiring, scope: Scope) -> ColumnElement[Any]:
        """SQL: the sum of what is left."""
        thing = self.things(asked, scope).subquery("thing")
        left = select(func.coalesce(func.sum(thing.c.amount), 0)).where(
            thing.c.customer_id == scope.facts.c.customer_id, *self._spoken_of(asked, scope, thing)
        )
        return left.correlate(scope.facts, scope.days).scalar_subquery()

    def items(self, asked: Expiring, scope: Scope) -> Select[Any]:
        """SQL: each thing that is left, the first to run out first."""
        thing = self.things(asked, scope).subquery("thing")
        return (
            select(*(thing.c[name] for name in ("at", "amount", "name", "code", "terms")))
            .select_from(scope.guest().join(thing, thing.c.customer_id == scope.facts.c.customer_id))
            .where(thing.c.amount > 0, *self._spoken_of(asked, scope, thing))
            .order_by(thing.c.at, thing.c.id)
        )

    @staticmethod
    def _spoken_of(asked: Expiring, scope: Scope, thing: Any) -> tuple[ColumnElement[bool], ...]:
        assert scope.match_at is not None, "asked only where there is a match"
        return thing.c.at > scope.as_of, thing.c.at <= asked.horizon(scope, scope.match_at)


class _Points(_Things):
    """Lots of loyalty points."""

    runs_out = _LOT.c.expires_at

    def things(self, asked: Expiring, scope: Scope) -> Select[Any]:
        """SQL: the lots of the guests' balances."""
        del asked
        lot = _LOT
        return select(
            lot.c.id,
            lot.c.customer_id,
            lot.c.expires_at.label("at"),
            unused(lot, scope.as_of).label("amount"),
            lot.c.reason.label("name"),
            cast(null(), Text).label("code"),
            cast(null(), JSON).label("terms"),
        ).where(lot.c.ledger == "points", lot.c.points > 0, lot.c.at <= scope.as_of)

    def sentence(self, asked: Expiring) -> Phrase:
        """Say what it is."""
        if asked.at_least == 1:
            return phrase("points that expire")
        return phrase("at least {number} points that expire", number=asked.at_least)


class _Coupons(_Things):
    """Coupons that nobody has redeemed yet."""

    runs_out = _COUPON.c.valid_until

    def things(self, asked: Expiring, scope: Scope) -> Select[Any]:
        """SQL: the coupons that the guests hold."""
        c = _COUPON
        tests = [
            c.c.code.is_not(None),
            c.c.issued_at <= scope.as_of,
            or_(c.c.redeemed_at.is_(None), c.c.redeemed_at > scope.as_of),
            or_(c.c.revoked_at.is_(None), c.c.revoked_at > scope.as_of),
        ]
        if asked.offer is not None:
            tests.append(c.c.offer == asked.offer)
        return select(
            c.c.id,
            c.c.customer_id,
            c.c.valid_until.label("at"),
            literal(1).label("amount"),
            c.c.offer.label("name"),
            c.c.code,
            c.c.terms,
        ).where(*tests)

    def sentence(self, asked: Expiring) -> Phrase:
        """Say what it is."""
        if asked.offer is not None and asked.at_least == 1:
            return phrase('a coupon "{offer}" that expires', offer=asked.offer)
        if asked.offer is not None:
            return phrase('at least {number} coupons "{offer}" that expire', number=asked.at_least, offer=asked.offer)
        if asked.at_least == 1:
            return phrase("a coupon that expires")
        return phrase("at least {number} coupons that expire", number=asked.at_least)


#: What can run out.
WHAT: Final[dict[str, Expirable]] = {"points": _Points(), "coupon": _Coupons(), "tier": ExpiringTier()}
