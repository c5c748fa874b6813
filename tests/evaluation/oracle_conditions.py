"""What the conditions of the language mean, in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from oracle_seen import WEEKDAYS, Seen
from oracle_world import day_of, fits, passes

Asked = Any  #: what stands under a word, as plain data


def meets(seen: Seen, conditions: dict[str, Any]) -> bool:
    """Whether all conditions of a map hold."""
    return all(holds(seen, word, asked) for word, asked in conditions.items())


def holds(seen: Seen, word: str, asked: Asked) -> bool:
    """Whether one condition holds."""
    if word in {"any", "all", "none"}:
        met = [meets(seen, member) for member in asked]
        return {"any": any(met), "all": all(met), "none": not any(met)}[word]
    if word.startswith("attribute."):
        return attribute(seen, word.removeprefix("attribute."), asked)
    if word in FACTS:
        return passes(seen.fact(word, asked), asked)
    return CONDITIONS[word](seen, asked)


def segment(seen: Seen, asked: Asked) -> bool:
    return meets(seen, seen.world.segments[asked]["conditions"])


# -- what the guest is -------------------------------------------------------------------------------------------------


def language(seen: Seen, asked: Asked) -> bool:
    spoken = seen.guest.language
    return fits(asked, *([spoken, spoken.split("-")[0]] if spoken else []))


def store(seen: Seen, asked: Asked) -> bool:
    return fits(asked, *seen.world.stores.get(seen.store() or 0, ()))


def reachable(seen: Seen, asked: Asked) -> bool:
    by = {"email": seen.block(seen.guest.email) is None, "sms": seen.block(seen.guest.sms) is None}
    return {**by, "any": any(by.values()), "none": not any(by.values())}[asked]


def age(seen: Seen, asked: Asked) -> bool:
    years = seen.age()
    return passes(None if years is None else Fraction(years), asked)


def joined_days(seen: Seen, asked: Asked) -> bool:
    at = seen.joined_at()
    return passes(None if at is None else Fraction((seen.today - day_of(at, seen.guest)).days), asked)


def birthday_month(seen: Seen, asked: Asked) -> bool:
    """The month in which the birthday falls; ``this`` and ``next`` are counted from today."""
    if seen.guest.birthday is None:
        return fits(asked)
    this = seen.today.month
    wanted = {"this": this, "next": this % 12 + 1}
    month = seen.guest.birthday // 100
    return month in {wanted.get(each, each) for each in (asked if isinstance(asked, list) else [asked])}


def attribute(seen: Seen, name: str, asked: Asked) -> bool:
    """Undeclared attributes are text; numbers and dates are declared in the config."""
    given = seen.guest.attributes.get(name)
    kind = seen.world.attribute_types.get(name, "text")
    if kind == "number":
        return passes(None if given is None else Fraction(given), asked)
    return fits(asked, given)


# -- what happened -----------------------------------------------------------------------------------------------------


def favourite(seen: Seen, asked: Asked) -> bool:
    """Of what the guest has most orders; of several the one ordered last."""
    of = asked["of"]
    if of in {"product", "category"} and not seen.knows({of: "*"}):
        return fits(_tests(asked))
    counted: Counter[str] = Counter()
    last: dict[str, Any] = {}
    for order in seen.orders(asked):
        values: Iterable[str] = {
            "product": sorted({item[0] for item in order.items}),
            "category": sorted({item[1] for item in order.items}),
            "store": [str(order.store)] if order.store else [],
            "weekday": [WEEKDAYS[seen.day(order).weekday()]],
        }[of]
        for value in values:
            counted[value] += 1
            last[value] = (order.at, order.id)
    if not counted:
        return fits(_tests(asked))
    best = max(counted, key=lambda value: (counted[value], last[value]))
    names = seen.world.stores[int(best)] if of == "store" else (best,)
    return fits(_tests(asked), *names)


def _tests(asked: Asked) -> dict[str, Any]:
    return {word: asked[word] for word in ("equals", "is_not", "one_of", "none_of") if word in asked}


def _rated(seen: Seen, asked: Asked) -> list[float]:
    """The scores of the guest's ratings in the period, the first one first."""
    asked = asked if isinstance(asked, dict) else {}
    mine = sorted(
        (at, number, score)
        for number, who, at, score, source in seen.world.ratings
        if who == seen.guest.id and seen.in_period(at, asked) and fits(asked.get("source", "*"), source)
    )
    return [score for _, _, score in mine]  # fmt: skip


def ratings(seen: Seen, asked: Asked) -> bool:
    return passes(Fraction(len(_rated(seen, asked))), asked)


def last_rating(seen: Seen, asked: Asked) -> bool:
    scores = _rated(seen, asked)
    return passes(Fraction(scores[-1]) if scores else None, asked)


def average_rating(seen: Seen, asked: Asked) -> bool:
    scores = [Fraction(score) for score in _rated(seen, asked)]
    return passes(sum(scores, Fraction(0)) / len(scores) if scores else None, asked)


def points(seen: Seen, asked: Asked) -> bool:
    ledger = asked.get("ledger", "points") if isinstance(asked, dict) else "points"
    return passes(Fraction(seen.points(ledger)), asked)


def coupons(seen: Seen, asked: Asked) -> bool:
    """How many coupons the guest has, by offer and by state."""
    asked = asked if isinstance(asked, dict) else {"equals": asked}
    count = 0
    for coupon in seen.world.coupons:
        if coupon.guest != seen.guest.id or coupon.issued is None or not seen.in_period(coupon.issued, asked):
            continue
        state = (
            "redeemed" if coupon.redeemed and coupon.redeemed <= seen.now
            else "revoked" if coupon.revoked and coupon.revoked <= seen.now
            else "expired" if coupon.until and coupon.until <= seen.now
            else "live"
        )  # fmt: skip
        count += fits(asked.get("offer", "*"), coupon.offer) and fits(asked.get("state", "*"), state)
    return _counted(count, asked)


def messages(seen: Seen, asked: Asked) -> bool:
    asked = asked if isinstance(asked, dict) else {"equals": asked}
    count = sum(
        all(fits(asked.get(word, "*"), getattr(message, word)) for word in ("rule", "channel", "state"))
        for message in seen.world.messages
        if message.guest == seen.guest.id and seen.in_period(message.at, asked)
    )
    return _counted(count, asked)


def events(seen: Seen, asked: Asked) -> bool:
    asked = {"name": asked} if isinstance(asked, str) else asked
    count = sum(
        fits(asked.get("name", "*"), event.name) and all(
            fits(test, event.data.get(key)) for key, test in asked.get("where", {}).items()
        )
        for event in seen.world.events
        if event.guest == seen.guest.id and seen.in_period(event.at, asked)
    )  # fmt: skip
    return _counted(count, asked)


def _counted(count: int, asked: dict[str, Any]) -> bool:
    """A count with filters and without a test: at least one."""
    return passes(Fraction(count), asked) if _is_tested(asked) else count > 0


def _is_tested(asked: dict[str, Any]) -> bool:
    return bool(set(asked) & {"at_least", "at_most", "more_than", "less_than", "equals", "is_not", "between", "one_of",
                              "none_of"})  # fmt: skip


FACTS = ("orders", "visits", "spend", "average_order", "refunds", "days_since_order", "mean_gap")
CONDITIONS: dict[str, Callable[[Seen, Asked], bool]] = {
    "segment": segment,
    "tier": lambda seen, asked: fits(asked, seen.guest.tier),
    "tag": lambda seen, asked: fits(asked, *seen.guest.tags),
    "city": lambda seen, asked: fits(asked, seen.guest.city),
    "gender": lambda seen, asked: fits(asked, seen.guest.gender),
    "language": language,
    "store": store,
    "age": age,
    "joined_days": joined_days,
    "birthday_month": birthday_month,
    "reachable": reachable,
    "favourite": favourite,
    "ratings": ratings,
    "last_rating": last_rating,
    "average_rating": average_rating,
    "points": points,
    "coupons": coupons,
    "messages": messages,
    "events": events,
}


def know(conditions: dict[str, Any]) -> bool:
    """Whether all words of a map of conditions are known here."""
    groups = {"any", "all", "none"}
    return all(
        all(know(member) for member in asked) if word in groups
        else word in FACTS or word in CONDITIONS or word.startswith("attribute.")
        for word, asked in conditions.items()
    )  # fmt: skip
