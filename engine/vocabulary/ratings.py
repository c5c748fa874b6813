"""Triggers of a rating that comes in: any, or a low one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Self

from sqlalchemy import ColumnElement

from engine.database.tables import ratings
from engine.language.phrases import Phrase, phrase
from engine.language.times import Duration
from engine.vocabulary.comparisons import JsonSchema, TextTest, text_tests
from engine.vocabulary.occasions import Candidates, exactly, open_instants
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope
from engine.vocabulary.trigger_settings import DURATION, exact_stay

_BOUNDS: JsonSchema = {"minimum": -1_000_000, "maximum": 1_000_000}
_SCORE: JsonSchema = {"type": "number", **_BOUNDS}


@dataclass(frozen=True)
class _Rating:
    """A rating with a score between two bounds."""

    about: ClassVar[str]
    example: ClassVar[str]
    absence: ClassVar[bool] = False
    gives: ClassVar[frozenset[str]] = frozenset({"rating"})
    ends: ClassVar[str | None] = None
    lowest_is: ClassVar[float | None]  #: ``at_most`` where it is left out
    at_most: float | None
    at_least: float | None
    source: TextTest | None
    within: Duration

    @classmethod
    def schema(cls) -> JsonSchema:
        """The score, where it was left, and how long it is answered."""
        if cls.lowest_is is None:
            highest = phrase("The highest score that counts; any if left out.")
        else:
            highest = phrase("The highest score that counts as low; {score} if left out.", score=f"{cls.lowest_is:g}")
        return {
            "type": ["number", "object", "null"],
            **_BOUNDS,
            "additionalProperties": False,
            "description": cls.about,
            "x-also": {"late": "within"},
            "properties": {
                "at_most": _SCORE | {"description": highest},
                "at_least": _SCORE | {"description": phrase("The lowest score that counts; any if left out.")},
                "source": text_tests("Where it was left")
                | {"description": phrase("Only from here: google, receipt ...")},
                "within": DURATION | {"description": phrase("An older one is left alone; 3 days if left out.")},
            },
        }

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read ``2`` or the settings; some score must lie between the two bounds."""
        given = reader.settings("at_most")
        at_most, at_least = given.get("at_most", cls.lowest_is), given.get("at_least")
        if at_most is not None and at_least is not None and at_least > at_most:
            reader.under("at_least").problem(
                phrase(
                    '"at_least" ({least}) is more than "at_most" ({most}): no score lies between them',
                    least=f"{at_least:g}",
                    most=f"{at_most:g}",
                ),
                "empty-range",
            )
        if "source" in given:
            reader.under("source").names("rating source")
        return cls(
            None if at_most is None else float(at_most),
            None if at_least is None else float(at_least),
            TextTest.read(given["source"]) if "source" in given else None,
            exact_stay(reader, given, "within", "3 days"),
        )

    def candidates(self, scope: Scope) -> Candidates:
        """One row a rating; the occasion is the rating."""
        rating = ratings.alias("r")
        where: list[ColumnElement[bool]] = []
        if self.at_most is not None:
            where.append(rating.c.score <= self.at_most)
        if self.at_least is not None:
            where.append(rating.c.score >= self.at_least)
        if self.source is not None:
            where.append(self.source.sql(rating.c.platform_key))
        return exactly(
            scope.guest().join(rating, rating.c.customer_id == scope.facts.c.customer_id),
            rating.c.rated_at,
            open_instants(scope, ago=timedelta(0), stays_open=self.within),
            occasion=rating.c.id,
            where=where,
            rating_id=rating.c.id,
            store_id=rating.c.store_id,
        )

    def sentence(self) -> Phrase:
        """Say it, to follow 'the guest'."""
        where = "" if self.source is None else phrase(" on {source}", source=self.source.sentence())
        return phrase(
            "left {rating}{where} within the last {within}", rating=self._rating(), where=where, within=self.within
        )

    def _rating(self) -> Phrase:
        bounds = {"least": f"{self.at_least or 0:g}", "most": f"{self.at_most or 0:g}"}
        if self.at_least is None and self.at_most is None:
            return phrase("a rating")
        if self.at_least is None:
            return phrase("a rating of at most {most}", most=bounds["most"])
        if self.at_most is None:
            return phrase("a rating of at least {least}", least=bounds["least"])
        return phrase("a rating between {least} and {most}", **bounds)


@dataclass(frozen=True)
class Rated(_Rating):
    """A rating came in."""

    about: ClassVar[str] = phrase("The guest left a rating: any, or one with a score of at least or at most so much.")
    once_for: ClassVar[Phrase] = phrase("rating")
    open_for: ClassVar[Phrase] = phrase("3 days, or within")
    again_for: ClassVar[Phrase | None] = None
    example = "rated:\n  at_least: 4\n  source: google"
    again_after: ClassVar[Duration | None] = None
    lowest_is = None


@dataclass(frozen=True)
class LowRating(_Rating):
    """A bad rating came in."""

    about: ClassVar[str] = phrase("The guest left a rating of at most this score.")
    once_for: ClassVar[Phrase] = phrase("rating")
    open_for: ClassVar[Phrase] = phrase("3 days, or within")
    again_for: ClassVar[Phrase | None] = phrase("7 days")
    example = "low_rating: 2"
    again_after: ClassVar[Duration | None] = Duration.parse("7 days")
    lowest_is = 2
