"""Random cafés, the same for a seed everywhere."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from oracle_world import DAY, Coupon, Entry, Event, Guest, Message, Order, Plan, World, begins, day_of
from small_world import CONFIG, home_of

from engine.vocabulary.home import Home

GUESTS, ADDRESSES = 30, 50
START = datetime(2025, 12, 1, tzinfo=UTC)
LEDGERS = ("points", "points", "stamps")
#: What the config declares of the owner's own columns; the rest are texts.
ATTRIBUTES = {"children": "number", "wedding": "date", "vegan": "yes_no"}
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


def home_of_cafe(world: World) -> Home:
    """The home of a random café, without rules."""
    config = cafe_config(world.exclude).replace("country: US", f"country: {world.country}")
    plan = world.plan
    tiers = plan and {
        "by": plan.by,
        "within": plan.within,
        "levels": {name: {"at": at} for name, at in plan.levels.items()},
    }
    return home_of(config, json.dumps(SEGMENTS), json.dumps({"tiers": tiers}) if tiers else "")


def cafe_config(exclude: dict[str, Any] | None) -> str:
    """The config of a random café."""
    more: dict[str, Any] = {
        "attributes": ATTRIBUTES,
        "webhooks": {"app": {"connector": "file"}},
        **({"exclude": exclude} if exclude else {}),
    }
    return CONFIG + "".join(f"{word}: {json.dumps(value)}\n" for word, value in more.items())


# -- a random café -----------------------------------------------------------------------------------------------------


class Dice(random.Random):
    def sometimes(self, share: float, value: Any) -> Any:
        return value if self.random() < share else None

    begin = START
    days = 110

    def moment(self, days: int = 0) -> datetime:
        # Whole hours meet one another and the begin of days; some seconds miss them.
        hours = timedelta(hours=self.randrange((days or self.days) * 24))
        return self.begin + hours + timedelta(seconds=self.choice((0, 0, 0, 1, -1)))


def a_world(dice: Dice) -> World:
    world = World(
        stores=STORES,
        store_zones=dict.fromkeys(STORES, ZONES[1]),
        attribute_types=ATTRIBUTES,
        segments=SEGMENTS,
        exclude=dice.sometimes(0.5, {"tag": ["staff", "friend"]}),
        store_countries=dice.choice(({}, {2: "CA"}, {1: "DE", 2: "IT"})),
        country=dice.choice(("US", "CA", "CA", "GB")),
        plan=dice.sometimes(0.6, a_plan(dice)),
    )
    for number in range(1, GUESTS + 1):
        world.guests.append(a_guest(dice, number))
    for guest in world.guests:
        pace = dice.choice((1, 3, 10, 40))
        comes = guest.joined is None or guest.joined < START + 150 * DAY or dice.random() < 0.3
        for _ in range(0 if not comes else dice.randrange(12) if pace < 40 else dice.randrange(4)):
            world.orders.append(an_order(dice, len(world.orders) + 1, guest.id, pace))
    world.orders.append(an_order(dice, len(world.orders) + 1, None, 3))
    for guest in world.guests:  # implied consent may end two years after the last order
        if dice.random() < (0.1 if world.has_ordered(guest) else 0.5):
            order = an_order(dice, len(world.orders) + 1, guest.id, 10)
            ago = timedelta(days=dice.choice((365, 730)) - dice.randrange(40))
            world.orders.append(replace(order, at=order.at - ago, refunds=[]))
    for number in range(1, 41):
        score = dice.choice((1.0, 2.0, 2.5, 4.0))
        world.ratings.append(
            (number, dice.randint(1, GUESTS), dice.moment(), score, dice.choice(("google", "Receipt")))
        )
    for number in range(1, 61):
        at = dice.moment()
        lot = dice.choice((10, 50, 100, 100, -20, -70))
        expires = dice.sometimes(0.5, at + timedelta(days=dice.randrange(1, 60))) if lot > 0 else None
        world.points.append(Entry(number, dice.randint(1, GUESTS), at, lot, expires, dice.choice(LEDGERS)))
    happenings(dice, world)
    permissions(dice, world)
    return world


def permissions(dice: Dice, world: World) -> None:
    """Add who agreed, who did not, who bought and did not refuse; and in which country phones are."""
    for endpoint in range(1, ADDRESSES + 1):
        if dice.random() < 0.85:
            word = dice.choice(("yes", "yes", "implied", "implied", "no"))
            ago = timedelta(days=dice.randrange(60, 200), hours=dice.randrange(24)) if word == "implied" else 9 * DAY
            world.consents.append((endpoint, None, word, START - ago))
        if dice.random() < 0.15:
            world.consents.append((endpoint, None, "implied", START - dice.choice((1, 300)) * DAY))
        if dice.random() < 0.3:
            world.consents.append((endpoint, "offers", dice.choice(("yes", "implied", "no")), START - 9 * DAY))
        if dice.random() < 0.1:
            world.suppressed.add(endpoint)
        if endpoint > ADDRESSES // 2 and dice.random() < 0.6:
            world.phone_countries[endpoint] = dice.choice(("US", "CA", "CA", "IE", "GB", "IT"))


def a_plan(dice: Dice) -> Plan:
    """Tiers by visits or by spend within weeks or months; sometimes the lowest is everybody's."""
    by = dice.choice(("spend", "visits"))
    low, high = dice.choice(((1, 2), (2, 3), (2, 5))) if by == "visits" else dice.choice(((5, 12), (10, 25), (0, 15)))
    return Plan(by, dice.choice(("10 days", "20 days", "1 month", "1 year")), {"silver": low, "gold": high})


def happenings(dice: Dice, world: World) -> None:
    """Add events, coupons and messages of earlier rules, and tiers that changed."""
    for number in range(1, 31):
        guest = dice.sometimes(0.7, dice.choice(world.guests).id)
        store = dice.sometimes(0.5, dice.choice((1, 2)))
        data = {"area": dice.choice(("North", "South")), "seats": dice.choice((2, 4))} if number % 3 else {}
        world.events.append(Event(number, guest, store, dice.choice(("rain", "Table Booked")), dice.moment(), data))
    for number in range(901, 941):  # the engine's own begin at 1
        issued = dice.sometimes(0.9, dice.moment())
        later = [issued and issued + timedelta(days=dice.randrange(1, 40)) for _ in range(3)]
        redeemed, revoked = dice.choice(((None, None), (None, None), (later[1], None), (None, later[2])))
        world.coupons.append(
            Coupon(
                number,
                dice.choice(world.guests).id,
                dice.choice(("treat", "old-offer")),
                issued,
                later[0] if number % 7 else None,
                redeemed,
                revoked,
            )
        )
    for _ in range(60):
        rule, channel = dice.choice(("earlier", "still-earlier")), dice.choice(("email", "sms"))
        state = dice.choice(("sent", "sent", "sent", "blocked", "pending", "expired"))
        world.messages.append(Message(dice.choice(world.guests).id, rule, channel, state, dice.moment()))
    for guest in world.guests:
        at, tier = dice.moment(dice.days // 2), None
        for _ in range(dice.choice((0, 0, 1, 2))):
            after = dice.choice([each for each in (None, "Silver", "Gold") if each != tier])
            world.tier_changes.append((guest.id, begins(day_of(at, guest), guest), tier, after))  # only its day is kept
            at, tier = at + timedelta(days=dice.randrange(2, 40)), after


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
        joined=dice.choice((None, None, None, dice.moment(), dice.moment(), START + 150 * DAY)),
        birthday=dice.sometimes(0.8, dice.choice((101, 103, 112, 120, 130, 205, 214, 228, 229, 301, 310, 1224, 1230))),
        lunar=dice.random() < 0.3,
        birth_year=dice.sometimes(0.7, dice.choice((1960, 1988, 1999, 2000, 2008))),
        gender=dice.choice((None, "Female", "male")),
        referred_by=dice.sometimes(0.3, dice.choice([each for each in range(1, GUESTS + 1) if each != number])),
        attributes=some_attributes(dice),
        tags=tuple(tag for tag in ("staff", "vegetarian") if dice.random() < 0.2),
    )


def some_attributes(dice: Dice) -> dict[str, str]:
    """Columns of the owner's own: texts, numbers, dates, yes or no; each may be missing."""
    given = {
        "pet": dice.choice((None, "Dog", "cat")),
        "children": dice.choice((None, "0", "2", "2.5")),
        "wedding": dice.choice((None, "2020-02-29", "2021-01-31", "2019-03-01", "2026-01-15", "2018-12-31")),
        "vegan": dice.choice((None, "yes", "no")),
    }
    return {name: value for name, value in given.items() if value is not None}


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


def moments(dice: Dice) -> list[datetime]:
    now, found = START + timedelta(days=dice.randrange(20, 90)), []
    for _ in range(4):
        now += timedelta(hours=dice.choice((1, 5, 24, 36, 24 * 5, 24 * 25)), seconds=dice.choice((0, 0, 1)))
        found.append(now)
    return found
