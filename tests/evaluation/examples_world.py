"""For each word of the reference a guest whom its example finds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from earlier import coupon, event
from small_world import Cafe, at
from sqlalchemy import insert

from engine.database.tables import tier_changes
from engine.intake.events import record_event

NOW = at("2026-05-04 10:00")
#: When the example of a trigger with a date of its own fires.
MOMENTS = {"festival": at("2026-05-05 10:00"), "on_date": at("2026-12-06 10:00")}
#: Triggers that fire for all guests alike.
OF_EVERYBODY = {"festival", "on_date", "every"}
#: The system that the example of `webhook` tells.
WEBHOOK = "webhooks:\n  loyalty-app:\n    connector: file"


def days_ago(days: int):
    return NOW - timedelta(days=days)


def comes(cafe: Cafe, *days: int, **more) -> int:
    """A guest with an order that many days ago."""
    guest = cafe.guest(**more.pop("guest", {}))
    for each in days:
        cafe.order(guest, days_ago(each), **more)
    return guest


def _at_store(cafe: Cafe) -> int:
    return comes(cafe, 5, store=cafe.store("Mill Lane"))


def _with_points(cafe: Cafe) -> int:
    guest = cafe.guest()
    cafe.points(guest, days_ago(5), 150)
    return guest


def _tasted(cafe: Cafe) -> int:
    guest = cafe.guest()
    about = {"customer_id": guest, "store_id": None, "at": days_ago(2), "data": {"drink": "Espresso"}}
    with cafe.db.begin() as conn:
        record_event(conn, "tasting", name="Tasting", **about)
    return guest


def _newly_regular(cafe: Cafe) -> int:
    """A guest who has come often since the rule was checked, a year ago."""
    cafe.verdicts("trigger:\n  enters: regulars\n", days_ago(365))
    return comes(cafe, *range(1, 60, 3))


def _with_points_that_expire(cafe: Cafe) -> int:
    guest = cafe.guest()
    cafe.points(guest, days_ago(50), 80, days_ago(-10))
    return guest


def _rated(cafe: Cafe, score: float = 1) -> int:
    guest = cafe.guest()
    cafe.rating(guest, days_ago(1), score)
    return guest


def _rose(cafe: Cafe) -> int:
    guest = cafe.guest(tier="Gold")
    day = {"day": days_ago(2).toordinal(), "from_key": "silver", "to_key": "gold", "kind": "none"}
    with cafe.db.begin() as conn:
        conn.execute(insert(tier_changes).values(customer_id=guest, **day))
    return guest


def _with_a_friend(cafe: Cafe) -> int:
    guest = cafe.guest(external_id="brings-friends")
    cafe.order(cafe.guest(referred_by="brings-friends"), days_ago(1))
    return guest


def _with_a_coupon(cafe: Cafe) -> int:
    guest = cafe.guest()
    coupon(cafe, guest, days_ago(1))
    return guest


def _at_a_tasting(cafe: Cafe) -> int:
    guest = cafe.guest()
    event(cafe, guest, days_ago(9), "Tasting")
    return guest


def _refunded(cafe: Cafe) -> int:
    guest = cafe.guest()
    cafe.refund(cafe.order(guest, days_ago(5)), days_ago(4))
    return guest


def _rated_well(cafe: Cafe) -> int:
    guest = cafe.guest()
    cafe.rating(guest, days_ago(9), 2)
    cafe.rating(guest, days_ago(1), 5)
    return guest


def _lately_rated(cafe: Cafe) -> int:
    guest = cafe.guest()
    cafe.rating(guest, days_ago(1), 2)
    return guest


GUESTS: dict[tuple[str, str], Callable[[Cafe], int]] = {
    ("triggers", "lapsed"): lambda cafe: comes(cafe, 100),
    ("triggers", "at_risk"): lambda cafe: comes(cafe, *range(20, 40, 2)),
    ("triggers", "birthday"): lambda cafe: cafe.guest(birthday=511),
    ("triggers", "anniversary"): lambda cafe: cafe.guest(joined=at("2024-05-07 10:00")),
    ("triggers", "festival"): lambda cafe: cafe.guest(),
    ("triggers", "on_date"): lambda cafe: cafe.guest(),
    ("triggers", "every"): lambda cafe: cafe.guest(),
    ("triggers", "joined"): lambda cafe: cafe.guest(joined=days_ago(2)),
    ("triggers", "ordered"): lambda cafe: comes(cafe, 10),
    ("triggers", "reached"): lambda cafe: comes(cafe, 1, total=50_000),
    ("triggers", "tier_changed"): _rose,
    ("triggers", "rated"): lambda cafe: _rated(cafe, 5),
    ("triggers", "low_rating"): _rated,
    ("triggers", "referred"): _with_a_friend,
    ("triggers", "expiring"): _with_points_that_expire,
    ("triggers", "enters"): _newly_regular,
    ("triggers", "event"): _tasted,
    ("conditions", "orders"): lambda cafe: comes(cafe, 5, 6, 7),
    ("conditions", "visits"): lambda cafe: comes(cafe, 1, 2, 8, 9),
    ("conditions", "average_order"): lambda cafe: comes(cafe, 5, total=1250),
    ("conditions", "refunds"): _refunded,
    ("conditions", "mean_gap"): lambda cafe: comes(cafe, 5, 12),
    ("conditions", "favourite"): lambda cafe: comes(cafe, 5, 6, items=(("Latte", "Coffee"),)),
    ("conditions", "rank"): lambda cafe: comes(cafe, 5),
    ("conditions", "ratings"): _lately_rated,
    ("conditions", "last_rating"): _rated_well,
    ("conditions", "average_rating"): _lately_rated,
    ("conditions", "coupons"): _with_a_coupon,
    ("conditions", "messages"): lambda cafe: cafe.guest(),
    ("conditions", "events"): _at_a_tasting,
    ("conditions", "gender"): lambda cafe: cafe.guest(gender="F"),
    ("conditions", "age"): lambda cafe: cafe.guest(birthday=504, birthday_year=2008),
    ("conditions", "joined_days"): lambda cafe: cafe.guest(joined=days_ago(365)),
    ("conditions", "birthday_month"): lambda cafe: cafe.guest(birthday=531),
    ("conditions", "attribute.<name>"): lambda cafe: cafe.guest(attributes={"vip_level": "Gold"}),
    ("conditions", "spend"): lambda cafe: comes(cafe, 5, total=9000),
    ("conditions", "days_since_order"): lambda cafe: comes(cafe, 40),
    ("conditions", "points"): _with_points,
    ("conditions", "tag"): lambda cafe: cafe.guest(tagged=("vegetarian",)),
    ("conditions", "tier"): lambda cafe: cafe.guest(tier="Gold"),
    ("conditions", "city"): lambda cafe: cafe.guest(city="Springfield"),
    ("conditions", "language"): lambda cafe: cafe.guest(language="zh-Hans"),
    ("conditions", "store"): _at_store,
    ("conditions", "reachable"): lambda cafe: cafe.guest(sms="+15005550123"),
    ("conditions", "segment"): lambda cafe: comes(cafe, 5, 6, 7, 8),
    ("conditions", "any"): lambda cafe: cafe.guest(tier="Gold"),
    ("conditions", "all"): lambda cafe: comes(cafe, *range(5), items=(("Soup", "Lunch"), ("Latte", "Coffee"))),
    ("conditions", "none"): lambda cafe: cafe.guest(),
    ("filters", "within"): lambda cafe: comes(cafe, 5, 6),
    ("filters", "before"): lambda cafe: comes(cafe, 40),
    ("filters", "since"): lambda cafe: comes(cafe, 40),
    ("filters", "store"): _at_store,
    ("filters", "channel"): lambda cafe: comes(cafe, 5, channel="takeaway"),
    ("filters", "product"): lambda cafe: comes(cafe, 5, items=(("Oat latte", "Coffee"),)),
    ("filters", "category"): lambda cafe: comes(cafe, 5, items=(("Soup", "Lunch"),)),
    ("filters", "weekday"): lambda cafe: comes(cafe, 1),
    ("filters", "hours"): lambda cafe: comes(cafe, 5),
    ("filters", "total"): lambda cafe: comes(cafe, 5, total=5000),
    **{
        ("numbers", word): (lambda cafe: comes(cafe, 5, 6, 7))
        for word in ("at_least", "at_most", "equals", "between", "one_of")
    },
    ("numbers", "more_than"): lambda cafe: comes(cafe, 5, 6, 7, 8),
    ("numbers", "less_than"): lambda cafe: comes(cafe, 5),
    **{("numbers", word): (lambda cafe: comes(cafe, 5, 6)) for word in ("is_not", "none_of")},
    **{("texts", word): (lambda cafe: cafe.guest(city="Springfield")) for word in ("equals", "one_of")},
    **{("texts", word): (lambda cafe: cafe.guest(city="Oslo")) for word in ("is_not", "none_of")},
}
