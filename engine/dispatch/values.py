"""What a message is filled in with: read from the database for one match, as plain data that can be stored as JSON.

The names are those of ``placeholders.py``. Besides them stand ``zone`` (IANA name) and ``languages`` (best first): what
``render`` needs to write the values. Days and moments are ISO texts, money is minor units, a missing value is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, bindparam, select

from engine.database.counting import points_balance
from engine.database.sql import EpochSeconds, Id
from engine.database.tables import (
    customer_facts,
    customers,
    endpoints,
    events,
    order_items,
    orders,
    products,
    ratings,
    stores,
    tags,
    zones,
)
from engine.dispatch.coupons import Issued
from engine.language import codes
from engine.language.zones import business_day
from engine.vocabulary.home import Home

#: Of a value that speaks of the guest, and of a whole match: what an alert about several guests repeats for each.
_OF_A_MATCH = ("customer", "order", "rating", "event", "friend", "points", "coupon", "coupons", "expiring", "store")
_THOUSANDTHS = 1000
_OF_A_STORE = ("name", "address", "city", "region", "country", "phone", "opens", "closes", "manager_name", "language")

_ids = bindparam("ids", expanding=True, type_=Id)
# Read for every batch of messages: made once.
_TAGS = select(tags.c.customer_id, tags.c.tag).where(tags.c.customer_id.in_(_ids)).order_by(tags.c.tag)
_STORES = select(stores.c.id, *(stores.c[name] for name in _OF_A_STORE)).where(stores.c.id.in_(_ids))
_ORDERS = select(
    orders.c.id,
    orders.c.external_id,
    orders.c.total,
    orders.c.ordered_at,
    orders.c.day,
    orders.c.channel,
    orders.c.server,
).where(orders.c.id.in_(_ids))
_ITEMS = (
    select(order_items.c.order_id, products.c.name, products.c.category, order_items.c.quantity, order_items.c.price)
    .join(products, products.c.id == order_items.c.product_id)
    .where(order_items.c.order_id.in_(_ids))
    .order_by(order_items.c.id)
)
_RATINGS = select(ratings.c.id, ratings.c.score, ratings.c.comment, ratings.c.rated_at, ratings.c.platform).where(
    ratings.c.id.in_(_ids)
)
_EVENTS = select(events.c.id, events.c.name, events.c.at, events.c.data).where(events.c.id.in_(_ids))
_FRIENDS = select(customers.c.id, customers.c.first_name, customers.c.name).where(
    customers.c.id.in_(_ids), customers.c.erased_at.is_(None)
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What one message speaks of: rows of the database, and what was found out about them.

    ``coupons`` are those of the steps before, in their order; the last one is ``coupon``. ``unsubscribe`` is the
    guest's own link, ``expiring`` the value of that name. For staff everything is written in the home's language and
    zone.
    """

    customer_id: int
    store_id: int | None = None
    order_id: int | None = None
    rating_id: int | None = None
    event_id: int | None = None
    friend_id: int | None = None
    expiring: Mapping[str, Any] | None = None
    coupons: Sequence[Issued] = ()
    unsubscribe: str = ""
    audience: Literal["guest", "staff"] = "guest"


def read_values(conn: Connection, home: Home, subjects: Sequence[Subject], as_of: datetime) -> list[dict[str, Any]]:
    """Read the values of matches, real or supposed, of each its own: in a few statements, however many they are.

    A customer who is erased or unknown gives empty values: the fence decides about sending.
    """
    found = _Found.read(conn, subjects, as_of)
    business = _business(home)
    return [_values(home, business, each, found) for each in subjects]


@dataclass(frozen=True, slots=True)
class _Found:
    """The rows that some subjects speak of, by their ids."""

    guests: Mapping[int, Row[Any]]
    tags: Mapping[int, Sequence[Row[Any]]]
    stores: Mapping[int, Row[Any]]
    orders: Mapping[int, Row[Any]]
    items: Mapping[int, Sequence[Row[Any]]]
    ratings: Mapping[int, Row[Any]]
    events: Mapping[int, Row[Any]]
    friends: Mapping[int, Row[Any]]

    @classmethod
    def read(cls, conn: Connection, subjects: Sequence[Subject], as_of: datetime) -> _Found:
        """Ask for what any of them names, each row once."""

        def rows(statement: Select[Any], name: str, **more: Any) -> Sequence[Row[Any]]:
            ids = sorted({each for each in (getattr(subject, name) for subject in subjects) if each is not None})
            return conn.execute(statement, {"ids": ids, **more}).all() if ids else ()

        guests = rows(_guest_statement(), "customer_id", as_of=as_of)
        return cls(
            {row.id: row for row in guests},
            _by(rows(_TAGS, "customer_id"), "customer_id"),
            {row.id: row for row in rows(_STORES, "store_id")},
            {row.id: row for row in rows(_ORDERS, "order_id")},
            _by(rows(_ITEMS, "order_id"), "order_id"),
            {row.id: row for row in rows(_RATINGS, "rating_id")},
            {row.id: row for row in rows(_EVENTS, "event_id")},
            {row.id: row for row in rows(_FRIENDS, "friend_id")},
        )


def _by(rows: Sequence[Row[Any]], name: str) -> Mapping[int, Sequence[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = {}
    for row in rows:
        found.setdefault(getattr(row, name), []).append(row)
    return found


def _values(home: Home, business: Mapping[str, Any], subject: Subject, found: _Found) -> dict[str, Any]:
    guest = _guest(home, found.guests.get(subject.customer_id), found.tags.get(subject.customer_id, ()))
    store = _store(found.stores.get(subject.store_id or 0))
    own = str(home.config.business.timezone)
    zone = guest.pop("zone") or own
    wanted = [guest["language"], store["language"], business["language"]]
    issued = [_coupon(each, ZoneInfo(zone), home) for each in subject.coupons]
    to_staff = subject.audience == "staff"
    return {
        "customer": guest,
        "order": _order(found.orders.get(subject.order_id or 0), found.items.get(subject.order_id or 0, ())),
        "rating": _rating(found.ratings.get(subject.rating_id or 0)),
        "event": _event(found.events.get(subject.event_id or 0)),
        "friend": _friend(found.friends.get(subject.friend_id or 0)),
        "points": guest.pop("points"),
        "coupon": issued[-1] if issued else None,
        "coupons": issued,
        "expiring": subject.expiring,
        "store": store,
        "business": business,
        "links": {"unsubscribe": subject.unsubscribe},
        "matches": [],
        "zone": own if to_staff else zone,
        "languages": [business["language"]] if to_staff else [each for each in wanted if each],
    }


def _business(home: Home) -> dict[str, Any]:
    business = home.config.business
    return {
        "name": business.name,
        "address": business.address,
        "country": business.country,
        "email": home.config.email.sender.address,
        "language": business.language,
        "currency": business.currency,
    }


def about_several(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the values of an alert about these matches: ``matches`` lists them, the other names are the first one's."""
    if not each:
        raise ValueError("an alert is about at least one match")
    return {**each[0], "matches": [{name: values[name] for name in _OF_A_MATCH} for values in each]}


def _guest(home: Home, row: Row[Any] | None, labels: Sequence[Row[Any]]) -> dict[str, Any]:
    said = _columns(row) if row is not None else {}
    return {
        **{name: said.get(name) for name in ("name", "email", "phone", "language", "city", "company", "gender")},
        "tier": _tier(home, said),
        "first_name": said.get("first_name") or said.get("name"),
        "tags": [each.tag for each in labels] if said else [],
        "joined": _day(said.get("joined_day")),
        "visits": said.get("visits") or 0,
        "orders": said.get("orders") or 0,
        "spend": said.get("spend") or 0,
        "last_visit": _day(said.get("last_order_day")),
        "attributes": said.get("attributes") or {},
        "points": said.get("points") or 0,
        "zone": said.get("zone"),
    }


def _tier(home: Home, said: Mapping[str, Any]) -> str | Mapping[str, str] | None:
    """Give the tier's name: that of config/loyalty.yaml, where it has tiers, else as the customers' file writes it."""
    tiers = home.loyalty.tiers
    if tiers is None:
        return said.get("tier")
    level = tiers.level(said.get("tier_key"))
    return None if level is None else level.name


@cache
def _guest_statement() -> Select[Any]:
    email, phone = endpoints.alias("email"), endpoints.alias("phone")
    return (
        select(
            customers.c.id,
            customers.c.name,
            customers.c.first_name,
            customers.c.language,
            customers.c.city,
            customers.c.company,
            customers.c.gender,
            customers.c.tier,
            customer_facts.c.tier_key,
            customers.c.attributes,
            email.c.address.label("email"),
            phone.c.address.label("phone"),
            zones.c.name.label("zone"),
            customer_facts.c.joined_day,
            customer_facts.c.visits,
            customer_facts.c.orders,
            customer_facts.c.spend,
            customer_facts.c.last_order_day,
            points_balance(customers.c.id, bindparam("as_of", type_=EpochSeconds)).label("points"),
        )
        .select_from(customers)
        .join(zones, zones.c.id == customers.c.zone_id)
        .outerjoin(customer_facts, customer_facts.c.customer_id == customers.c.id)
        .outerjoin(email, email.c.id == customers.c.email_id)
        .outerjoin(phone, phone.c.id == customers.c.sms_id)
        .where(customers.c.id.in_(_ids), customers.c.erased_at.is_(None))
    )


def _store(row: Row[Any] | None) -> dict[str, Any]:
    return dict.fromkeys(_OF_A_STORE) if row is None else {name: getattr(row, name) for name in _OF_A_STORE}


def _order(row: Row[Any] | None, items: Sequence[Row[Any]]) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "number": row.external_id,
        "total": row.total,
        "ordered_at": _moment(row.ordered_at),
        "day": _day(row.day),
        "channel": row.channel,
        "server": row.server,
        "items": [
            {
                "product": item.name,
                "category": item.category,
                "quantity": item.quantity / _THOUSANDTHS,
                "price": item.price,
            }
            for item in items
        ],
    }


def _rating(row: Row[Any] | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "score": row.score,
        "comment": row.comment,
        "rated_at": _moment(row.rated_at),
        "source": row.platform,
    }


def _event(row: Row[Any] | None) -> dict[str, Any] | None:
    return None if row is None else {"name": row.name, "at": _moment(row.at), "data": row.data}


def _friend(row: Row[Any] | None) -> dict[str, Any] | None:
    """Give no more of a friend than a first name: the guest is told of somebody else."""
    return None if row is None else {"first_name": row.first_name or (row.name or "").partition(" ")[0] or None}


def _coupon(issued: Issued, zone: ZoneInfo, home: Home) -> dict[str, Any]:
    last_day = None
    if issued.valid_until is not None:  # exclusive: the guest reads the last day that is still good
        last_day = business_day(issued.valid_until - timedelta(seconds=1), zone, home.config.day_starts).isoformat()
    code = codes.shown(issued.code)
    return {
        "code": code,
        "name": issued.terms.get("name") or issued.offer,
        "offer": issued.offer,
        "item": issued.terms.get("item"),
        "valid_until": last_day,
        "minimum_spend": issued.terms.get("minimum_spend"),
        "qr": code,
    }


def _columns(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name for it)


def _day(ordinal: int | None) -> str | None:
    return None if ordinal is None else date.fromordinal(ordinal).isoformat()


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
