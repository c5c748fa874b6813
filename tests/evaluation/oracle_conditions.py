"""What the conditions of the language mean, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from oracle_seen import Seen, days_named
from oracle_tiers import tier_of
from oracle_world import Event, day_of, fits, passes

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
    """The month of the birthday; ``this`` and ``next`` are counted from today. A lunar one as it falls in that month."""
    guest, today = seen.guest, seen.today
    if guest.birthday is None:
        return False
    coming = (today.year + today.month // 12, today.month % 12 + 1)
    meant = {"this": (today.year, today.month), "next": coming}
    months = [meant.get(each) or (today.year, int(each)) for each in (asked if isinstance(asked, list) else [asked])]
    if not guest.lunar:
        return guest.birthday // 100 in {month for _, month in months}
    days = [seen.birthday(year, None) for year in range(today.year - 1, today.year + 2)]
    return any((day.year, day.month) in months for day in days)


def attribute(seen: Seen, name: str, asked: Asked) -> bool:
    """Undeclared attributes are text; numbers, dates, and yes or no are declared in the config."""
    given = seen.guest.attributes.get(name)
    kind = seen.world.attribute_types.get(name, "text")
    if kind == "number":
        return passes(None if given is None else Fraction(given), asked)
    if kind == "date":
        return passes(None if given is None else Fraction(date.fromisoformat(given).toordinal()), _as_numbers(asked))
    return fits(_as_texts(asked), given)


def _as_numbers(asked: Asked) -> Asked:
    if isinstance(asked, dict):
        return {word: _as_numbers(value) for word, value in asked.items()}
    if isinstance(asked, list):
        return [_as_numbers(value) for value in asked]
    return date.fromisoformat(asked).toordinal()


def _as_texts(asked: Asked) -> Asked:
    if isinstance(asked, dict):
        return {word: _as_texts(value) for word, value in asked.items()}
    if isinstance(asked, list):
        return [_as_texts(value) for value in asked]
    return (
        {True: "yes", False: "no"}[asked]
        if isinstance(asked, bool)
        else f"{asked:g}"
        if isinstance(asked, float)
        else asked
    )


# -- what happened -----------------------------------------------------------------------------------------------------


def favourite(seen: Seen, asked: Asked) -> bool:
    """What most visits have; of several the one of the latest order."""
    of, tests = asked["of"], {word: asked[word] for word in TEXT_TESTS if word in asked}
    days: dict[Any, set[date]] = defaultdict(set)
    last: dict[Any, tuple[datetime, int]] = {}
    orders = seen.orders(asked) if of not in {"product", "category"} or seen.knows({of: "*"}) else []
    for order in orders:
        for number, item in (
            enumerate(order.items, seen.world.first_item[order.id]) if of in ITEMS else ((order.id, ()),)
        ):
            value = item[ITEMS[of]] if of in ITEMS else order.store if of == "store" else seen.weekday(order)
            if value is not None:
                days[value].add(seen.day(order))
                at, key = last.get(value, (order.at, 0))
                last[value] = (max(at, order.at), max(key, number))
    best = max(days, key=lambda value: (len(days[value]), last[value]), default=None)
    if of == "weekday":
        tests = {word: sorted(days_named(names)) for word, names in tests.items()}
    names = seen.world.stores[best] if of == "store" and best is not None else (best,)
    return fits(tests, *names)


def rank(seen: Seen, asked: Asked) -> bool:
    """Among the first or the last by a number, among all guests who have it, or those of the store or city."""
    measured: dict[int, tuple[Any, Fraction]] = {}
    for guest in seen.world.guests:
        other = Seen(seen.world, guest, seen.now, match_at=seen.match_at)
        number = Fraction(other.points()) if asked["of"] == "points" else other.fact(asked["of"], asked)
        if number is None or not (number if asked["of"] == "points" else other.orders(asked)):
            continue
        per = {"store": other.store(), "city": guest.city and guest.city.casefold()}.get(asked.get("per", "all"), "all")
        if per is not None:
            measured[guest.id] = (per, number)
    if seen.guest.id not in measured:
        return False
    group, mine = measured[seen.guest.id]
    numbers = [number for per, number in measured.values() if per == group]
    top = "top" in asked
    before = sum(number > mine if top else number < mine for number in numbers)
    most = asked["top" if top else "bottom"]
    return before < most if isinstance(most, int) else before * 100 < len(numbers) * Fraction(most.rstrip("%"))


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
    """What is left now; with a period, what came in then."""
    asked = asked if isinstance(asked, dict) else {"one_of": asked} if isinstance(asked, list) else {"equals": asked}
    ledger = asked.get("ledger", "points")
    if not {"within", "before", "since"} & set(asked):
        return passes(Fraction(seen.points(ledger)), asked)
    mine = [each for each in seen.world.points if (each.guest, each.ledger) == (seen.guest.id, ledger)]
    return passes(Fraction(sum(e.points for e in mine if e.points > 0 and seen.in_period(e.at, asked))), asked)


def coupons(seen: Seen, asked: Asked) -> bool:
    """How many coupons the guest was given; of another state the period is of when they came into it."""
    asked = asked if isinstance(asked, dict) else {"one_of": asked} if isinstance(asked, list) else {"equals": asked}
    state, offers = asked.get("state", "issued"), asked.get("offer")
    count = 0
    for coupon in seen.world.coupons:
        if coupon.guest != seen.guest.id or (offers is not None and coupon.offer not in offers):
            continue
        gone = any(at is not None and at <= seen.now for at in (coupon.redeemed, coupon.revoked))
        unused = coupon.issued is not None and coupon.issued <= seen.now and not gone
        ended = coupon.until is not None and coupon.until <= seen.now
        at = {
            "issued": coupon.issued,
            "live": coupon.issued if unused and not ended else None,
            "redeemed": coupon.redeemed,
            "expired": coupon.until if unused and ended else None,
            "revoked": coupon.revoked,
        }[state]
        count += at is not None and seen.in_period(at, asked)
    return passes(Fraction(count), asked)


def messages(seen: Seen, asked: Asked) -> bool:
    """How many messages went to the guest, or wait, or came to another end."""
    asked = asked if isinstance(asked, dict) else {"one_of": asked} if isinstance(asked, list) else {"equals": asked}
    wanted = {"sent": "sent", "waiting": "pending"}.get(asked.get("state", "sent"), asked.get("state"))
    rules, has_period = asked.get("rule"), bool({"within", "before", "since"} & set(asked))
    count = sum(
        (message.state == "pending" and not has_period) or seen.in_period(message.at, asked)
        for message in seen.world.messages
        if message.guest == seen.guest.id and message.state == wanted
        and asked.get("channel", message.channel) == message.channel
        and (rules is None or message.rule in (rules if isinstance(rules, list) else [rules]))
    )  # fmt: skip
    return passes(Fraction(count), asked)


def events(seen: Seen, asked: Asked) -> bool:
    asked = asked if isinstance(asked, dict) else {"one_of": asked} if isinstance(asked, list) else {"equals": asked}
    count = sum(
        event.guest == seen.guest.id and seen.in_period(event.at, asked) and is_such(event, asked)
        for event in seen.world.events
    )
    return passes(Fraction(count), asked)


def is_such(event: Event, asked: dict[str, Any]) -> bool:
    """Whether an event is of this name, and its columns say so."""
    name_fits = fits(asked.get("name", "*"), event.name)
    return name_fits and all(_says(event.data.get(key), test) for key, test in asked.get("where", {}).items())


def _says(said: Any, test: Asked) -> bool:
    """Whether a column of an event passes: ``at_least`` and its like compare numbers, everything else texts."""
    if isinstance(test, dict) and ORDERED & set(test):
        return passes(Fraction(said) if isinstance(said, int) else None, test)
    return fits(_as_texts(test), None if said is None else str(said))


ITEMS = {"product": 0, "category": 1}
ORDERED = {"at_least", "at_most", "more_than", "less_than", "between"}
TEXT_TESTS = ("equals", "is_not", "one_of", "none_of")
FACTS = ("orders", "visits", "spend", "average_order", "refunds", "days_since_order", "mean_gap")
CONDITIONS: dict[str, Callable[[Seen, Asked], bool]] = {
    "segment": segment,
    "tier": lambda seen, asked: fits(asked, tier_of(seen)),
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
    "rank": rank,
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
