"""The facts of a customer: kept up batch by batch they equal a rebuild, and both equal plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, select, update
from tier_oracle import tier_changes_of, tier_columns

from engine.database.facts import bring_to, facts_select, points_balance, rebuild, recompute, use_tiers
from engine.database.facts_delta import apply_delta
from engine.database.ledger import Entry, allocate, settle
from engine.database.tables import customer_facts, customers, orders, points, refunds, stores, tier_changes, zones
from engine.database.tiers import TierPlan, edges
from engine.language.times import Duration

DAY = 86_400
#: The first day of the test's calendar, in days since 1970.
BASE = 20_000
EPOCH_ORDINAL = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
GUESTS = (1, 2, 3)
OWN_STORE = {1: None, 2: 1, 3: 3}
JOINED = {1: None, 2: (BASE - 5) * DAY + 100, 3: None}
#: Store 2 shuts on the thirtieth day, store 3 has been shut for long.
CLOSED_ON = {1: None, 2: EPOCH_ORDINAL + BASE + 30, 3: EPOCH_ORDINAL + BASE - 100}


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def day_of(seconds: int) -> int:
    return EPOCH_ORDINAL + seconds // DAY


@dataclass
class Order:
    id: int
    customer: int | None
    store: int | None
    at: int
    total: int
    refunds: list[tuple[int, int | None]] = field(default_factory=list)

    def given_back(self, as_of: int) -> int:
        return sum(self.total if amount is None else amount for at, amount in self.refunds if at <= as_of)

    def refunded(self, as_of: int) -> bool:
        return any(at <= as_of for at, _ in self.refunds)

    def counts(self, as_of: int) -> bool:
        return self.at <= as_of and (not self.refunded(as_of) or self.given_back(as_of) < self.total)


@dataclass
class World:
    orders: dict[int, Order] = field(default_factory=dict)
    points: list[tuple[int, int, int, int | None, str]] = field(default_factory=list)  # customer, at, points, expires
    plan: TierPlan | None = None

    def counted(self, guest: int, as_of: int) -> dict[int, int]:
        """What each of the guest's days counts for the tier."""
        days: Counter[int] = Counter()
        for order in self.orders.values():
            if order.customer == guest and order.counts(as_of):
                worth = order.total - order.given_back(as_of)
                days[day_of(order.at)] = days[day_of(order.at)] + worth if self.by_spend else 1
        return dict(days)

    @property
    def by_spend(self) -> bool:
        return self.plan is not None and self.plan.by == "spend"


def oracle_points(world: World, guest: int, as_of: int, ledger: str) -> int:
    """Played minute by minute on a heap of lots, as a café with paper cards would."""
    entries = sorted(
        ((at, pts < 0, number, pts, expires) for number, (who, at, pts, expires, name) in enumerate(world.points)
         if who == guest and name == ledger and at <= as_of)
    )  # fmt: skip
    lots: list[list[int | float]] = []
    for at, _, number, pts, expires in entries:
        if pts > 0:
            lots.append([expires if expires is not None else float("inf"), at, number, pts])
            continue
        wanted = -pts
        for lot in sorted(lots):
            if lot[0] > at:
                taken = min(wanted, lot[3])
                lot[3] -= taken
                wanted -= taken
    return int(sum(lot[3] for lot in lots if lot[0] > as_of))


def oracle_store(world: World, guest: int, as_of: int) -> int | None:
    mine = [order for order in world.orders.values() if order.customer == guest and order.counts(as_of)]
    own = OWN_STORE[guest]
    if not mine:
        return own
    last_day = max(day_of(order.at) for order in mine)
    open_then = {store for store, closed in CLOSED_ON.items() if closed is None or closed > last_day}
    if own in open_then:
        return own
    days, latest = defaultdict(set), Counter()
    for order in mine:
        if order.store in open_then and day_of(order.at) > last_day - 180:
            days[order.store].add(day_of(order.at))
            latest[order.store] = max(latest[order.store], order.at)
    return max(days, key=lambda store: (len(days[store]), latest[store], store), default=None)


def oracle_moments(world: World, guest: int) -> list[int]:
    moments = []
    for order in world.orders.values():
        if order.customer == guest:
            moments += [order.at, *(at for at, _ in order.refunds)]
    for who, at, pts, expires, ledger in world.points:
        if who == guest and ledger == "points":
            moments += [at] + ([expires] if pts > 0 and expires else [])
    return moments


def oracle(world: World, guest: int, as_of: int) -> dict[str, object]:
    mine = sorted(
        (order for order in world.orders.values() if order.customer == guest and order.counts(as_of)),
        key=lambda order: (order.at, order.id),
    )
    days = sorted({day_of(order.at) for order in mine})
    gaps = [after - before for before, after in pairwise(days)][-10:]
    first, last = (mine[0], mine[-1]) if mine else (None, None)
    moments = oracle_moments(world, guest)
    joined = JOINED[guest] or (first.at if first else None)
    return {
        "customer_id": guest,
        "zone_id": 1,
        "store_id": oracle_store(world, guest, as_of),
        "email_id": None,
        "sms_id": None,
        "birthday_md": 229,
        "birthday_calendar": "solar",
        "joined_at": joined and moment(joined),
        "joined_day": joined and day_of(joined),
        "orders": len(mine),
        "visits": len(days),
        "spend": sum(order.total - order.given_back(as_of) for order in mine),
        "refunds": sum(
            order.customer == guest and order.at <= as_of and order.refunded(as_of) for order in world.orders.values()
        ),
        "first_order_id": first and first.id,
        "first_order_at": first and moment(first.at),
        "first_order_day": days[0] if days else None,
        "last_order_id": last and last.id,
        "last_order_at": last and moment(last.at),
        "last_order_day": days[-1] if days else None,
        "gaps": len(gaps),
        "gap_days": sum(gaps),
        "points": oracle_points(world, guest, as_of, "points"),
        **tier_columns(world.plan, world.counted(guest, as_of), day_of(as_of)),
        "country": None,
        "stands_from": max((moment(at) for at in moments if at <= as_of), default=None),
        "refresh_at": min((moment(at) for at in moments if at > as_of), default=None),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Histories: each step is a batch as an importer would bring it, with the upkeep that the batch asks for.

moments = st.integers(0, 60 * 24 - 1).map(lambda half_hour: BASE * DAY + half_hour * 3600)
guests = st.sampled_from([*GUESTS, None])
totals = st.integers(0, 3000)
PLANS = (
    None,
    TierPlan("spend", Duration.parse("10 days"), (("silver", 2000), ("gold", 5000)), time(0)),
    TierPlan("visits", Duration.parse("1 month"), (("guest", 0), ("friend", 2), ("family", 5)), time(0)),
)
#: Some hours, weeks, or longer than a store is remembered; in nine hours.
gaps = st.one_of(st.integers(1, 5), st.integers(15, 80), st.just(600))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(guests, st.sampled_from([1, 2, None]), moments, totals), min_size=1, max_size=8)),
        st.tuples(st.just("append"), st.lists(st.tuples(guests, gaps, totals), min_size=1, max_size=6)),
        st.tuples(st.just("correct"), st.integers(0, 30), totals, moments),
        st.tuples(st.just("move"), st.integers(0, 30), guests),
        st.tuples(st.just("refund"), st.integers(0, 30), st.one_of(st.none(), st.integers(0, 3000)), moments),
        st.tuples(
            st.just("points"), st.sampled_from(GUESTS), moments, st.integers(-50, 50).filter(bool),
            st.one_of(st.none(), moments), st.sampled_from(["points", "stamps"]),
        ),
        st.tuples(st.just("tick"), moments),
        st.tuples(st.just("tiers"), st.sampled_from(PLANS)),
    ),
    min_size=1,
    max_size=10,
)  # fmt: skip


def prepare(conn: Connection, as_of: datetime) -> None:
    conn.execute(insert(zones).values(id=1, name="UTC"))
    for number, closed_on in CLOSED_ON.items():
        conn.execute(
            insert(stores).values(
                id=number, source="t", external_id=str(number), name="s", name_key="s", zone_id=1, closed_on=closed_on,
                attributes={},
            )
        )  # fmt: skip
    for guest in GUESTS:
        joined = JOINED[guest]
        conn.execute(
            insert(customers).values(
                id=guest, source="t", external_id=str(guest), zone_id=1, birthday_md=229, store_id=OWN_STORE[guest],
                attributes={}, joined_at=joined and moment(joined), joined_day=joined and day_of(joined),
            )
        )  # fmt: skip
    recompute(conn, GUESTS, as_of)


def add_orders(conn: Connection, world: World, rows: list[tuple[int | None, int | None, int, int]], as_of: int) -> None:
    before = max(world.orders, default=0)
    for number, (guest, store, at, total) in enumerate(rows, before + 1):
        world.orders[number] = Order(number, guest, store, at, total)
        conn.execute(
            insert(orders).values(
                id=number, source="t", external_id=str(number), customer_id=guest, store_id=store, ordered_at=moment(at),
                day=day_of(at), total=total,
            )
        )  # fmt: skip
    apply_delta(conn, after_id=before, as_of=moment(as_of))


def play(conn: Connection, world: World, step: tuple, as_of: int) -> int:
    """Carry one step out, in the database and in the world; gives the time it is now."""
    kind, *rest = step
    known = list(world.orders.values())
    order = known[rest[0] % len(known)] if kind in {"correct", "move", "refund"} and known else None
    if kind == "add":
        add_orders(conn, world, rest[0], as_of)
    elif kind == "append":
        newest = max([order.at for order in known] + [BASE * DAY])
        rows = []
        for guest, hours, total in rest[0]:
            newest += hours * 9 * 3600
            rows.append((guest, [1, 2, None][hours % 3], newest, total))
        as_of = max(as_of, newest)
        bring_to(conn, moment(as_of))
        add_orders(conn, world, rows, as_of)
    elif kind == "points":
        guest, at, pts, expires, ledger = rest
        world.points.append((guest, at, pts, expires, ledger))
        conn.execute(
            insert(points).values(
                id=len(world.points), source="t", external_id=str(len(world.points)), customer_id=guest, at=moment(at),
                points=pts, expires_at=expires and moment(expires), ledger=ledger,
            )
        )  # fmt: skip
        settle(conn, [guest])
        recompute(conn, [guest], moment(as_of))
    elif kind == "tiers":
        world.plan = rest[0]
        use_tiers(conn, world.plan, moment(as_of))
    elif kind == "tick":
        as_of = rest[0]
        bring_to(conn, moment(as_of))
    elif order is not None:
        touched = {order.customer}
        if kind == "correct":
            order.total, order.at = rest[1], rest[2]
        elif kind == "move":
            order.customer = rest[1]
        elif (rest[2], rest[1]) not in order.refunds and all(at != rest[2] for at, _ in order.refunds):
            amount, at = rest[1], rest[2]
            order.refunds.append((at, amount))
            conn.execute(
                insert(refunds).values(
                    source="t", external_id=str(order.id), order_id=order.id, kind="refund", refunded_at=moment(at),
                    amount=amount,
                )
            )  # fmt: skip
        conn.execute(
            update(orders)
            .where(orders.c.id == order.id)
            .values(
                customer_id=order.customer, total=order.total, ordered_at=moment(order.at), day=day_of(order.at),
                refunded_at=min((moment(at) for at, _ in order.refunds), default=None),
            )
        )  # fmt: skip
        recompute(conn, {who for who in [*touched, order.customer] if who}, moment(as_of))
    return as_of


def rows_of(conn: Connection, statement: object) -> dict[int, dict[str, object]]:
    return {row["customer_id"]: dict(row) for row in conn.execute(statement).mappings()}


def changes_of(conn: Connection) -> dict[int, dict[int, tuple[str | None, str | None, str]]]:
    found: dict[int, dict[int, tuple[str | None, str | None, str]]] = {guest: {} for guest in GUESTS}
    for row in conn.execute(select(tier_changes)):
        found[row.customer_id][row.day] = row.from_key, row.to_key, row.kind
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.sampled_from(PLANS), history=steps, start=moments, looks=st.lists(moments, min_size=2, max_size=3))
def test_facts_kept_up_batch_by_batch_equal_a_rebuild_and_plain_python(
    db: Engine, plan: TierPlan | None, history: list[tuple], start: int, looks: list[int]
) -> None:
    with db.connect() as conn, conn.begin() as transaction:
        world, as_of = World(), start
        prepare(conn, moment(as_of))
        for step in [("tiers", plan), *history]:
            as_of = play(conn, world, step, as_of)
            kept = rows_of(conn, select(customer_facts))
            assert kept == {guest: oracle(world, guest, as_of) for guest in GUESTS}, step
        for number, look in enumerate([as_of, *looks]):
            expected = {guest: oracle(world, guest, look) for guest in GUESTS}
            if number:  # the batches themselves must leave the facts right
                bring_to(conn, moment(look))
            kept = rows_of(conn, select(customer_facts))
            assert kept == expected
            asked = edges(conn, world.plan, moment(look))
            fresh = conn.execute(facts_select(moment(look), plan=world.plan), asked).mappings()
            assert {row["customer_id"]: dict(row) for row in fresh} == expected
            if world.plan is not None:
                assert changes_of(conn) == {
                    guest: tier_changes_of(world.plan, world.counted(guest, look), day_of(look)) for guest in GUESTS
                }
            for guest in GUESTS:
                stamps = conn.scalar(
                    select(points_balance(customers.c.id, moment(look), "stamps")).where(customers.c.id == guest)
                )
                assert stamps == oracle_points(world, guest, look, "stamps")
        rebuild(conn, moment(as_of))
        assert rows_of(conn, select(customer_facts)) == {guest: oracle(world, guest, as_of) for guest in GUESTS}
        transaction.rollback()


def test_an_erased_customer_has_no_facts(db: Engine) -> None:
    now = moment(BASE * DAY)
    with db.begin() as conn:
        prepare(conn, now)
        conn.execute(update(customers).where(customers.c.id == 2).values(erased_at=now))
        recompute(conn, [1, 2], now)
        assert conn.scalars(select(customer_facts.c.customer_id).order_by("customer_id")).all() == [1, 3]


def test_nothing_is_recomputed_where_every_row_is_right(db: Engine) -> None:
    with db.begin() as conn:
        prepare(conn, moment(BASE * DAY))
        add_orders(conn, World(), [(1, 1, BASE * DAY, 500)], BASE * DAY)
        assert bring_to(conn, moment(BASE * DAY)) == 0
        assert bring_to(conn, moment(BASE * DAY - 1)) == 1
        assert bring_to(conn, moment(BASE * DAY - 2)) == 0
        assert bring_to(conn, moment(BASE * DAY + 1)) == 1


@pytest.mark.parametrize(
    ("entries", "uses"),
    [
        ([(1, 10, None), (2, -4, None)], [(2, 1, 4)]),
        ([(1, 10, None), (2, 10, 9), (3, -12, None)], [(3, 2, 10), (3, 1, 2)]),
        ([(1, 10, 2), (2, -4, None)], []),
        ([(1, -4, None), (2, 10, None)], []),
        ([(1, 3, None), (2, -9, None), (3, 5, None), (4, -1, None)], [(2, 1, 3), (4, 3, 1)]),
    ],
    ids=["plain", "soonest to expire first", "expired", "a use before the lot", "never below zero"],
)
def test_a_use_takes_from_lots(entries: list[tuple[int, int, int | None]], uses: list[tuple[int, int, int]]) -> None:
    ledger = [Entry(at, moment(at), pts, expires and moment(expires)) for at, pts, expires in entries]
    assert [(use.use_id, use.lot_id, use.points) for use in allocate(ledger)] == uses
