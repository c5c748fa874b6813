"""The twelve shipped rules, each as its expert would find its guests."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

from benchmarks.byhand import Moment, Written


def written(m: Moment) -> list[Written]:
    """Give the rules for a moment."""
    return [*_absent(m), *_happened(m), *_orders(m)]


def _facts(m: Moment, key: str) -> str:
    """SQL: guests by an open key; SQLite is told to begin with the few keys."""
    return f"d {'CROSS' if m.sqlite else ''} JOIN customer_facts f ON f.{key} = d.key"


def _lapsed(m: Moment, after: str, up_to: str) -> str:
    return f"d({m.key_columns}) AS (VALUES {m.open_days(after, up_to)})"


def _absent(m: Moment) -> list[Written]:
    quiet = _facts(m, "last_order_day")
    days = " ".join(f"WHEN {row} THEN {m.today(zone).toordinal()}" for row, zone in m.zones.items())
    away = f"(CASE f.zone_id {days} END - f.last_order_day)"
    spent = (
        "SELECT sum(o.total - CASE WHEN o.refunded_at IS NULL OR o.refunded_at > {at} THEN 0 ELSE (SELECT coalesce("
        "sum(coalesce(x.amount, o.total)), 0) FROM refunds x WHERE x.order_id = o.id AND x.refunded_at <= {at}) END) "
        "FROM orders o WHERE o.customer_id = f.customer_id AND o.day > {since} AND o.ordered_at <= {at}"
    ).format(at=m.at, since=m.since("1 year"))
    big = f"f.spend >= 50000 AND f.last_order_day > {m.since('1 year')} AND ({spent}) >= 50000"
    return [
        Written(
            "second-visit",
            f"{quiet} WHERE f.visits = 1",
            _lapsed(m, "10 days", "13 days"),
            again=m.again("10 days"),
            holdout=1000,
            priority=40,
            coupon=(1, "free-drink"),
            email=(2, "second-visit"),
            sms=(4, "second-visit"),
            sms_waits=timedelta(5),
        ),
        Written(
            "reward-waiting",
            f"{quiet} WHERE f.points >= 200",
            _lapsed(m, "21 days", "35 days"),
            again=m.again("60 days"),
            topic="news",
            priority=50,
            email=(1, "reward-waiting"),
            sms=(3, "reward-waiting"),
            sms_waits=timedelta(4),
        ),
        Written(
            "at-risk",
            f"{quiet} WHERE f.visits >= 5 AND f.points < 200 AND {away} * f.gaps > f.gap_days * 3.0",
            _lapsed(m, "14 days", "74 days"),
            again=m.again("60 days"),
            topic="news",
            holdout=1000,
            priority=60,
            email=(1, "at-risk"),
        ),
        Written(
            "big-spender-quiet",
            f"{quiet} WHERE (f.tier_key = 'gold' OR {big})",
            _lapsed(m, "42 days", "56 days"),
            again=m.again("90 days"),
            topic="",
            priority=70,
            alert=(1, "big-spender-alert"),
        ),
        Written(
            "win-back",
            f"{quiet} WHERE f.orders >= 3",
            _lapsed(m, "90 days", "120 days"),
            again=m.again("180 days"),
            holdout=1000,
            priority=80,
            coupon=(1, "twenty-percent"),
            email=(2, "win-back"),
            sms=(4, "win-back-reminder"),
            sms_waits=timedelta(5),
        ),
        Written(
            "long-lost",
            f"{quiet} WHERE f.orders >= 5 AND f.spend >= 5000",
            _lapsed(m, "1 year", "13 months"),
            again=m.again("2 years"),
            priority=90,
            coupon=(1, "drink-and-pastry"),
            email=(2, "long-lost"),
            on="tue wed thu",
        ),
    ]


def _happened(m: Moment) -> list[Written]:
    joined: dict[int, dict[int, int]] = {}
    birthdays: dict[int, dict[int, int]] = {}
    for row, zone in m.zones.items():
        today = m.today(zone)
        for ago in range(7):
            day = today - timedelta(ago)
            joined.setdefault(day.toordinal(), {})[row] = m.start(day + timedelta(7), zone)
        for ago in range(2):
            born = today + timedelta(7 - ago)
            birthdays.setdefault(born.month * 100 + born.day, {})[row] = m.start(today + timedelta(2 - ago), zone)
    cross = "CROSS" if m.sqlite else ""
    year = m.now.year  # no birthday of these days lies in another year
    rated = f"r.rated_at > {m.at - 259_200} AND r.rated_at <= {m.at} AND r.score <= 2"
    return [
        Written(
            "welcome",
            f"{_facts(m, 'joined_day')} WHERE f.joined_at <= {m.at}",
            f"d({m.key_columns}) AS (VALUES {m.values(joined)})",
            occasion="0",
            priority=30,
            coupon=(1, "welcome-pastry"),
            email=(2, "welcome"),
        ),
        Written(
            "birthday",
            f"{_facts(m, 'birthday_md')} WHERE f.birthday_calendar = 'solar' AND f.orders >= 1 "
            f"AND f.last_order_day > {m.since('1 year')}",
            f"d({m.key_columns}) AS (VALUES {m.values(birthdays)})",
            occasion=str(year),
            priority=10,
            coupon=(1, "birthday-cake"),
            email=(2, "birthday"),
            sms=(4, "birthday"),
            sms_waits=timedelta(7),
        ),
        Written(
            "low-rating",
            f"ratings r {cross} JOIN customer_facts f ON f.customer_id = r.customer_id WHERE {rated}",
            occasion="r.id",
            closes="r.rated_at + 259200",
            rating_id="r.id",
            fired_store="r.store_id",
            again=m.again("7 days"),
            topic="",
            priority=1,
            alert=(1, "low-rating-alert"),
            email=(2, "low-rating"),
        ),
    ]


def _counts(m: Moment, order: str) -> str:
    """SQL: the order was not given back."""
    back = f"SELECT coalesce(sum(coalesce(x.amount, {order}.total)), 0) FROM refunds x WHERE x.order_id = {order}.id"
    return (
        f"{order}.ordered_at <= {m.at} AND ({order}.refunded_at IS NULL OR {order}.refunded_at > {m.at} "
        f"OR ({back} AND x.refunded_at <= {m.at}) < {order}.total)"
    )


def _has(order: str, category: str) -> str:
    return (
        f"EXISTS (SELECT 1 FROM order_items i JOIN products p ON p.id = i.product_id WHERE i.order_id = {order}.id "
        f"AND p.category_key = '{category}')"
    )


def _recent(m: Moment, ago: int) -> tuple[str, str]:
    """SQL: orders of the three business days that end so many days ago, with their guest, and the open days."""
    days: dict[int, dict[int, int]] = {}
    for row, zone in m.zones.items():
        for back in range(ago, ago + 3):
            day = m.today(zone) - timedelta(back)
            days.setdefault(day.toordinal(), {})[row] = m.start(day + timedelta(ago + 3), zone)
    first = min(m.start(m.today(zone) - timedelta(ago + 2), zone) for zone in m.zones.values())
    last = max(m.start(m.today(zone) - timedelta(ago - 1), zone) for zone in m.zones.values())
    cross = "CROSS" if m.sqlite else ""
    source = f"orders o {cross} JOIN customer_facts f ON f.customer_id = o.customer_id {cross} JOIN d ON d.key = o.day"
    return (
        f"{source} WHERE o.ordered_at >= {first} AND o.ordered_at < {last}",
        f"d({m.key_columns}) AS (VALUES {m.values(days)})",
    )


def _orders(m: Moment) -> list[Written]:
    lunch, lunch_days = _recent(m, 1)
    catering, catering_days = _recent(m, 2)
    cross = "CROSS" if m.sqlite else ""
    earlier = (
        "NOT EXISTS (SELECT 1 FROM orders e WHERE e.customer_id = o.customer_id AND {} AND {} AND {} AND "
        "(e.ordered_at < o.ordered_at OR e.ordered_at = o.ordered_at AND e.id < o.id))"
    )
    visits = (
        "CASE WHEN o.day = f.last_order_day THEN f.visits ELSE (SELECT count(DISTINCT v.day) FROM orders v "
        f"WHERE v.customer_id = o.customer_id AND v.day <= o.day AND {_counts(m, 'v')}) END"
    )
    tenth = (
        f"orders o {cross} JOIN customer_facts f ON f.customer_id = o.customer_id "
        f"WHERE o.ordered_at > {m.at - 259_200} AND f.visits >= 10 AND {_counts(m, 'o')} AND {visits} % 10 = 0 AND "
        + earlier.format("e.day = o.day", _counts(m, "e"), "true")
    )
    fired: dict[str, Any] = {"occasion": "o.id", "order_id": "o.id", "fired_store": "o.store_id"}
    return [
        Written(
            "first-lunch",
            # The first lunch of all: none before it on any day.
            f"{lunch} AND f.visits >= 4 AND {_counts(m, 'o')} AND {_has('o', 'lunch')} AND "
            + earlier.format("e.day <= o.day", _counts(m, "e"), _has("e", "lunch")),
            lunch_days,
            **fired,
            priority=50,
            coupon=(1, "lunch-again"),
            email=(2, "first-lunch"),
            between=(time(9), time(11, 30)),
        ),
        Written(
            "tenth-visit",
            tenth,
            closes="o.ordered_at + 259200",
            **fired,
            priority=40,
            coupon=(1, "free-drink"),
            email=(2, "tenth-visit"),
        ),
        Written(
            "catering-thanks",
            f"{catering} AND {_counts(m, 'o')} AND {_has('o', 'catering')}",
            catering_days,
            **fired,
            again=m.again("30 days"),
            topic="news",
            priority=20,
            email=(1, "catering-thanks"),
        ),
    ]
