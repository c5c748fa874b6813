"""``config/offers.yaml``: what a coupon can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from engine.language.check import check
from engine.language.document import Document
from engine.language.durations import Duration, parse_share
from engine.language.formats import minor_units
from engine.language.phrases import phrase, told
from engine.language.problems import Problem, errors, ordered
from engine.language.textkey import text_key
from engine.language.yamlfile import load

OFFERS_FILE: Final = "config/offers.yaml"
KINDS: Final = ("percent", "amount", "item")

OFFERS_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Offers of a home of Regulars",
    "x-name": phrase("the offers"),
    "type": "object",
    "description": phrase("What a coupon can be. A rule issues one: coupon: offer: free-drink."),
    "propertyNames": {"format": "slug"},
    "additionalProperties": {
        "type": "object",
        "description": phrase("One offer: exactly one of percent, amount and item, and its terms."),
        "additionalProperties": False,
        "required": ["name"],
        "x-also": {
            "discount": "percent",
            "percentage": "percent",
            "value": "amount",
            "free": "item",
            "expires": "valid",
            "minimum": "minimum_spend",
            "store": "stores",
        },
        "properties": {
            "name": {
                "type": ["string", "object"],
                "minLength": 1,
                "minProperties": 1,
                "description": phrase("What the guest reads: one text, or one for each language (en, zh, ...)."),
                "propertyNames": {"format": "language"},
                "additionalProperties": {"type": "string", "minLength": 1, "description": phrase("In this language.")},
            },
            "percent": {"type": "string", "format": "share", "description": phrase("Off the bill: 20%.")},
            "amount": {
                "type": "number",
                "format": "money",
                "description": phrase("Off the bill, in your currency: 5.00."),
            },
            "item": {"type": "string", "minLength": 1, "description": phrase("What is free: a slice of cake.")},
            "valid": {
                "type": "string",
                "format": "duration",
                "description": phrase(
                    "How long from the day on which the coupon goes out: 14 days. A rule may say otherwise."
                ),
            },
            "minimum_spend": {
                "type": "number",
                "format": "money",
                "description": phrase("The least that the bill must be, in your currency."),
            },
            "stores": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": ["string", "integer"]},
                "description": phrase("Only at these stores, by their store_id; at all if left out."),
            },
            "worth": {
                "type": "number",
                "format": "money",
                "description": phrase("What it costs you when it is used, for budgets; the amount, if it is one."),
            },
            "till": {
                "type": "string",
                "minLength": 1,
                "description": phrase(
                    "The till's name of the discount: an imported order with it redeems the guest's coupon."
                ),
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer. ``value``: hundredths of a percent for percent, minor units for amount, None for item."""

    key: str
    name: str | Mapping[str, str]
    kind: Literal["percent", "amount", "item"]
    value: int | None
    item: str | None
    valid: Duration | None
    minimum_spend: int | None
    stores: tuple[str, ...]
    till: str | None
    worth: int | None = None  #: what it costs the home when it is used, in minor units; None: nobody said


def load_offers(root: Path, currency: str) -> tuple[dict[str, Offer], list[Problem]]:
    """Read the offers of the home at ``root``; amounts are in ``currency``.

    A broken offer is left out and told; a home without the file has no offers.
    """
    file = root / OFFERS_FILE
    if not file.exists() and not file.with_name(file.name + ".txt").exists():
        return {}, []
    document, problems = load(file, OFFERS_FILE)
    if document is None:
        return {}, problems
    problems.extend(check(document, OFFERS_SCHEMA))
    offers: dict[str, Offer] = {}
    tills: dict[str, str] = {}
    for key in document.data:
        at = (key,)
        wrong = errors(check(document, OFFERS_SCHEMA["additionalProperties"], at)) or document.is_spoilt(at)
        if wrong or not isinstance(document.data[key], dict):
            continue
        offer, found = _offer(document, key, currency)
        till = text_key(offer.till) if offer and offer.till else ""
        if till and till in tills:
            said = phrase(
                'the till\'s discount of "{offer}" is the same: an order with it could not be told apart',
                offer=tills[till],
            )
            found.append(document.problem((key, "till"), said, "same-till"))
        problems.extend(found)
        if offer and not errors(found):
            offers[key] = offer
            if till:
                tills[till] = key
    return offers, ordered(problems)


def _offer(document: Document, key: str, currency: str) -> tuple[Offer | None, list[Problem]]:
    terms = document.data[key]
    kinds = [kind for kind in KINDS if kind in terms]
    if len(kinds) != 1:
        said = phrase('"{offer}" needs one of percent, amount and item', offer=key)
        cure = phrase("percent: 20%, amount: 5.00 or item: a slice of cake")
        if kinds:
            said = phrase('"{offer}" has both {first} and {second}', offer=key, first=kinds[0], second=kinds[1])
            cure = phrase("Keep one of them.")
        at = (key, kinds[1]) if kinds else (key,)
        return None, [document.problem(at, said, "which-offer", on="key", hint=cure)]
    problems: list[Problem] = []

    def money(name: str) -> int | None:
        if name not in terms:
            return None
        try:
            amount = minor_units(terms[name], currency)
        except ValueError as error:
            said = phrase('"{word}": {said}', word=name, said=told(error))
            problems.append(document.problem((key, name), said, "bad-money"))
            return None
        if not amount:
            said = phrase('"{word}" is 0; leave it out', word=name)
            problems.append(document.problem((key, name), said, "too-small"))
        return amount

    valid = Duration.parse(terms["valid"]) if "valid" in terms else None
    if valid is not None and not (valid.is_calendar and valid.amount):
        said = phrase('"valid" is {valid}; a coupon is valid for whole days, such as 14 days', valid=valid)
        problems.append(document.problem((key, "valid"), said, "too-small"))
    percent = parse_share(terms["percent"]) if "percent" in terms else None
    if percent == 0:
        problems.append(document.problem((key, "percent"), phrase('"percent" is 0%, which is no offer'), "too-small"))
    offer = Offer(
        key=key,
        name=terms["name"] if isinstance(terms["name"], str) else dict(terms["name"]),
        kind=kinds[0],  # type: ignore[arg-type]
        value=percent if percent is not None else money("amount"),
        item=terms.get("item"),
        valid=valid,
        minimum_spend=money("minimum_spend"),
        stores=tuple(str(store) for store in terms.get("stores", ())),
        till=terms.get("till"),
        worth=money("worth") if "worth" in terms else money("amount"),
    )
    return offer, problems
