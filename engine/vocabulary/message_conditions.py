"""Conditions on what the guest got: coupons and messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, and_, func, or_, select

from engine.database import belonging
from engine.database.tables import coupons, dispatches, rules
from engine.language.phrases import Phrase, listed, phrase
from engine.vocabulary.activity_conditions import Happened, of_guest
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope


def _names_schema(about: Phrase) -> JsonSchema:
    return {
        "type": ["string", "array"],
        "minItems": 1,
        "items": {"type": "string"},
        "description": about,
    }


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


@dataclass(frozen=True)
class Coupons(Happened):
    """How many coupons."""

    about: ClassVar[str] = phrase("How many coupons the guest was given; state says which, and what the period is of.")
    noun: ClassVar[Phrase] = phrase("coupons")
    example: ClassVar[str] = "coupons:\n  state: live\n  at_least: 1"
    offers: tuple[str, ...] = ()
    state: str = "issued"

    @classmethod
    def more(cls) -> dict[str, JsonSchema]:
        """Which coupons."""
        states = phrase(
            "issued (if left out): every one that was given; live: still to be used; redeemed; expired; revoked."
        )
        return {
            "offer": _names_schema(phrase("Only coupons of this offer of config/offers.yaml, or of these.")),
            "state": {
                "type": "string",
                "enum": ["issued", "live", "redeemed", "expired", "revoked"],
                "x-also": {"used": "redeemed", "open": "live", "valid": "live", "unused": "live", "sent": "issued"},
                "description": states,
            },
        }

    @classmethod
    def asked(cls, reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read which are meant; an unknown offer is a problem."""
        offers = _listed(data["offer"]) if "offer" in data else ()
        for offer in offers:
            reader.under("offer").known(
                phrase("offer"), offer, reader.around.offers, "unknown-offer", phrase("config/offers.yaml has")
            )
        return {"offers": offers, "state": data.get("state", "issued")}

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Count coupons."""
        c, now = coupons.alias("cp").c, scope.as_of
        unused = and_(
            c.issued_at <= now,
            or_(c.redeemed_at.is_(None), c.redeemed_at > now),
            or_(c.revoked_at.is_(None), c.revoked_at > now),
        )
        meant = {
            "issued": (c.issued_at.is_not(None), c.issued_at),
            "live": (and_(unused, or_(c.valid_until.is_(None), c.valid_until > now)), c.issued_at),
            "redeemed": (c.redeemed_at.is_not(None), c.redeemed_at),
            "expired": (and_(unused, c.valid_until <= now), c.valid_until),
            "revoked": (c.revoked_at.is_not(None), c.revoked_at),
        }
        test, at = meant[self.state]
        tests = [c.customer_id == scope.facts.c.customer_id, test, *self.period.where_at(scope, at)]
        if self.offers:
            tests.append(c.offer.in_(self.offers))
        return of_guest(scope, select(func.count(c.id)).where(*tests))

    def sentence(self) -> Phrase:
        """Say it in English."""
        states = {
            "issued": phrase("coupons"),
            "live": phrase("live coupons"),
            "redeemed": phrase("redeemed coupons"),
            "expired": phrase("expired coupons"),
            "revoked": phrase("revoked coupons"),
        }
        what, number, when = states[self.state], self.test.sentence(), self.period.sentence()
        if not self.offers:
            return phrase("has {number} {what}{which}", number=number, what=what, which=when)
        offers = listed(self.offers, " or ")
        return phrase("has {number} {what} of {offers}{which}", number=number, what=what, offers=offers, which=when)


_HANDED_OVER = ("sent", "uncertain")
_WAITING = ("held", "pending", "claimed", "handoff")


@dataclass(frozen=True)
class Messages(Happened):
    """How many messages."""

    about: ClassVar[str] = phrase("How many messages went to the guest; state says which others are meant.")
    noun: ClassVar[Phrase] = phrase("messages")
    example: ClassVar[str] = "messages:\n  within: 30 days\n  at_most: 3"
    rules: tuple[str, ...] = ()
    channel: str | None = None
    state: str = "sent"

    @classmethod
    def more(cls) -> dict[str, JsonSchema]:
        """Which messages."""
        states = phrase(
            "sent (if left out): handed over; waiting: still to go; rejected by the provider; blocked by consent, "
            "suppression or caps; expired before it could go; cancelled; dead after too many tries."
        )
        return {
            "rule": _names_schema(phrase("Only messages of this rule, by its id, or of these.")),
            "channel": {
                "type": "string",
                "enum": ["email", "sms"],
                "x-also": {"mail": "email", "text": "sms", "phone": "sms"},
                "description": phrase("Only messages by email, or by sms."),
            },
            "state": {
                "type": "string",
                "enum": ["sent", "waiting", "rejected", "blocked", "expired", "cancelled", "dead"],
                "x-also": {"pending": "waiting", "queued": "waiting", "held": "waiting", "failed": "rejected"},
                "description": states,
            },
        }

    @classmethod
    def asked(cls, reader: Reader, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read which are meant."""
        if "rule" in data:
            reader.under("rule").names("rule")
        return {
            "rules": _listed(data["rule"]) if "rule" in data else (),
            "channel": data.get("channel"),
            "state": data.get("state", "sent"),
        }

    @property
    def reads_outbox(self) -> bool:
        """Tell whether messages are meant that did not go: a run writes such, and sends none."""
        return self.state != "sent"

    def number(self, scope: Scope) -> ColumnElement[Any]:
        """Count messages."""
        message, rule = dispatches.alias("dm"), rules.alias("dr")
        c, guest = message.c, scope.facts.c.customer_id
        states = {"sent": _HANDED_OVER, "waiting": _WAITING}.get(self.state, (self.state,))
        moments = {"sent": c.handed_at, "waiting": None}
        at = moments.get(self.state, c.finished_at)
        tests = [
            c.customer_id == guest if self.state == "sent" else belonging.of_guest(guest, c),
            c.channel.in_((self.channel,) if self.channel else ("email", "sms")),
            c.state.in_(states),
        ]
        if self.state == "sent":
            tests.append(c.endpoint_id.is_not(None))  # without one it went to the staff
        # What waits has no moment of its own yet: a period counts by when it is due.
        tests.extend(self.period.where_at(scope, at) if at is not None else self._due(scope, c.due_at))
        if self.rules:
            its = select(rule.c.id).where(rule.c.rule.in_(self.rules))
            tests.append(c.rule_id.in_(its))
        return of_guest(scope, select(func.count(c.id)).where(*tests))

    def _due(self, scope: Scope, due_at: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        return self.period.where_at(scope, due_at) if self.period else []

    def sentence(self) -> Phrase:
        """Say it in English."""
        said = {
            "sent": phrase("was sent {number} messages", number=self.test.sentence()),
            "waiting": phrase("has {number} messages waiting", number=self.test.sentence()),
        }.get(self.state) or phrase(
            "has {number} messages that are {state}", number=self.test.sentence(), state=self.state
        )
        which: list[Phrase] = []
        if self.channel:
            which.append(phrase(" by {channel}", channel=self.channel))
        if self.rules:
            which.append(phrase(" of the rule {names}", names=listed(self.rules, " or ")))
        return listed([said, *which, self.period.sentence()], "")
