"""Conditions on the guest: tier, city, gender, language, store, tags, and whether marketing may reach them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from engine.database.consent import block_reason
from engine.database.sql import alias_of
from engine.database.tables import stores, tags
from engine.language.compliance import ImpliedTerms
from engine.language.contacts import Channel
from engine.language.locales import parse_language
from engine.language.phrases import Phrase, phrase, told
from engine.vocabulary.comparisons import JsonSchema, TextTest, text_tests
from engine.vocabulary.filters import store_keys
from engine.vocabulary.mentions import Kind, texts_of
from engine.vocabulary.reading import Reader
from engine.vocabulary.scope import Scope


@dataclass(frozen=True)
class _Text:
    """A test on a text of the guest."""

    about: ClassVar[str]
    noun: ClassVar[Phrase]
    kind: ClassVar[Kind | None] = None  #: of the names, where they can be looked for in the data
    test: TextTest

    @classmethod
    def schema(cls) -> JsonSchema:
        """A value, a list, or tests."""
        return text_tests(cls.noun) | {"description": cls.about}

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a value, a list or tests."""
        if cls.kind is not None:
            reader.names(cls.kind)
        return cls(TextTest.read(reader.data))

    def sentence(self) -> Phrase:
        """Say it in English."""
        return phrase("has the {what} {names}", what=self.noun, names=self.test.sentence())


class Tier(_Text):
    """The loyalty tier."""

    about = phrase("The guest's loyalty tier: by config/loyalty.yaml, else as the customer file gives it.")
    noun = phrase("tier")
    kind = "tier"
    example = "tier: [gold, platinum]"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the key of the tier in the facts."""
        return self.test.sql(scope.facts.c.tier_key)

    def turns(self, *, to: bool) -> bool:
        """Tell that it turns only when something is written of the guest."""
        del to
        return False


class City(_Text):
    """The city the guest lives in."""

    about = phrase("The city that the customer file gives.")
    noun = phrase("city")
    kind = "city"
    example = "city: Springfield"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the city's key."""
        return self.test.sql(scope.of_customer("city_key"))

    def turns(self, *, to: bool) -> bool:
        """Tell that it turns only when something is written of the guest."""
        del to
        return False


class Gender(_Text):
    """The guest's gender."""

    about = phrase("The gender, in the words of the customer file.")
    noun = phrase("gender")
    kind = "gender"
    example = "gender: f"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the gender's key."""
        return self.test.sql(scope.of_customer("gender_key"))

    def turns(self, *, to: bool) -> bool:
        """Tell that it turns only when something is written of the guest."""
        del to
        return False


class Language(_Text):
    """The guest's language."""

    about = phrase("The guest's language; zh also means zh-Hans and zh-Hant.")
    noun = phrase("language")
    example = "language: zh"

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a value, a list or tests; a language stands for its variants too."""
        test = TextTest.read(reader.data)
        wanted = None if test.wanted is None else _variants(test.wanted)
        for at, name in texts_of(reader.data, reader.at):
            try:
                parse_language(name.strip().replace("_", "-") if "*" not in name else "en")
            except ValueError as error:
                found = reader.document.problem(at, told(error), "bad-language", severity="warning")
                reader.problems.append(found)
        return cls(TextTest(wanted, _variants(test.unwanted)))

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Compare the language tag, case-folded; tags are ASCII."""
        return self.test.sql(func.lower(scope.of_customer("language")))

    def turns(self, *, to: bool) -> bool:
        """Tell that it turns only when something is written of the guest."""
        del to
        return False

    def sentence(self) -> Phrase:
        """Say it in English."""
        asked = TextTest(
            None if self.test.wanted is None else tuple(each for each in self.test.wanted if not each.endswith("-*")),
            tuple(each for each in self.test.unwanted if not each.endswith("-*")),
        )
        return phrase("has the language {names}", names=asked.sentence())


def _variants(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for value in values for each in ((value,) if "*" in value else (value, f"{value}-*")))


class Store(_Text):
    """The guest's store."""

    about = phrase("The guest's own store, else the one of most visits lately; by name or id.")
    noun = phrase("store")
    kind = "store"
    example = "store: Mill Lane"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Look the store's name and id up."""
        shop, mine = stores.alias("s"), scope.facts.c.store_id

        def named(values: tuple[str, ...]) -> Select[Any]:
            return select(shop.c.id).where(TextTest(values, ()).sql(*store_keys(shop)))

        tests: list[ColumnElement[bool]] = []
        if self.test.wanted is not None:
            tests.append(mine.in_(named(self.test.wanted)))
        if self.test.unwanted:
            tests.append(or_(mine.is_(None), mine.not_in(named(self.test.unwanted))))
        return and_(*tests)


class Tag(_Text):
    """Tags that the guest has."""

    about = phrase("A tag of the guest; with one_of any of them, with none_of none of them.")
    noun = phrase("tag")
    kind = "tag"
    example = "tag: vegetarian"

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Look the tags up."""
        tests: list[ColumnElement[bool]] = []
        if self.test.wanted is not None:
            tests.append(self._worn(scope, self.test.wanted))
        if self.test.unwanted:
            tests.append(~self._worn(scope, self.test.unwanted))
        return and_(*tests)

    @staticmethod
    def _worn(scope: Scope, values: tuple[str, ...]) -> ColumnElement[bool]:
        tag = alias_of(tags, "t")
        mine = tag.c.customer_id == scope.facts.c.customer_id
        by_then = or_(tag.c.at.is_(None), tag.c.at <= scope.as_of)
        worn = select(tag.c.tag).where(mine, TextTest(values, ()).sql(tag.c.tag), by_then)
        return worn.correlate(scope.facts).exists()


@dataclass(frozen=True)
class Reachable:
    """Whether marketing may reach the guest."""

    about: ClassVar[str] = phrase(
        "Address, consent and no suppression: by email, by sms, by any of the two, or by none."
    )
    example: ClassVar[str] = "reachable: sms"
    by: str

    @classmethod
    def schema(cls) -> JsonSchema:
        """One of four words."""
        also = {
            "mail": "email",
            "phone": "sms",
            "text": "sms",
            "mobile": "sms",
            "both": "any",
            "yes": "any",
            "no": "none",
        }
        return {"type": "string", "enum": ["email", "sms", "any", "none"], "x-also": also, "description": cls.about}

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the word."""
        return cls(reader.data)

    def sql(self, scope: Scope) -> ColumnElement[bool]:
        """Ask permission as a message would."""
        email, sms = _reached(scope, "email"), _reached(scope, "sms")
        return {"email": email, "sms": sms, "any": or_(email, sms), "none": and_(~email, ~sms)}[self.by]

    def sentence(self) -> Phrase:
        """Say it in English."""
        if self.by == "any":
            return phrase("may be reached")
        return phrase("may not be reached") if self.by == "none" else phrase("may be reached by {way}", way=self.by)


def _reached(scope: Scope, channel: Channel) -> ColumnElement[bool]:
    terms, facts = scope.implied.get(channel, ImpliedTerms()), scope.facts.c
    endpoint = facts[f"{channel}_id"]
    why = block_reason(endpoint, facts.customer_id, purpose="marketing", topic=scope.topic, implied=terms)
    return why.is_(None)
