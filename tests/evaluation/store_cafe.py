"""How a random café is written into a database: under the same numbers everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from oracle_world import DAY, Guest, Order, World, day_of
from random_cafes import ADDRESSES, MENU, START, ZONES
from small_world import LONG_AGO
from sqlalchemy import Connection, Table, insert, update

from engine.database.ledger import settle
from engine.database.months import month_of
from engine.database.tables import (
    consents,
    coupons,
    customer_dates,
    customers,
    dispatches,
    endpoints,
    events,
    matches,
    order_items,
    orders,
    points,
    products,
    ratings,
    refunds,
    rule_versions,
    rules,
    runs,
    stores,
    tags,
    tier_changes,
    zones,
)
from engine.language.textkey import text_key

CSV = {"source": "csv"}
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def store_world(conn: Connection, world: World) -> None:
    """Write the world, all that is to come too, under the same numbers everywhere."""
    store_guests(conn, world)
    store_news(conn, world)
    _store_past(conn, world)


def store_guests(conn: Connection, world: World) -> None:
    """Write the guests and where they may go; nothing has happened yet."""
    names = sorted({*ZONES.values(), *(guest.zone for guest in world.guests), *world.store_zones.values()})
    zone_ids = {name: number for number, name in enumerate(names, 1)}
    _insert(conn, zones, [{"id": number, "name": name} for name, number in zone_ids.items()])
    _insert(conn, stores, [
        {**CSV, "id": n, "external_id": key, "name": name, "name_key": text_key(name), "attributes": {},
         "zone_id": zone_ids[world.store_zones[n]], "country": world.store_countries.get(n)}
        for n, (name, key) in world.stores.items()
    ])  # fmt: skip
    _insert(conn, endpoints, [
        {"id": n, "channel": "email" if n <= ADDRESSES // 2 else "sms", "hash": bytes([n] * 32),
         "suppressed_at": START if n in world.suppressed else None, "country": world.phone_countries.get(n)}
        for n in range(1, ADDRESSES + 1)
    ])  # fmt: skip
    _insert(conn, consents, [
        {"endpoint_id": e, "topic": topic, "basis": "implied" if word == "implied" else "express",
         "state": "yes" if word == "implied" else word, "at": at, "source": "form"}
        for e, topic, word, at in world.consents
    ])  # fmt: skip
    _insert(conn, customers, [
        {**CSV, "id": g.id, "external_id": str(g.id), "zone_id": zone_ids[g.zone], "email_id": g.email,
         "sms_id": g.sms, "store_id": g.store, "tier": g.tier, "tier_key": g.tier and text_key(g.tier), "city": g.city,
         "city_key": g.city and text_key(g.city), "language": g.language, "joined_at": g.joined,
         "joined_day": g.joined and day_of(g.joined, g).toordinal(), "birthday_md": g.birthday,
         "birthday_calendar": "lunar" if g.lunar else "solar", "birthday_year": g.birth_year, "gender": g.gender,
         "referred_by": g.referred_by and str(g.referred_by), "attributes": g.attributes}
        for g in world.guests
    ])  # fmt: skip
    _insert(conn, tags, [{"customer_id": guest.id, "tag": tag} for guest in world.guests for tag in guest.tags])
    _insert(conn, customer_dates, [
        {"customer_id": g.id, "name": name, "year": int(value[:4]), "md": int(value[5:7]) * 100 + int(value[8:])}
        for g in world.guests for name, value in g.attributes.items() if world.attribute_types.get(name) == "date"
    ])  # fmt: skip
    _insert(conn, products, [
        {"id": n, "name": name, "category": kind, "name_key": text_key(name), "category_key": text_key(kind)}
        for n, (name, kind) in enumerate(MENU)
    ])  # fmt: skip


def store_news(conn: Connection, world: World, since: datetime = LONG_AGO, until: datetime = FAR) -> set[int]:
    """Write what happened after ``since``, up to ``until``; give the guests to whom."""
    guests = {guest.id: guest for guest in world.guests}
    touched: set[int | None] = set()

    def is_new(who: int | None, at: datetime) -> bool:
        touched.update({who} if since < at <= until else ())
        return since < at <= until

    new = [o for o in world.orders if is_new(o.guest, o.at)]
    walk_in = Guest(0, ZONES[1], None, None)
    _insert(conn, orders, [
        {**CSV, "id": o.id, "external_id": str(o.id), "customer_id": o.guest, "store_id": o.store, "ordered_at": o.at,
         "day": day_of(o.at, guests.get(o.guest or 0, walk_in)).toordinal(), "total": o.total, "channel": o.channel,
         "clock": _clock(world, o)}
        for o in new
    ])  # fmt: skip
    _insert(conn, order_items, [
        {"order_id": o.id, "line": str(line), "product_id": MENU.index(item), "quantity": 1000, "price": 100}
        for o in new for line, item in enumerate(o.items)
    ])  # fmt: skip
    _insert(conn, refunds, [
        {**CSV, "external_id": f"{o.id}-{n}", "order_id": o.id, "kind": "void" if amount is None else "refund",
         "refunded_at": at, "amount": amount}
        for o in world.orders for n, (at, amount) in enumerate(o.refunds) if is_new(o.guest, at)
    ])  # fmt: skip
    for order in world.orders:
        known = [at for at, _ in order.refunds if at <= until]
        if known and min(known) > since:
            conn.execute(update(orders).where(orders.c.id == order.id).values(refunded_at=min(known)))
    _insert(conn, ratings, [
        {**CSV, "external_id": str(n), "id": n, "customer_id": who, "rated_at": at, "score": score, "platform": source}
        for n, who, at, score, source in world.ratings if is_new(who, at)
    ])  # fmt: skip
    _insert(conn, points, [
        {**CSV, "id": e.id, "external_id": str(e.id), "customer_id": e.guest, "at": e.at, "points": e.points,
         "expires_at": e.expires, "ledger": e.ledger}
        for e in world.points if is_new(e.guest, e.at)
    ])  # fmt: skip
    _insert(conn, events, [
        {**CSV, "id": e.id, "external_id": str(e.id), "customer_id": e.guest, "store_id": e.store,
         "name": e.name, "at": e.at, "data": e.data}
        for e in world.events if is_new(e.guest, e.at)
    ])  # fmt: skip
    _insert(conn, tier_changes, [
        {"customer_id": who, "day": day_of(at, guests[who]).toordinal(),
         "from_key": before and text_key(before), "to_key": after and text_key(after), "kind": "none"}
        for who, at, before, after in world.tier_changes if is_new(who, at) and world.plan is None
    ])  # fmt: skip
    guests_of_it = {who for who in touched if who is not None}
    settle(conn, guests_of_it)
    return guests_of_it


def _clock(world: World, order: Order) -> int:
    """The weekday of the business day, and the minute, on the clock of the store, else of the home."""
    at = order.at.astimezone(ZoneInfo(world.store_zones.get(order.store or 0, world.zone)))
    day = at.date() if at.hour >= 4 else at.date() - DAY
    return day.weekday() * 1440 + at.hour * 60 + at.minute


def _store_past(conn: Connection, world: World) -> None:
    """Coupons and messages of rules that are no more."""
    names = sorted({message.rule for message in world.messages} | {"coupons"})
    body = {"content_hash": bytes(32)}
    _insert(conn, rules, [{**body, "id": n, "rule": name, "path": f"{name}.yaml"} for n, name in enumerate(names, 900)])
    number = {name: n for n, name in enumerate(names, 900)}
    _insert(
        conn, rule_versions, [{**body, "id": n, "rule_id": n, "body": {}, "first_at": START} for n in number.values()]
    )
    _insert(conn, runs, [{"id": 900, "as_of": START, "started_at": START, "host": "test", "pid": 1}])
    sent = [(m.guest, number[m.rule], m.channel, m.state, m.at) for m in world.messages]
    sent += [(c.guest, number["coupons"], "coupon", "sent", c.issued or START) for c in world.coupons]
    _insert(conn, matches, [
        {"id": n, "rule_id": rule, "version_id": rule, "customer_id": guest, "occasion": n, "run_id": 900,
         "matched_at": at, "closes": at, "verdict": "act"}
        for n, (guest, rule, _, _, at) in enumerate(sent, 900)
    ])  # fmt: skip
    _insert(conn, dispatches, [
        {"id": n, "month": month_of(at), "match_id": n, "step": 1, "rule_id": rule, "customer_id": guest,
         "channel": channel, "state": state, "purpose": "marketing", "due_at": at, "expires_at": at, "handed_at": at if state == "sent" else None,
         "finished_at": None if state == "pending" else at, "endpoint_id": 1}
        for n, (guest, rule, channel, state, at) in enumerate(sent, 900)
    ])  # fmt: skip
    first = 900 + len(world.messages)
    _insert(conn, coupons, [
        {"id": c.id, "dispatch_id": n, "customer_id": c.guest, "offer": c.offer, "terms": {},
         "code": f"CODE{c.id}" if c.issued else None, "issued_at": c.issued, "valid_until": c.until,
         "redeemed_at": c.redeemed, "revoked_at": c.revoked}
        for n, c in enumerate(world.coupons, first)
    ])  # fmt: skip


def _insert(conn: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    if rows:
        conn.execute(insert(table), rows)
