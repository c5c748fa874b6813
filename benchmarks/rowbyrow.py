"""Row by row in Python: facts read ready from the database, and the outbox written with executemany.

What a rule asks of a guest is a list of tests of ready facts, the same for the plain loop and for every rule engine.
The rest is alike for all of them too: permission of those who passed, verdicts, rows.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from benchmarks.byhand import DISPATCH_COLUMNS, MATCH_COLUMNS, Moment, Written
from benchmarks.byhand_rules import written
from engine.database.tables import dispatches

#: A ready fact, how it is compared, and with what.
Test = tuple[str, str, float]
Guest = dict[str, Any]
#: The newest word by endpoint and topic: when it was said, its row, and what was said.
Words = dict[tuple[int, str | None], tuple[int, int, str]]
#: The facts that rules test, in this order.
FACTS: Final = (
    "days", "visits", "orders", "spend", "points", "late", "big", "joined", "birthday",
    "lunch", "tenth", "catering", "low",
)  # fmt: skip
_CALLED: Final = {"lunch": "first-lunch", "tenth": "tenth-visit", "catering": "catering-thanks", "low": "low-rating"}
_PRIME: Final = 2**31 - 1
_CHUNK: Final = 500
_PAGE: Final = 2_000


def tests(moment: Moment) -> dict[str, list[Test]]:
    """Give what each rule asks of the ready facts."""
    today = max(moment.today(zone) for zone in moment.zones.values()).toordinal()

    def away(after: str, up_to: str) -> list[Test]:
        keys = [int(row.split(",")[0].strip("( ")) for row in moment.open_days(after, up_to).split("), ")]
        return [("days", ">=", today - max(keys)), ("days", "<=", today - min(keys))]

    return {
        "low-rating": [("low", ">=", 1)],
        "birthday": [("birthday", ">=", 1), ("orders", ">=", 1), ("days", "<=", 364)],
        "catering-thanks": [("catering", ">=", 1)],
        "welcome": [("joined", ">=", 0), ("joined", "<=", 6)],
        "second-visit": [*away("10 days", "13 days"), ("visits", "==", 1)],
        "tenth-visit": [("tenth", ">=", 1)],
        "first-lunch": [("lunch", ">=", 1), ("visits", ">=", 4)],
        "reward-waiting": [*away("21 days", "35 days"), ("points", ">=", 200)],
        "at-risk": [*away("14 days", "74 days"), ("visits", ">=", 5), ("points", "<=", 199), ("late", ">=", 1)],
        "big-spender-quiet": [*away("42 days", "56 days"), ("big", ">=", 1)],
        "win-back": [*away("90 days", "120 days"), ("orders", ">=", 3)],
        "long-lost": [*away("1 year", "13 months"), ("orders", ">=", 5), ("spend", ">=", 5000)],
    }


@dataclass
class Known:
    """What is known beside the facts, read once: what fired lately, and what was matched before."""

    fired: dict[str, dict[int, list[tuple[Any, ...]]]] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)
    matched: set[tuple[int, int, int]] = field(default_factory=set)
    acted: dict[tuple[str, int, int], int] = field(default_factory=dict)
    staff: set[int] = field(default_factory=set)
    closed: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)


class RowByRow:
    """The database through the bare driver: guests with ready facts in, rows of the outbox out."""

    def __init__(self, conn: Any, moment: Moment, rows: Mapping[str, tuple[int, int, int]], sample: int) -> None:
        self._conn, self._moment, self._sample, self._rows = conn, moment, sample, rows
        self._rules = {rule.id: rule for rule in written(moment)}
        self._mark = "?" if moment.sqlite else "%s"
        self._days = {row: moment.today(zone).toordinal() for row, zone in moment.zones.items()}
        self._known = Known()

    def guests(self) -> Iterator[Guest]:
        """Yield the guests of the sample with their ready facts; to be called after ``learn``."""
        born = {month * 100 + day for month, day in self._birthdays()}
        fired, spent, days = self._known.fired, self._known.spent, self._days
        lunch, tenth = fired["first-lunch"], fired["tenth-visit"]
        catering, low = fired["catering-thanks"], fired["low-rating"]
        for row in self._facts():
            guest, zone, store, email, sms, visits, orders, spend, *rest = row
            points, gaps, gap_days, order, day, joined, md, tier = rest
            today = days[zone]
            away = 99_999 if day is None else today - day
            yield {
                "guest": guest, "zone": zone, "store": store, "email": email, "sms": sms, "order": order, "day": day,
                "joined_day": joined, "md": md, "days": away, "visits": visits, "orders": orders, "spend": spend,
                "points": points, "late": away * gaps - 3 * gap_days,
                "big": int(tier == "gold" or spent.get(guest, 0) >= 50_000),
                "joined": -1 if joined is None else today - joined, "birthday": int(md in born),
                "lunch": len(lunch.get(guest, ())), "tenth": len(tenth.get(guest, ())),
                "catering": len(catering.get(guest, ())), "low": len(low.get(guest, ())),
            }  # fmt: skip

    def _facts(self) -> Iterator[Sequence[Any]]:
        cursor = self._conn.cursor() if self._moment.sqlite else self._conn.cursor("facts")
        cursor.execute(
            "SELECT customer_id, zone_id, store_id, email_id, sms_id, visits, orders, spend, points, gaps, gap_days, "
            "last_order_id, last_order_day, joined_day, birthday_md, tier_key FROM customer_facts "
            f"WHERE customer_id <= {self._sample}"
        )
        while page := cursor.fetchmany(_PAGE):
            yield from page
        cursor.close()

    def _birthdays(self) -> Iterator[tuple[int, int]]:
        for key in self._rules["birthday"].heads.split("VALUES ")[1].split("), ("):
            md = int(key.split(",")[0].strip("( "))
            yield divmod(md, 100)

    def learn(self) -> None:
        """Read what is asked once, of all guests: SQL finds what fired, for it would take the opponents longest."""
        known = Known()
        for name in _CALLED.values():
            rule = self._rules[name]
            heads = f"WITH {rule.heads} " if rule.heads else ""
            found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
            closes = rule.closes or self._moment.closes
            columns = f"f.customer_id, {rule.occasion}, {closes}, {rule.fired_store}, {rule.order_id}, {rule.rating_id}"
            for guest, *rest in self._conn.execute(f"{heads}SELECT {columns} FROM {rule.find}"):
                found[guest].append(tuple(rest))
            known.fired[name] = found
        since = self._moment.since("1 year")
        spent = (
            "SELECT f.customer_id, sum(o.total - coalesce((SELECT sum(coalesce(x.amount, o.total)) FROM refunds x "
            f"WHERE x.order_id = o.id AND x.refunded_at <= {self._moment.at}), 0)) FROM customer_facts f JOIN orders o "
            f"ON o.customer_id = f.customer_id WHERE f.spend >= 50000 AND o.day > {since} "
            f"AND o.ordered_at <= {self._moment.at} GROUP BY f.customer_id"
        )
        known.spent = dict(self._conn.execute(spent).fetchall())
        staff = self._conn.execute("SELECT customer_id FROM tags WHERE tag IN ('staff', 'friend')")
        known.staff = {row[0] for row in staff}
        earlier = "SELECT rule_id, customer_id, occasion, verdict, email_id, sms_id, matched_at FROM matches"
        for rule_row, guest, occasion, verdict, email, sms, at in self._conn.execute(earlier):
            known.matched.add((rule_row, guest, occasion))
            if verdict != "refused":
                for kind, key in (("guest", guest), ("email", email), ("sms", sms)):
                    if key is not None:
                        known.acted[kind, rule_row, key] = max(at, known.acted.get((kind, rule_row, key), 0))
        for name, rule in self._rules.items():
            if not rule.closes:
                known.closed[name] = self._closing(rule)
        self._known = known

    def _closing(self, rule: Written) -> dict[tuple[int, int], int]:
        """Give when each open key closes, by zone and key."""
        found = {}
        for line in rule.heads.split("VALUES ")[1].rstrip(")").split("), ("):
            key, *cells = (cell.strip("() ") for cell in line.split(","))
            for zone, cell in zip(self._moment.zones, cells, strict=True):
                if cell != "NULL":
                    found[zone, int(key)] = int(cell)
        return found

    def write(self, passed: Iterable[tuple[str, Guest]]) -> list[tuple[Any, ...]]:
        """Write the matches and dispatches of who passed; give (rule, guest, occasion, verdict, reason) of each."""
        found = [each for name, guest in passed for each in self._firings(name, guest)]
        found = [
            each for each in found if (self._rows[each[0]][0], each[1]["guest"], each[2]) not in self._known.matched
        ]
        words, gone = self._permission(found)
        first = int(self._conn.execute("SELECT coalesce(max(id), 0) FROM matches").fetchone()[0]) + 1
        lines: list[tuple[Any, ...]] = []
        queued: list[tuple[Any, ...]] = []
        told: list[tuple[Any, ...]] = []
        judge = _Judge(self._moment, self._rules, self._rows, self._known, words, gone)
        by_rule: dict[str, list[Any]] = defaultdict(list)
        for each in found:
            by_rule[each[0]].append(each)
        in_turn = (sorted(its, key=lambda it: (it[1]["guest"], it[3], it[2])) for its in by_rule.values())
        for each in chain.from_iterable(in_turn):
            line, verdict, reason, blocks = judge.judged(*each)
            lines.append((first + len(lines), *line))
            told.append((each[0], each[1]["guest"], each[2], verdict, reason))
            if verdict == "act":
                queued += judge.steps(first + len(lines) - 1, each[0], each[1], each[3], blocks)
        self._many("matches", f"id, {MATCH_COLUMNS}", lines)
        month = "month" in dispatches.c
        end = (int(f"{self._moment.now:%Y%m}"),) * month
        self._many("dispatches", DISPATCH_COLUMNS + ", month" * month, [(*row, *end) for row in queued])
        return told

    def _many(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join(self._mark for _ in columns.split(","))
        self._conn.cursor().executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    def _firings(self, name: str, guest: Guest) -> Iterator[tuple[str, Guest, int, int, Any, Any, Any]]:
        """Yield what a guest's passing comes to: occasion, when it closes, store, order, rating."""
        if name in self._known.fired:
            for occasion, closes, store, order, rating in self._known.fired[name].get(guest["guest"], ()):
                yield name, guest, occasion, closes, store or guest["store"], order, rating
            return
        key = guest["joined_day"] if name == "welcome" else guest["md"] if name == "birthday" else guest["day"]
        closes = self._known.closed[name].get((guest["zone"], key))
        occasion = 0 if name == "welcome" else self._moment.now.year if name == "birthday" else guest["order"]
        if closes is not None:
            yield name, guest, occasion, closes, guest["store"], None, None

    def _permission(self, found: Sequence[tuple[Any, ...]]) -> tuple[Words, set[int]]:
        """Give the newest word by endpoint and topic, and the endpoints that are suppressed, of all who passed."""
        ids = sorted({each[1][kind] for each in found for kind in ("email", "sms") if each[1][kind] is not None})
        words: Words = {}
        gone: set[int] = set()
        for first in range(0, len(ids), _CHUNK):
            some = ", ".join(map(str, ids[first : first + _CHUNK]))
            asked = f"SELECT endpoint_id, topic, at, id, state FROM consents WHERE endpoint_id IN ({some})"
            for endpoint, topic, at, row, state in self._conn.execute(asked):
                if (at, row) > words.get((endpoint, topic), (0, 0, ""))[:2]:
                    words[endpoint, topic] = (at, row, state)
            asked = f"SELECT id FROM endpoints WHERE id IN ({some}) AND suppressed_at IS NOT NULL"
            gone.update(row[0] for row in self._conn.execute(asked))
        return words, gone


class _Judge:
    """The guards of a match, and its steps, in Python."""

    def __init__(  # noqa: PLR0917 (all that was read beforehand)
        self,
        moment: Moment,
        rules: Mapping[str, Written],
        rows: Mapping[str, tuple[int, int, int]],
        known: Known,
        words: Words,
        gone: set[int],
    ) -> None:
        self._moment, self._rules, self._rows, self._known = moment, rules, rows, known
        self._words, self._gone = words, gone
        self._taken: set[tuple[str, str, int]] = set()
        self._salts = {name: hashlib.sha256(name.encode()).digest() for name in rules}
        self._again = {name: self._since(rule) for name, rule in rules.items() if rule.again}
        self._due = {name: self._times(rule) for name, rule in rules.items()}

    def _since(self, rule: Written) -> dict[int, int]:
        if rule.again.isdigit():
            return dict.fromkeys(self._moment.zones, int(rule.again))
        parts = rule.again.split("WHEN ")[1:]
        return {int(part.split()[0]): int(part.split()[2]) for part in parts}

    def _times(self, rule: Written) -> dict[str, tuple[dict[int, int], dict[int, int]]]:
        nothing = rule.sms_waits - rule.sms_waits
        waits = {"email": nothing, "sms": rule.sms_waits}
        return {
            channel: (
                self._moment.first_open(channel, waits[channel], rule.between, rule.on),
                self._moment.waited(waits[channel]),
            )
            for channel, step in (("email", rule.email), ("sms", rule.sms))
            if step
        }

    def _block(self, rule: Written, endpoint: int | None) -> str | None:
        if endpoint is None:
            return "no_endpoint"
        if endpoint in self._gone:
            return "suppressed"
        if not rule.topic:
            return None
        said = [word for topic in (None, rule.topic) if (word := self._words.get((endpoint, topic)))]
        return None if said and max(said)[2] == "yes" else "no_consent"

    def _soon(self, name: str, guest: Guest) -> bool:
        if name not in self._again:
            return False
        row, since = self._rows[name][0], self._again[name][guest["zone"]]
        keys = ((kind, row, guest[kind]) for kind in ("guest", "email", "sms") if guest[kind] is not None)
        return any(self._known.acted.get(key, -1) >= since for key in keys)

    def judged(  # noqa: PLR0917 (a candidate, as its rule found it)
        self, name: str, guest: Guest, occasion: int, closes: int, store: int, order: int | None, rating: int | None
    ) -> tuple[tuple[Any, ...], str, str | None, dict[str, str | None]]:
        """Give the match's row, its verdict and reason, and why a channel is blocked."""
        rule, (rule_row, version, run) = self._rules[name], self._rows[name]
        soon, staff = self._soon(name, guest), bool(rule.topic) and guest["guest"] in self._known.staff
        blocks: dict[str, str | None] = {}
        for channel in ("email", "sms"):
            blocks[channel] = self._block(rule, guest[channel])
            if blocks[channel] is None and not soon and not staff:
                if (name, channel, guest[channel]) in self._taken:
                    blocks[channel] = "duplicate_endpoint"
                self._taken.add((name, channel, guest[channel]))
        reason = "again_too_soon" if soon else "excluded" if staff else None
        asked = [blocks[channel] for channel, step in (("email", rule.email), ("sms", rule.sms)) if step]
        if reason is None and not rule.alert and all(asked):
            reason = asked[0]
        if reason is None and rule.again:
            if (name, "guest", guest["guest"]) in self._taken:
                reason = "again_too_soon"
            self._taken.add((name, "guest", guest["guest"]))
        verdict = "refused" if reason else "control" if self._bucket(name, guest["guest"]) < rule.holdout else "act"
        line = (
            rule_row, guest["guest"], occasion, run, version, self._moment.at, closes, verdict, reason, blocks["email"],
            blocks["sms"], guest["email"], guest["sms"], store, order, rating,
        )  # fmt: skip
        return line, verdict, reason, blocks

    def _bucket(self, name: str, guest: int) -> int:
        digest = self._salts[name]
        factor, shift = int.from_bytes(digest[:8]) % (_PRIME - 1) + 1, int.from_bytes(digest[8:16]) % _PRIME
        mixed = (guest % _PRIME * factor + shift) % _PRIME
        return (mixed * mixed % _PRIME + shift) % _PRIME * 16807 % _PRIME % 10_000

    def steps(
        self, match: int, name: str, guest: Guest, closes: int, blocks: Mapping[str, str | None]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a match's messages and alerts, and of its coupon."""
        rule, at = self._rules[name], self._moment.at
        purpose, who = "marketing" if rule.topic else "service", (self._rows[name][0], guest["guest"])
        open_ones = []
        for channel, (opens, waited) in self._due[name].items():
            first, end, why = opens[guest["zone"]], closes + waited[guest["zone"]], blocks[channel]
            state = "blocked" if why else "expired" if first >= end else "pending"
            if state == "pending":
                open_ones.append((first, end))
            step = (rule.email if channel == "email" else rule.sms) or (0, "")
            reason = why or ("too_late" if state == "expired" else None)
            final = None if state == "pending" else at
            rest = (rule.priority, state, reason, first, end, final)
            yield match, step[0], 0, *who, channel, purpose, guest[channel], None, *rest
        if rule.alert:
            rest = (rule.priority, "pending", None, at, closes, None)
            yield match, rule.alert[0], 0, *who, "alert", "service", None, None, *rest
        if rule.coupon:
            state = "pending" if open_ones else "blocked"
            due, end = (min(open_ones)[0], max(each[1] for each in open_ones)) if open_ones else (at, closes)
            reason, final = (None, None) if open_ones else (blocks["email"] or "too_late", at)
            rest = (rule.priority, state, reason, due, end, final)
            yield match, rule.coupon[0], 0, *who, "coupon", "marketing", None, None, *rest
