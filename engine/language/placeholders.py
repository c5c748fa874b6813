"""The names that a template may use, and what stands behind each.

This is the contract between templates, their check (``templatecheck``) and the values that a message is rendered with
(``engine/dispatch/values.py``). A text may be missing: it is then empty, never the word "None".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias


@dataclass(frozen=True)
class ListOf:
    """A list: a template walks through it with ``for``."""

    of: Shape


#: text, number, money (minor units), day (a date), instant (a moment), image (a QR code), or anything.
Leaf: TypeAlias = str
Shape: TypeAlias = Leaf | ListOf | Mapping[str, "Shape"]

ANYTHING: Final = "anything"

_CUSTOMER: Final[Mapping[str, Shape]] = {
    "name": "text",
    "first_name": "text",
    "email": "text",
    "phone": "text",
    "language": "text",
    "city": "text",
    "company": "text",
    "gender": "text",
    "tier": "text",
    "tags": ListOf("text"),
    "joined": "day",
    "visits": "number",
    "orders": "number",
    "spend": "money",
    "last_visit": "day",
    "attributes": ANYTHING,
}
_ITEM: Final[Mapping[str, Shape]] = {"product": "text", "category": "text", "quantity": "number", "price": "money"}
_ORDER: Final[Mapping[str, Shape]] = {
    "number": "text",
    "total": "money",
    "ordered_at": "instant",
    "day": "day",
    "channel": "text",
    "server": "text",
    "items": ListOf(_ITEM),
}
_RATING: Final[Mapping[str, Shape]] = {
    "score": "number",
    "comment": "text",
    "rated_at": "instant",
    "source": "text",
}
_EVENT: Final[Mapping[str, Shape]] = {"name": "text", "at": "instant", "data": ANYTHING}
_FRIEND: Final[Mapping[str, Shape]] = {"first_name": "text"}
_COUPON: Final[Mapping[str, Shape]] = {
    "code": "text",
    "name": "text",
    "offer": "text",
    "item": "text",
    "valid_until": "day",
    "minimum_spend": "money",
    "qr": "image",
}
_STORE: Final[Mapping[str, Shape]] = {
    "name": "text",
    "address": "text",
    "city": "text",
    "region": "text",
    "country": "text",
    "phone": "text",
    "opens": "text",
    "closes": "text",
    "manager_name": "text",
}
_BUSINESS: Final[Mapping[str, Shape]] = {
    "name": "text",
    "address": "text",
    "country": "text",
    "email": "text",
    "language": "text",
    "currency": "text",
}
_EXPIRING: Final[Mapping[str, Shape]] = {
    "what": "text",
    "total": "number",
    "day": "day",
    "tier": "text",
    "next_tier": "text",
    "missing_spend": "money",
    "missing_visits": "number",
    "items": ListOf({"name": "text", "amount": "number", "day": "day", "code": "text", "qr": "image"}),
}
_OF_A_MATCH: Final[Mapping[str, Shape]] = {
    "customer": _CUSTOMER,
    "order": _ORDER,
    "rating": _RATING,
    "event": _EVENT,
    "friend": _FRIEND,
    "points": "number",
    "coupon": _COUPON,
    "coupons": ListOf(_COUPON),
    "expiring": _EXPIRING,
    "store": _STORE,
}

#: Every name that stands at the beginning of a placeholder. ``matches`` is for alerts to staff about several guests.
NAMES: Final[Mapping[str, Shape]] = {
    **_OF_A_MATCH,
    "business": _BUSINESS,
    "links": {"unsubscribe": "text"},
    "matches": ListOf(_OF_A_MATCH),
}

#: Filters of ours besides Jinja's own: how a value is written, in the guest's language and zone.
FILTERS: Final = ("money", "date", "day", "time", "default", "d")
