"""The registry of triggers: one class a word.

A trigger is a pure function of the data and ``as_of``: it gives each candidate's occasion and when it closes. A guest
is a candidate while ``opens <= as_of < closes``. What opened after the rule's watermark and has closed unseen comes as
``expired``: it is listed, not sent.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration
from engine.vocabulary.absences import AtRisk, Lapsed
from engine.vocabulary.comparisons import JsonSchema
from engine.vocabulary.entering import Enters
from engine.vocabulary.expiring import Expiring
from engine.vocabulary.festivals import Festival
from engine.vocabulary.firings import Joined, Ordered
from engine.vocabulary.happenings import Event
from engine.vocabulary.occasions import Candidates
from engine.vocabulary.periods import Every, OnDate
from engine.vocabulary.ratings import LowRating, Rated
from engine.vocabulary.reached import Reached
from engine.vocabulary.reading import Reader
from engine.vocabulary.referrals import Referred
from engine.vocabulary.returns import Anniversary, Birthday
from engine.vocabulary.scope import Scope
from engine.vocabulary.tier_changed import TierChanged


class Trigger(Protocol):
    """What makes a guest a candidate."""

    about: ClassVar[str]  #: one sentence for the reference page and the editor's hover
    once_for: ClassVar[Phrase]  #: what fires once, to follow "once for each": "last order"
    open_for: ClassVar[Phrase]  #: until when it stays open: "until up_to"
    again_for: ClassVar[Phrase | None]  #: the default of again_after in words
    example: ClassVar[str]  #: YAML, as it stands under ``trigger``
    absence: ClassVar[bool]  #: needs fresh data
    #: Why a journey ends by itself, as ``came_back``: such a trigger has ``ended(scope)``, SQL of whether it has.
    ends: ClassVar[str | None]
    gives: ClassVar[frozenset[str]]  #: what its templates see of what fired: order, rating, event, friend, expiring

    @property
    def again_after(self) -> Duration | None:
        """The default of ``limits: again_after``."""
        ...

    @classmethod
    def schema(cls) -> JsonSchema:
        """Give the JSON Schema of the settings."""
        ...

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read settings whose shape is right; problems of meaning are noted with the reader."""
        ...

    def candidates(self, scope: Scope) -> Candidates:
        """SQL: who is open now, or has closed unseen."""
        ...

    def sentence(self) -> Phrase:
        """Say it in English, to follow 'the guest'."""
        ...


TRIGGERS: dict[str, type[Trigger]] = {
    "lapsed": Lapsed,
    "at_risk": AtRisk,
    "birthday": Birthday,
    "anniversary": Anniversary,
    "festival": Festival,
    "on_date": OnDate,
    "every": Every,
    "joined": Joined,
    "ordered": Ordered,
    "reached": Reached,
    "tier_changed": TierChanged,
    "rated": Rated,
    "low_rating": LowRating,
    "referred": Referred,
    "expiring": Expiring,
    "enters": Enters,
    "event": Event,
}


def trigger_schema() -> JsonSchema:
    """Give the schema of ``trigger``. Exactly one is checked in Python: ``maxProperties`` hides completion."""
    return {
        "type": "object",
        "x-words": True,
        "additionalProperties": False,
        "description": phrase("What makes a guest a candidate; exactly one."),
        "properties": {word: made.schema() for word, made in TRIGGERS.items()},
    }


def given_by(trigger: Trigger) -> frozenset[str]:
    """Give what messages are told of what fired: what the word gives, less what its settings leave out."""
    withheld: frozenset[str] = getattr(trigger, "withholds", frozenset())
    return trigger.gives - withheld
