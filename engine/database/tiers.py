"""Loyalty tiers: which one a guest's orders of a sliding period give, and on which days it changed.

A tier is a pure function of the orders known at a moment. Of each level only one number matters: the last day that it
still needs, counted back from the newest. While that day lies in the period the guest has the level; so no sum is made
anew when time passes, and the day on which a tier falls is known beforehand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from itertools import groupby
from typing import Any, Literal, NamedTuple
from typing import cast as typed
from zoneinfo import ZoneInfo

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union,
)

from engine.database.counting import AsOf, counts, net_total
from engine.database.packed import packed, packed_cte
from engine.database.tables import customer_facts, customers, orders, tier_changes, tier_plan, zones
from engine.language.times import Duration, business_day

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class TierPlan:
    """How tiers are worked out. ``levels``: key and mark, the lowest first; spend in minor units, or visits.

    A level with the mark 0 is everybody's. ``within`` counts business days back from today, today among them.
    """

    by: Literal["spend", "visits"]
    within: Duration
    levels: tuple[tuple[str, int], ...]
    day_starts: time

    @classmethod
    def from_data(cls, data: Any) -> TierPlan:
        """Read what ``to_data`` gave."""
        levels = tuple((key, mark) for key, mark in data["levels"])
        return cls(data["by"], Duration.parse(data["within"]), levels, time.fromisoformat(data["day_starts"]))

    def to_data(self) -> dict[str, Any]:
        """Give the plan as plain data that JSON can hold."""
        return {
            "by": self.by,
            "within": str(self.within),
            "levels": [list(level) for level in self.levels],
            "day_starts": self.day_starts.isoformat(),
        }

    @cached_property
    def base(self) -> str | None:
        """The level that needs nothing."""
        key, mark = self.levels[0]
        return None if mark else key

    @cached_property
    def marks(self) -> tuple[tuple[str, int], ...]:
        """The levels that need something, the lowest first."""
        return self.levels if self.base is None else self.levels[1:]

    def rank(self, key: str | None) -> int:
        """Tell how high a level is; -1 for none of them."""
        return next((at for at, (level, _) in enumerate(self.levels) if level == key), -1)

    def edge(self, today: date) -> int:
        """Give the last day that is no longer in the period of ``today``."""
        return self.within.before(today).toordinal()

    def leaves(self, day: int) -> int:
        """Give the first day in whose period ``day`` is no longer."""
        return _leaves(self.within, day)


@cache
def _leaves(within: Duration, day: int) -> int:
    first = within.after(date.fromordinal(day)) - 3 * _ONE_DAY  # ends of months: 29 February leaves on 1 March
    while within.before(first).toordinal() < day:
        first += _ONE_DAY
    return first.toordinal()


def plan_of(conn: Connection) -> TierPlan | None:
    """Read by which plan the tiers stand in the facts; None: by the customers' files."""
    data = conn.scalar(select(tier_plan.c.plan))
    return None if data is None else TierPlan.from_data(data)


def remember(conn: Connection, plan: TierPlan | None) -> bool:
    """Write down the plan of the home; tell whether it is another than before. Then all facts are to be made anew."""
    if plan == plan_of(conn):
        return False
    conn.execute(delete(tier_plan))
    conn.execute(delete(tier_changes))
    if plan is not None:
        conn.execute(insert(tier_plan).values(id=1, plan=plan.to_data()))
    return True


# ---------------------------------------------------------------------------------------------------------------------
# The tier in the facts. Days of calendars are worked out in Python and travel in one bind, ``edges``.


def edges(conn: Connection, plan: TierPlan | None, as_of: datetime) -> dict[str, Any]:
    """Give the bind that statements with a plan want: of every zone the last day that is out of the period."""
    if plan is None:
        return {}
    rows = conn.execute(select(zones.c.id, zones.c.name)).all()
    return {
        "edges": packed([(row.id, plan.edge(business_day(as_of, ZoneInfo(row.name), plan.day_starts))) for row in rows])
    }


def edges_on(plan: TierPlan, called: str, todays: Mapping[int, date]) -> BindParameter[str]:
    """Give the same bind under another name, with the day that it is in each zone."""
    return bindparam(called, packed([(zone, plan.edge(today)) for zone, today in todays.items()]), Text)


def _edges(rows: BindParameter[str] | None = None) -> CTE:
    return packed_cte("edges", ("zone_id", "edge"), bindparam("edges", type_=Text) if rows is None else rows)


class Standing(NamedTuple):
    """What ``customer_facts`` says of a tier, as SQL, and what is to be joined for it."""

    needed: CTE  #: one row a customer with a visit
    edges: CTE
    columns: dict[str, ColumnElement[Any]]


def standing(plan: TierPlan, days: CTE, edge_rows: BindParameter[str] | None = None) -> Standing:
    """Give the tier's columns. ``days`` has ``customer_id, day, orders, spend``, one row a customer and day.

    ``edge_rows``: what ``edges_on`` gives; without it the statement wants the bind of ``edges``.
    """
    worth = days.c.spend if plan.by == "spend" else literal(1, Integer)
    since = (
        select(
            days.c.customer_id,
            days.c.day,
            func.sum(worth).over(partition_by=days.c.customer_id, order_by=days.c.day.desc()).label("worth"),
        )
        .where(days.c.orders > 0)
        .cte("since")
    )
    lasts = [func.max(case((since.c.worth >= mark, since.c.day))) for _, mark in plan.marks]
    needed = (
        select(since.c.customer_id, *(last.label(f"level{at}") for at, last in enumerate(lasts)))
        .group_by(since.c.customer_id)
        .cte("needed")
    )
    edge, none = _edges(edge_rows), cast(null(), Integer)
    rows: list[tuple[ColumnElement[bool], ColumnElement[Any], ColumnElement[Any], ColumnElement[Any]]] = []
    lost: ColumnElement[Any] = none
    for at, (key, _) in reversed(list(enumerate(plan.marks))):
        day = needed.c[f"level{at}"]
        rows.append((day > edge.c.edge, literal(key, Text), day, lost))
        lost = day
    return Standing(
        needed,
        edge,
        {
            "tier_key": case(*((held, key) for held, key, _, _ in rows), else_=literal(plan.base, Text)),
            "tier_rests_on": case(*((held, day) for held, _, day, _ in rows), else_=none),
            "tier_fell_with": case(*((held, above) for held, _, _, above in rows), else_=lost),
        },
    )


def stale() -> Select[Any]:
    """SQL: customers whose tier fell since, or had not yet fallen then."""
    edge, f, g = _edges(), customer_facts.alias("falls"), customer_facts.alias("fell")
    falls = select(f.c.customer_id).join(edge, edge.c.zone_id == f.c.zone_id).where(f.c.tier_rests_on <= edge.c.edge)
    fell = select(g.c.customer_id).join(edge, edge.c.zone_id == g.c.zone_id).where(g.c.tier_fell_with > edge.c.edge)
    both = union(falls, fell).subquery("tiers")
    return select(both.c.customer_id)


# ---------------------------------------------------------------------------------------------------------------------
# Changes: worked out for guests who ever had enough for a tier.


class Change(NamedTuple):
    """The tier before and after a business day; None is no tier."""

    day: int
    before: str | None
    after: str | None


def changes(plan: TierPlan, days: Sequence[tuple[int, int]], today: int) -> Iterator[Change]:
    """Give every change up to ``today``. ``days``: day and what it counts, in their order, none after today."""
    left = [plan.leaves(day) for day, _ in days]
    before, total, come, gone = plan.base, 0, 0, 0
    for day in sorted({each for each, _ in days} | {each for each in left if each <= today}):
        while come < len(days) and days[come][0] <= day:
            total += days[come][1]
            come += 1
        while gone < come and left[gone] <= day:
            total -= days[gone][1]
            gone += 1
        after = next((key for key, mark in reversed(plan.marks) if total >= mark), plan.base)
        if after != before:
            yield Change(day, before, after)
        before = after


def write_changes(conn: Connection, plan: TierPlan, customer_ids: Sequence[int], as_of: datetime) -> None:
    """Make ``tier_changes`` of these customers what their orders say; the facts stand at ``as_of``.

    Orders that come late, or a refund, may put a change on another day: it keeps the occasion under which it was known.
    """
    wanted: dict[tuple[int, int], dict[str, Any]] = {
        (customer, each.day): {
            "customer_id": customer,
            "day": each.day,
            "from_key": each.before,
            "to_key": each.after,
            "kind": "up" if plan.rank(each.after) > plan.rank(each.before) else "down",
        }
        for customer, zone, days in _histories(conn, plan, customer_ids, as_of)
        for each in changes(plan, days, business_day(as_of, zone, plan.day_starts).toordinal())
    }
    c = tier_changes.c
    known = conn.execute(select(tier_changes).where(c.customer_id.in_(customer_ids))).mappings()
    there = {(row["customer_id"], row["day"]): dict(row) for row in known}
    told = {key: row.pop("occasion") for key, row in there.items()}
    gone = [key for key, row in there.items() if wanted.get(key) != row]
    for customer, keys in groupby(sorted(gone), key=lambda key: key[0]):
        conn.execute(delete(tier_changes).where(c.customer_id == customer, c.day.in_([day for _, day in keys])))
    fresh = [row for key, row in wanted.items() if there.get(key) != row]
    if fresh:
        _keep_occasions(fresh, {key: {**there[key], "occasion": told[key]} for key in there}, set(gone))
        conn.execute(insert(tier_changes), fresh)


def _keep_occasions(
    fresh: Sequence[dict[str, Any]], there: Mapping[tuple[int, int], Mapping[str, Any]], gone: set[tuple[int, int]]
) -> None:
    """Give each new row the occasion of the change that went in its place, if one did, and never another's."""
    taken: defaultdict[int, set[int]] = defaultdict(set)
    for key, row in there.items():
        if key not in gone:
            taken[key[0]].add(row["occasion"] or _yyyymmdd(row["day"]))
    for alike in (("customer_id", "from_key", "to_key"), ("customer_id", "to_key", "kind")):
        places: defaultdict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
        for key in gone:
            places[tuple(there[key][name] for name in alike)].append(key)
        for row in (row for row in fresh if "occasion" not in row):
            if same := places[tuple(row[name] for name in alike)]:
                was = min(same, key=lambda key: (abs(key[1] - row["day"]), key))
                same.remove(was)
                gone.remove(was)
                row["occasion"] = there[was]["occasion"] or _yyyymmdd(was[1])
                taken[row["customer_id"]].add(row["occasion"])
    for row in (row for row in fresh if "occasion" not in row):
        day, mine = row["day"], taken[row["customer_id"]]
        while _yyyymmdd(day) in mine:
            day += 1
        mine.add(_yyyymmdd(day))
        row["occasion"] = _yyyymmdd(day)
    for row in fresh:
        row["occasion"] = None if row["occasion"] == _yyyymmdd(row["day"]) else row["occasion"]


def _yyyymmdd(day: int) -> int:
    return int(f"{date.fromordinal(day):%Y%m%d}")


class Shortfall(NamedTuple):
    """A tier that falls by itself: on which day, to which one, and what is missing to keep it (minor units, visits)."""

    tier: str
    day: int
    after: str | None
    missing: int


def shortfall(conn: Connection, plan: TierPlan | None, customer_id: int, as_of: datetime) -> Shortfall | None:
    """Tell when the customer's tier falls, and what would keep it; None for one that does not fall.

    The facts stand at ``as_of``.
    """
    f = customer_facts.c
    row = conn.execute(select(f.tier_key, f.tier_rests_on).where(f.customer_id == customer_id)).one_or_none()
    if plan is None or row is None or row.tier_rests_on is None:
        return None
    day = plan.leaves(row.tier_rests_on)
    edge = plan.edge(date.fromordinal(day))
    kept = sum(
        worth for _, _, days in _histories(conn, plan, [customer_id], as_of) for each, worth in days if each > edge
    )
    after = next((key for key, mark in reversed(plan.marks) if kept >= mark), plan.base)
    return Shortfall(row.tier_key, day, after, dict(plan.levels)[row.tier_key] - kept)


def _histories(
    conn: Connection, plan: TierPlan, customer_ids: Iterable[int], as_of: datetime
) -> Iterator[tuple[int, ZoneInfo, list[tuple[int, int]]]]:
    """Give days and what they count, of those customers who ever had enough for the lowest level."""
    if not plan.marks:
        return
    rows = conn.execute(_history(plan), {"ids": list(customer_ids), "as_of": as_of, "least": plan.marks[0][1]})
    for (customer, zone), days in groupby(rows, key=lambda row: (row.customer_id, row.name)):
        yield customer, ZoneInfo(zone), [(row.day, int(row.worth)) for row in days]


@cache
def _history(plan: TierPlan) -> Select[Any]:
    as_of: AsOf = typed("Any", bindparam("as_of", type_=orders.c.ordered_at.type))
    o, f = orders.alias("o"), customer_facts
    worth = func.sum(net_total(o, as_of)) if plan.by == "spend" else literal(1, Integer)
    return (
        select(o.c.customer_id, zones.c.name, o.c.day, worth.label("worth"))
        .join(f, f.c.customer_id == o.c.customer_id)
        .join(zones, zones.c.id == f.c.zone_id)
        .where(
            f.c.customer_id.in_(bindparam("ids", expanding=True, type_=customers.c.id.type)),
            f.c[plan.by] >= bindparam("least", type_=f.c[plan.by].type),
            counts(o, as_of),
        )
        .group_by(o.c.customer_id, zones.c.name, o.c.day)
        .order_by(o.c.customer_id, o.c.day)
    )


def with_changes() -> Select[Any]:
    """SQL: customers of whom a change is written down."""
    return select(tier_changes.c.customer_id).distinct()


def above_least(plan: TierPlan) -> ColumnElement[bool]:
    """SQL: the customer of ``customer_facts`` ever had enough for the lowest level, or is known to have had."""
    least = plan.marks[0][1] if plan.marks else None
    known = customer_facts.c.customer_id.in_(with_changes())
    return known if least is None else or_(customer_facts.c[plan.by] >= least, known)
