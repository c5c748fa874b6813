"""Random cafés and random rules, the same for a seed everywhere, and how they are written into a database."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from oracle_world import Guest, Order, World, day_of
from sqlalchemy import Connection, insert

from engine.database.tables import (
    consents,
    customers,
    endpoints,
    order_items,
    orders,
    points,
    products,
    ratings,
    refunds,
    stores,
    tags,
    zones,
)
from engine.language.textkey import text_key

GUESTS, ADDRESSES = 30, 50
START = datetime(2025, 12, 1, tzinfo=UTC)
ZONES = {1: "America/Chicago", 2: "Europe/Berlin", 3: "Asia/Shanghai"}
STORES = {1: ("Mill Lane", "S-1"), 2: ("Quay", "S-2")}
MENU = [
    ("Latte", "Coffee"),
    ("Espresso", "Coffee"),
    ("Soup", "Lunch"),
    ("Oat Latte", "Coffee"),
    ("Salad", "Lunch"),
    ("Platter", "Catering"),
]
SEGMENTS = {
    "gold": {"conditions": {"tier": "gold"}},
    "lively": {"conditions": {"any": [{"segment": "gold"}, {"visits": {"within": "30 days", "at_least": 3}}]}},
}


# -- a random café -----------------------------------------------------------------------------------------------------


class Dice(random.Random):
    def sometimes(self, share: float, value: Any) -> Any:
        return value if self.random() < share else None

    def moment(self, days: int = 110) -> datetime:
        # Whole hours meet one another and the begin of days; some seconds miss them.
        return START + timedelta(hours=self.randrange(days * 24), seconds=self.choice((0, 0, 0, 1, -1)))


def a_world(dice: Dice) -> World:
    world = World(stores=STORES, segments=SEGMENTS, exclude=dice.sometimes(0.5, {"tag": ["staff", "friend"]}))
    for number in range(1, GUESTS + 1):
        world.guests.append(a_guest(dice, number))
    for guest in world.guests:
        pace = dice.choice((1, 3, 10, 40))
        for _ in range(dice.randrange(12) if pace < 40 else dice.randrange(4)):
            world.orders.append(an_order(dice, len(world.orders) + 1, guest.id, pace))
    world.orders.append(an_order(dice, len(world.orders) + 1, None, 3))
    for number in range(1, 41):
        score = dice.choice((1.0, 2.0, 2.5, 4.0))
        world.ratings.append(
            (number, dice.randint(1, GUESTS), dice.moment(), score, dice.choice(("google", "Receipt")))
        )
    for _ in range(30):
        at = dice.moment()
        expires = dice.sometimes(0.5, at + timedelta(days=dice.randrange(1, 60)))
        world.points.append((dice.randint(1, GUESTS), at, dice.choice((10, 50, 100)), expires))
    for endpoint in range(1, ADDRESSES + 1):
        if dice.random() < 0.85:
            world.consents.append((endpoint, None, dice.choice(("yes", "yes", "yes", "no")), START - timedelta(days=9)))
        if dice.random() < 0.3:
            world.consents.append((endpoint, "offers", dice.choice(("yes", "no")), START - timedelta(days=9)))
        if dice.random() < 0.1:
            world.suppressed.add(endpoint)
    return world


def a_guest(dice: Dice, number: int) -> Guest:
    return Guest(
        id=number,
        zone=dice.choice(list(ZONES.values())),
        email=dice.sometimes(0.85, dice.randint(1, ADDRESSES // 2)),  # some are shared
        sms=dice.sometimes(0.6, dice.randint(ADDRESSES // 2 + 1, ADDRESSES)),
        store=dice.sometimes(0.4, dice.choice((1, 2))),
        tier=dice.choice((None, "Gold", "Silver")),
        city=dice.choice((None, "São Paulo", "Springfield")),
        language=dice.choice((None, "en", "zh", "zh-Hans", "de")),
        joined=dice.sometimes(0.4, dice.moment()),
        birthday=dice.sometimes(0.8, dice.choice((101, 103, 112, 120, 130, 205, 214, 228, 229, 301, 310, 1224, 1230))),
        lunar=dice.random() < 0.3,
        tags=tuple(tag for tag in ("staff", "vegetarian") if dice.random() < 0.2),
    )


def an_order(dice: Dice, number: int, guest: int | None, pace: int) -> Order:
    at = dice.moment(min(110, pace * 12)) + timedelta(days=dice.choice((0, 20, 50)))
    order = Order(
        number,
        guest,
        at,
        dice.choice((0, 500, 1250)),
        store=dice.choice((None, 1, 2)),
        channel=dice.choice((None, "dine-in", "takeaway")),
        items=tuple(dice.sample(MENU, dice.choice((0, 1, 1, 2)))),
    )
    for _ in range(dice.choice((0, 0, 0, 0, 1, 2))):
        after = timedelta(days=dice.choice((0, 1, 20)), hours=dice.randrange(5))
        order.refunds.append((at + after, dice.choice((None, 250, 1000))))
    return order


def store_world(conn: Connection, world: World) -> None:
    """Write the world, under the same numbers everywhere."""
    conn.execute(insert(zones), [{"id": number, "name": name} for number, name in ZONES.items()])
    zone_ids = {name: number for number, name in ZONES.items()}
    csv = {"source": "csv"}
    conn.execute(insert(stores), [
        {**csv, "id": n, "external_id": key, "name": name, "name_key": text_key(name), "zone_id": 1, "attributes": {}}
        for n, (name, key) in STORES.items()
    ])  # fmt: skip
    conn.execute(insert(endpoints), [
        {"id": n, "channel": "email" if n <= ADDRESSES // 2 else "sms", "hash": bytes([n] * 32),
         "suppressed_at": START if n in world.suppressed else None}
        for n in range(1, ADDRESSES + 1)
    ])  # fmt: skip
    conn.execute(insert(consents), [
        {"endpoint_id": e, "topic": topic, "basis": "express", "state": state, "at": at, "source": "form"}
        for e, topic, state, at in world.consents
    ])  # fmt: skip
    guests = {guest.id: guest for guest in world.guests}
    conn.execute(insert(customers), [
        {**csv, "id": g.id, "external_id": str(g.id), "zone_id": zone_ids[g.zone], "email_id": g.email, "sms_id": g.sms,
         "store_id": g.store, "tier_key": g.tier and text_key(g.tier), "city_key": g.city and text_key(g.city),
         "language": g.language, "joined_at": g.joined, "joined_day": g.joined and day_of(g.joined, g).toordinal(),
         "birthday_md": g.birthday, "birthday_calendar": "lunar" if g.lunar else "solar", "attributes": {}}
        for g in world.guests
    ])  # fmt: skip
    worn = [{"customer_id": guest.id, "tag": tag} for guest in world.guests for tag in guest.tags]
    if worn:
        conn.execute(insert(tags), worn)
    walk_in = Guest(0, ZONES[1], None, None)
    conn.execute(insert(orders), [
        {**csv, "id": o.id, "external_id": str(o.id), "customer_id": o.guest, "store_id": o.store, "ordered_at": o.at,
         "day": day_of(o.at, guests.get(o.guest or 0, walk_in)).toordinal(), "total": o.total, "channel": o.channel,
         "refunded_at": min((at for at, _ in o.refunds), default=None)}
        for o in world.orders
    ])  # fmt: skip
    given_back = [
        {**csv, "external_id": f"{o.id}-{n}", "order_id": o.id, "kind": "void" if amount is None else "refund",
         "refunded_at": at, "amount": amount}
        for o in world.orders for n, (at, amount) in enumerate(o.refunds)
    ]  # fmt: skip
    if given_back:
        conn.execute(insert(refunds), given_back)
    conn.execute(insert(products), [
        {"id": n, "name": name, "category": kind, "name_key": text_key(name), "category_key": text_key(kind)}
        for n, (name, kind) in enumerate(MENU)
    ])  # fmt: skip
    conn.execute(insert(order_items), [
        {"order_id": o.id, "line": str(line), "product_id": MENU.index(item), "quantity": 1000, "price": 100}
        for o in world.orders for line, item in enumerate(o.items)
    ])  # fmt: skip
    conn.execute(insert(ratings), [
        {**csv, "external_id": str(n), "id": n, "customer_id": who, "rated_at": at, "score": score, "platform": source}
        for n, who, at, score, source in world.ratings
    ])  # fmt: skip
    conn.execute(insert(points), [
        {**csv, "external_id": str(n), "customer_id": who, "at": at, "points": lot, "expires_at": expires}
        for n, (who, at, lot, expires) in enumerate(world.points)
    ])  # fmt: skip


# -- a random rule -----------------------------------------------------------------------------------------------------


def some(dice: Dice, share: float, **settings: Any) -> dict[str, Any]:
    return {word: value for word, value in settings.items() if dice.random() < share}


def filters(dice: Dice, share: float = 0.25) -> dict[str, Any]:
    chosen = some(
        dice,
        share,
        within=dice.choice(("20 days", "60 days", "3 months", "72 hours", "1 year")),
        since=dice.choice(("2026-01-15", "2025-12-31")),
        store=dice.choice(("mill lane", "s-2", ["Quay", "x"], {"none_of": ["S-1"]}, {"is_not": "quay"})),
        channel=dice.choice(("DINE-IN", ["takeaway", "dine-in"], {"is_not": "dine-in"}, "*")),
        product=dice.choice(("*latte", "Soup", ["salad", "soup"], {"none_of": ["latte", "soup"]})),
        category=dice.choice(("lunch", "Coffee", {"is_not": "Lunch"}, {"one_of": ["Lunch"], "none_of": ["Coffee"]})),
    )
    if dice.random() < share and chosen.get("within") != "72 hours":
        chosen["before"] = dice.choice(("5 days", "2 weeks", "48 hours"))
        if chosen["before"] == "48 hours":
            chosen.pop("within", None)
    return chosen


def number(dice: Dice, *values: float) -> dict[str, Any]:
    word = dice.choice(
        ("at_least", "at_most", "more_than", "less_than", "equals", "is_not", "between", "one_of", "none_of")
    )
    if word in {"one_of", "none_of", "between"}:
        return {word: sorted((dice.choice(values), dice.choice(values)))}
    return {word: dice.choice(values)}


def a_condition(dice: Dice, depth: int = 0) -> tuple[str, Any]:
    word = dice.choice(
        [
            "orders",
            "orders",
            "visits",
            "visits",
            "spend",
            "spend",
            "days_since_order",
            "points",
            "tag",
            "tier",
            "city",
            "language",
            "store",
            "reachable",
            "segment",
        ]
        + ["any", "all", "none"] * (2 if depth < 2 else 0)
    )
    name = {
        "tag": ("staff", "VEGETARIAN", {"none_of": ["staff"]}, "*"),
        "tier": ("gold", ["gold", "silver"], {"is_not": "gold"}, "*"),
        "city": ("são paulo", "Spring*", {"none_of": ["Springfield"]}),
        "language": ("zh", "zh-hans", ["de", "en"], {"is_not": "zh"}),
        "store": ("Mill Lane", "S-2", {"is_not": "Quay"}, {"none_of": ["s-1", "s-2"]}),
        "reachable": ("email", "sms", "any", "none"),
        "segment": tuple(SEGMENTS),
    }
    if word in {"any", "all", "none"}:
        return word, [dict(a_condition(dice, depth + 1) for _ in range(dice.randint(1, 2))) for _ in range(2)]
    if word in name:
        return word, dice.choice(name[word])
    values = {"spend": (0, 5, 12.5, 25, 40), "points": (0, 10, 50, 100), "days_since_order": (0, 3, 10, 30, 90)}
    tests = number(dice, *values.get(word, (0, 1, 2, 2.5, 5)))
    return word, tests if word == "points" else {**tests, **filters(dice)}


def a_trigger(dice: Dice) -> dict[str, Any]:
    word = dice.choice(("lapsed", "at_risk", "birthday", "joined", "ordered", "ordered", "low_rating"))
    kind = {key: value for key, value in filters(dice, 0.15).items() if key not in {"before", "since"}}
    given: dict[str, Any] = {}
    match word:
        case "lapsed":
            after, up_to = dice.choice(
                (("10 days", "20 days"), ("1 month", "3 months"), ("30 days", None), ("2 weeks", "40 days"))
            )
            given = {"after": after, **({"up_to": up_to} if up_to else {}), **kind}
        case "at_risk":
            given = some(
                dice,
                0.7,
                times=dice.choice((2, 2.5)),
                min_visits=dice.choice((2, 3)),
                at_least=dice.choice(("3 days", "1 week")),
                up_to="2 months",
            )
        case "birthday":
            given = some(dice, 0.5, days_before=dice.choice((1, 7, 30)), leap_day=dice.choice(("feb28", "mar1")))
        case "joined":
            given = some(dice, 0.5, ago=dice.choice(("1 day", "1 month")), within=dice.choice(("3 days", "2 months")))
        case "ordered":
            given = {**kind, **some(dice, 0.4, ago=dice.choice(("2 hours", "1 day", "10 days", "1 month")))}
            given |= dice.choice(({}, {"count": dice.randint(1, 3)}, {"every": dice.randint(2, 3)}))
        case _:
            given = some(
                dice,
                0.5,
                at_most=dice.choice((1, 2, 3)),
                source=dice.choice(("google", "receipt")),
                within=dice.choice(("1 day", "2 weeks", "36 hours")),
            )
    return {word: given or None}


def a_rule(dice: Dice, number_: int) -> dict[str, Any]:
    actions = dice.choice((
        [{"email": "hello"}], [{"sms": "hello"}], [{"email": "hello"}, {"wait": "2 days"}, {"sms": "hello"}],
        [{"sms": "hello"}, {"email": "hello"}], [{"alert": "hello"}], [{"coupon": "treat"}, {"email": "gift"}],
    ))  # fmt: skip
    made = {
        "id": f"rule-{number_}",
        "schedule": "every 15 minutes",
        "trigger": a_trigger(dice),
        "conditions": dict(a_condition(dice) for _ in range(dice.choice((0, 0, 1, 1, 2)))),
        "actions": actions,
        "limits": some(dice, 0.7, again_after=dice.choice(("7 days", "1 month", "30 hours", "0 days"))),
        "holdout": dice.choice(("0%", "0%", "40%")),
        "purpose": "marketing" if any("coupon" in step for step in actions) else dice.choice(("marketing", "service")),
        **some(dice, 0.3, topic="offers"),
    }
    return {word: value for word, value in made.items() if value != {}}


def moments(dice: Dice) -> list[datetime]:
    now, found = START + timedelta(days=dice.randrange(20, 90)), []
    for _ in range(4):
        now += timedelta(hours=dice.choice((1, 5, 24, 36, 24 * 5, 24 * 25)), seconds=dice.choice((0, 0, 1)))
        found.append(now)
    return found
