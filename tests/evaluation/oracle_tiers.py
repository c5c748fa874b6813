"""The tiers of config/loyalty.yaml, in plain Python: a sum over the orders of a period, anew for each day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from oracle_seen import Seen
from oracle_world import DAY, Plan, shift


def tier_of(seen: Seen) -> str | None:
    """The guest's tier now: as worked out, else as the customers' file says."""
    plan = seen.world.plan
    return seen.guest.tier if plan is None else _tier_on(plan, _worths(plan, seen), seen.today)


def rank_of(seen: Seen, tier: str | None) -> int:
    """How high a tier is; none is below all."""
    assert seen.world.plan is not None
    return -1 if tier is None else seen.world.plan.levels[tier]


def changes_of(seen: Seen, until: date) -> Iterator[tuple[date, str | None, str | None]]:
    """Each day up to ``until`` on which the tier is another than the day before: the day, from what, to what.

    After today as if nobody came again.
    """
    plan = seen.world.plan
    assert plan is not None
    worths = _worths(plan, seen)
    day = min(worths, default=until) - DAY
    before = _tier_on(plan, worths, day)
    while day < until:
        day += DAY
        after = _tier_on(plan, worths, day)
        if before != after:
            yield day, before, after
        before = after


def falls(seen: Seen, until: date) -> Iterator[date]:
    """The days on which the tier fell, and the first after today, up to ``until``, on which it does if nobody comes."""
    for day, before, after in changes_of(seen, max(until, seen.today)):
        if rank_of(seen, after) < rank_of(seen, before):
            yield day
            if day > seen.today:
                return


def _worths(plan: Plan, seen: Seen) -> dict[date, int]:
    """What each day with an order counts: the minor units spent, or a hundred for the visit."""
    found: dict[date, int] = {}
    for order in seen.orders():
        day = seen.day(order)
        found[day] = 100 if plan.by == "visits" else found.get(day, 0) + (order.net(seen.now) or 0)
    return found


def _tier_on(plan: Plan, worths: dict[date, int], day: date) -> str | None:
    edge = shift(day, plan.within, -1)
    worth = sum(each for there, each in worths.items() if edge < there <= day)
    reached = [(at, name) for name, at in plan.levels.items() if worth >= 100 * at]
    return max(reached)[1] if reached else None
