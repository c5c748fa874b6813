"""The best SQL that an expert would write by hand for the shipped rules, on the same tables and with the same guards.

A rule is one statement on PostgreSQL, which hands the new rows from one INSERT to the next, and three on SQLite: the
matches, the dispatches of all steps, the coupons. What a calendar decides (which days are open, when they close, when
a step may go out) is worked out beforehand in plain Python, as text of the statement: constants are what planners like
best. Written for a business in the United States whose guests are all there, and for a database without a tier plan:
an expert writes for what is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from engine.language.times import Duration

DAY: Final = timedelta(days=1)
_PRIME: Final = 2**31 - 1
_NO_COLUMN: Final = "CAST(NULL AS BIGINT)"
#: The home's hours, from and to; SMS by weekday, Monday first. They lie inside the law's.
_EMAIL: Final = ((time(8), time(21)),) * 7
_SMS: Final = ((time(10), time(18)),) * 5 + ((time(10), time(17)), (time(12), time(17)))

#: By the letters of the columns that are written.
MATCH_COLUMNS: Final = (
    "rule_id, customer_id, occasion, run_id, version_id, matched_at, closes, verdict, reason, email_block, sms_block, "
    "email_id, sms_id, store_id, order_id, rating_id"
)
DISPATCH_COLUMNS: Final = (
    "match_id, step, part, rule_id, customer_id, channel, purpose, endpoint_id, content_id, priority, state, reason, "
    "due_at, expires_at, finished_at"
)


@dataclass(frozen=True)
class Moment:
    """When it is, and where: the zones of the home, by their rows."""

    now: datetime
    zones: dict[int, ZoneInfo]
    sqlite: bool

    @property
    def at(self) -> int:
        """The moment in epoch seconds."""
        return int(self.now.timestamp())

    def today(self, zone: ZoneInfo) -> date:
        """Give the business day there, which begins at four."""
        return (self.now.astimezone(zone) - timedelta(hours=4)).date()

    def start(self, day: date, zone: ZoneInfo) -> int:
        """Give the instant at which a business day begins."""
        return int(datetime.combine(day, time(4), zone).timestamp())

    def since(self, length: str) -> str:
        """SQL: the first day within the length that ends today, by the zone of the guest."""
        days = {row: Duration.parse(length).latest(self.today(zone)).toordinal() for row, zone in self.zones.items()}
        return _by_zone(days)

    def again(self, length: str) -> str:
        """SQL: since when an earlier match is too soon."""
        ago = Duration.parse(length)
        return _by_zone({row: self.start(ago.latest(self.today(at)) + DAY, at) for row, at in self.zones.items()})

    def open_days(self, after: str, up_to: str) -> str:
        """SQL: the open days of a last order, each with when it closes, a column a zone (NULL: not open there)."""
        opens, ends = Duration.parse(after), Duration.parse(up_to)
        found: dict[int, dict[int, int]] = {}
        for row, zone in self.zones.items():
            today = self.today(zone)
            day = opens.latest(today)
            while ends.after(day) > today:
                found.setdefault(day.toordinal(), {})[row] = self.start(ends.after(day), zone)
                day -= DAY
        return self.values(found)

    def values(self, found: dict[int, dict[int, int]]) -> str:
        """SQL: rows of a key and a number a zone."""
        lines = (
            f"({key}, {', '.join(str(by.get(row, 'NULL')) for row in self.zones)})" for key, by in sorted(found.items())
        )
        return ", ".join(lines)

    @property
    def key_columns(self) -> str:
        """The names of the columns of ``values``."""
        return ", ".join(["key", *(f"c{row}" for row in self.zones)])

    @property
    def closes(self) -> str:
        """SQL: the number of the guest's own zone."""
        return "CASE f.zone_id " + " ".join(f"WHEN {row} THEN d.c{row}" for row in self.zones) + " END"

    def first_open(self, channel: str, waited: timedelta, between: tuple[time, time] | None, on: str) -> dict[int, int]:
        """Give the first instant by zone at which a message may go out, a whole number of days from now."""
        return {row: self._first_open(zone, channel, waited, between, on) for row, zone in self.zones.items()}

    def _first_open(
        self, zone: ZoneInfo, channel: str, waited: timedelta, between: tuple[time, time] | None, on: str
    ) -> int:
        begun = datetime.combine(self.now.astimezone(zone).date() + waited, self.now.astimezone(zone).time(), zone)
        day = begun.date()
        while True:
            opens, closes = (_EMAIL if channel == "email" else _SMS)[day.weekday()]
            if between is not None:
                opens, closes = max(opens, between[0]), min(closes, between[1])
            first = max(begun, datetime.combine(day, opens, zone))
            if first < datetime.combine(day, closes, zone) and (not on or f"{day:%a}".lower() in on):
                return int(first.timestamp())
            day += DAY

    def waited(self, waits: timedelta) -> dict[int, int]:
        """Give how many seconds so many days are, at the same hour of the clock."""
        found = {}
        for row, zone in self.zones.items():
            local = self.now.astimezone(zone)
            later = datetime.combine(local.date() + waits, local.time(), zone)
            found[row] = int(later.timestamp()) - self.at
        return found


def _by_zone(numbers: dict[int, int]) -> str:
    if len(set(numbers.values())) == 1:
        return str(next(iter(numbers.values())))
    return "CASE f.zone_id " + " ".join(f"WHEN {row} THEN {number}" for row, number in numbers.items()) + " END"


@dataclass(frozen=True)
class Written:
    """A rule by hand. ``find``: the guests, with the columns of ``found``; ``steps``: what they get."""

    id: str
    find: str  #: SQL after FROM, up to the WHERE and what it asks
    heads: str = ""  #: SQL: tables made beforehand
    occasion: str = "f.last_order_id"
    closes: str = ""
    order_id: str = _NO_COLUMN
    rating_id: str = _NO_COLUMN
    fired_store: str = ""
    again: str = ""  #: SQL: since when an earlier match is too soon
    topic: str = "offers"  #: empty: service, which asks for no consent
    holdout: int = 0
    priority: int = 0
    email: tuple[int, str] | None = None  #: the step's number and its template
    sms: tuple[int, str] | None = None
    sms_waits: timedelta = timedelta(0)
    coupon: tuple[int, str] | None = None  #: the step's number and its offer
    alert: tuple[int, str] | None = None
    between: tuple[time, time] | None = None
    on: str = ""


def bucket(rule: str) -> str:
    """SQL: the guest's number from 0 to 9,999 for this rule's control group."""
    digest = hashlib.sha256(rule.encode()).digest()
    factor, shift = int.from_bytes(digest[:8]) % (_PRIME - 1) + 1, int.from_bytes(digest[8:16]) % _PRIME
    mixed = f"((customer_id % {_PRIME} * {factor} + {shift}) % {_PRIME})"
    return f"((({mixed} * {mixed} % {_PRIME} + {shift}) % {_PRIME}) * 16807 % {_PRIME} % 10000)"


def _block(channel: str, rule: Written) -> str:
    """SQL: why an endpoint cannot be used; what was said counts before what is implied, and that by email only."""
    endpoint = f"c.{channel}_id"
    gone = f"WHEN (SELECT e.suppressed_at FROM endpoints e WHERE e.id = {endpoint}) IS NOT NULL THEN 'suppressed'"
    blocks = f"CASE WHEN {endpoint} IS NULL THEN 'no_endpoint' {gone}"
    if not rule.topic:
        return f"{blocks} END"
    word = (
        f"(SELECT g.state FROM consents g WHERE g.endpoint_id = {endpoint} AND (g.topic IS NULL OR "
        f"g.topic = '{rule.topic}') AND g.basis {{}} 'implied' ORDER BY g.at DESC, g.id DESC LIMIT 1)"
    )
    said, implied = word.format("<>"), word.format("=") if channel == "email" else "'no'"
    return f"{blocks} WHEN coalesce({said}, {implied}, 'no') <> 'yes' THEN 'no_consent' END"


def _soon(rule: Written, rule_row: int) -> str:
    if not rule.again:
        return "0"
    lately = f"m.rule_id = {rule_row} AND m.verdict IN ('act', 'control') AND m.matched_at >= {rule.again}"
    ways = (("customer_id", "customer_id"), ("email_id", "email_id"), ("sms_id", "sms_id"))
    asked = (f"EXISTS (SELECT 1 FROM matches m WHERE {lately} AND m.{its} = f.{mine})" for its, mine in ways)
    return "CASE WHEN " + " OR ".join(asked) + " THEN 1 ELSE 0 END"


def _excluded(rule: Written, moment: Moment) -> str:
    if not rule.topic:
        return "0"
    staff = f"t.tag IN ('staff', 'friend') AND (t.at IS NULL OR t.at <= {moment.at})"
    return f"CASE WHEN EXISTS (SELECT 1 FROM tags t WHERE t.customer_id = f.customer_id AND {staff}) THEN 1 ELSE 0 END"


def _store(rule: Written, moment: Moment) -> str:
    today = _by_zone({row: moment.today(zone).toordinal() for row, zone in moment.zones.items()})
    trading = f"(s.closed_on IS NULL OR s.closed_on > {today})"
    own = f"(SELECT s.id FROM stores s WHERE s.id = f.store_id AND {trading})"
    if not rule.fired_store:
        return own
    return f"coalesce((SELECT s.id FROM stores s WHERE s.id = {rule.fired_store} AND {trading}), {own})"


def _reason(rule: Written) -> str:
    """SQL: why it is refused, or NULL."""
    email, sms = (f"CASE WHEN {c}_rank > 1 THEN 'duplicate_endpoint' ELSE {c}_block END" for c in ("email", "sms"))
    if rule.alert:
        nothing = "NULL"
    elif rule.sms and rule.email:
        nothing = f"CASE WHEN ({email}) IS NOT NULL AND ({sms}) IS NOT NULL THEN {email} END"
    else:
        nothing = email
    turn = "WHEN turn > 1 THEN 'again_too_soon'" if rule.again else ""
    return (
        "CASE WHEN soon = 1 THEN 'again_too_soon' WHEN excluded = 1 THEN 'excluded' "
        f"WHEN ({nothing}) IS NOT NULL THEN {nothing} {turn} END"
    )


def matches_sql(rule: Written, moment: Moment, rows: tuple[int, int, int]) -> tuple[str, str]:
    """Give the tables (``WITH ...``) and the INSERT of the matches; ``rows``: of the rule, its version, and the run."""
    rule_row, version, run = rows
    fresh = "soon = 0 AND excluded = 0"
    ranks = (
        f"CASE WHEN {c}_block IS NULL AND {fresh} THEN rank() OVER (PARTITION BY {c}_id, {c}_block IS NULL AND {fresh} "
        f"ORDER BY customer_id) ELSE 0 END AS {c}_rank"
        for c in ("email", "sms")
    )
    place = f"row_number() OVER (PARTITION BY customer_id, {fresh} ORDER BY closes, occasion)"
    turn = f", CASE WHEN {fresh} THEN {place} END AS turn" if rule.again else ""
    control = f"WHEN {bucket(rule.id)} < {rule.holdout} THEN 'control'" if rule.holdout else ""
    heads = f"{rule.heads}, " if rule.heads else ""
    tables = f"""
WITH {heads}c AS (
  SELECT f.customer_id, f.email_id, f.sms_id, {rule.occasion} AS occasion, {rule.closes or moment.closes} AS closes,
    {_soon(rule, rule_row)} AS soon, {_excluded(rule, moment)} AS excluded, {_store(rule, moment)} AS store_id,
    {rule.order_id} AS order_id, {rule.rating_id} AS rating_id
  FROM {rule.find} AND (f.joined_at IS NULL OR f.joined_at <= {moment.at} OR f.orders > 0)
    AND NOT EXISTS (SELECT 1 FROM matches m WHERE m.rule_id = {rule_row} AND m.customer_id = f.customer_id
      AND m.occasion = {rule.occasion})
), p AS MATERIALIZED (
  SELECT c.*, {_block("email", rule)} AS email_block, {_block("sms", rule)} AS sms_block FROM c WHERE closes IS NOT NULL
), r AS (
  SELECT p.*, {", ".join(ranks)}{turn} FROM p
), j AS (
  SELECT r.*, {_reason(rule)} AS reason FROM r
)"""
    written = f"""
INSERT INTO matches ({MATCH_COLUMNS})
SELECT {rule_row}, customer_id, occasion, {run}, {version}, {moment.at}, closes,
  CASE WHEN reason IS NOT NULL THEN 'refused' {control} ELSE 'act' END, reason,
  CASE WHEN email_rank > 1 THEN 'duplicate_endpoint' ELSE email_block END,
  CASE WHEN sms_rank > 1 THEN 'duplicate_endpoint' ELSE sms_block END,
  email_id, sms_id, store_id, order_id, rating_id
FROM j WHERE true ON CONFLICT (rule_id, customer_id, occasion) DO NOTHING"""
    return tables, written
