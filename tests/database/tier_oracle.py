"""Tiers as a café with a calendar on the wall would work them out: day by day, from all orders each time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from engine.database.tiers import TierPlan


def tier_on(plan: TierPlan, days: Mapping[int, int], day: int) -> str | None:
    """The tier on a day. ``days``: what each day counts."""
    first_out = plan.within.before(date.fromordinal(day)).toordinal()
    total = sum(worth for each, worth in days.items() if first_out < each <= day)
    held = None
    for key, mark in plan.levels:
        if total >= mark:
            held = key
    return held


def tier_changes_of(
    plan: TierPlan, days: Mapping[int, int], today: int
) -> dict[int, tuple[str | None, str | None, str]]:
    """Every change up to today, by its day: before, after, and whether it goes up or down."""
    order = [None, *(key for key, _ in plan.levels)]
    found, before = {}, tier_on(plan, {}, today)
    for day in range(min(days, default=today), today + 1):
        after = tier_on(plan, days, day)
        if after != before:
            found[day] = before, after, "up" if order.index(after) > order.index(before) else "down"
        before = after
    return found


def tier_columns(plan: TierPlan | None, days: Mapping[int, int], today: int) -> dict[str, object]:
    """What the facts say."""
    if plan is None:
        return {"tier_key": None, "tier_rests_on": None, "tier_fell_with": None}
    held = tier_on(plan, days, today)
    keys = [key for key, _ in plan.levels]
    rank = keys.index(held) if held else -1

    def last_needed(mark: int) -> int | None:
        return max(
            (day for day in days if sum(worth for each, worth in days.items() if each >= day) >= mark), default=None
        )

    mark = plan.levels[rank][1] if held else 0
    above = plan.levels[rank + 1][1] if rank + 1 < len(keys) else None
    return {
        "tier_key": held,
        "tier_rests_on": last_needed(mark) if mark else None,
        "tier_fell_with": None if above is None else last_needed(above),
    }
