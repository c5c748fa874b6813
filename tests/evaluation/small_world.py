"""A café of a few guests: rows written straight into the tables, rules written as YAML, and what one run decides."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, func, insert, select, update

from engine.database.consent import record_consent, suppress
from engine.database.facts import rebuild
from engine.database.tables import (
    customer_facts,
    customers,
    dispatches,
    endpoints,
    matches,
    order_items,
    orders,
    points,
    products,
    ratings,
    refunds,
    rules,
    runs,
    stores,
    tags,
    zones,
)
from engine.evaluation.register import zones_in_use
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due
from engine.intake.values import week_clock
from engine.language.keys import make_key
from engine.language.problems import errors, to_text
from engine.language.rule import Rule
from engine.language.textkey import text_key
from engine.language.times import business_day
from engine.language.yamlfile import parse
from engine.vocabulary.conditions import all_hold
from engine.vocabulary.home import Home, load_home
from engine.vocabulary.scope import Scope
from engine.vocabulary.validate import rule_from

CHICAGO, BERLIN = "America/Chicago", "Europe/Berlin"
DAY_STARTS = time(4)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

CONFIG = """\
business:
  name: Corner Café
  address: 1 Elm Street
  country: US
  language: en
  timezone: America/Chicago
  currency: USD
contacts:
  manager:
    email: manager@corner.example
data:
  fresh: off
approvals: first
topics:
  - news
  - offers
"""
OFFERS = "treat:\n  name: A treat\n  item: a treat\n  valid: 14 days\n"
TEMPLATES = {
    "hello/subject.txt": "Hello",
    "hello/email.txt": "Hello {{ customer.first_name }}",
    "hello/sms.txt": "Hello",
    "gift/subject.txt": "A gift",
    "gift/email.txt": "Your code is {{ coupon.code }}",
    "gift/sms.txt": "Your code is {{ coupon.code }}",
}


def at(text: str, zone: str = CHICAGO) -> datetime:
    """``2026-05-04 10:00`` on the clock of a zone, as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def write_home(root: Path, *, config: str = CONFIG, files: Mapping[str, str] | None = None) -> Path:
    """Write a home with two templates and an offer; ``files`` come on top of it."""
    written = {"config/regulars.yaml": config, "config/offers.yaml": OFFERS}
    written |= {f"templates/{name}": text for name, text in TEMPLATES.items()}
    for name, text in {**written, **(files or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    if not (root / "regulars.key").exists():
        make_key(root)
    return root


@functools.cache
def home_of(config: str = CONFIG, segments: str = "", loyalty: str = "") -> Home:
    """Give a home without rules."""
    with tempfile.TemporaryDirectory() as folder:
        written = {"config/segments.yaml": segments, "config/loyalty.yaml": loyalty}
        files = {name: text for name, text in written.items() if text}
        home = load_home(write_home(Path(folder), config=config, files=files), {})
    assert not home.problems, to_text(home.problems)
    return home


def rule_of(text: str, home: Home | None = None, path: str = "rules/r.yaml") -> Rule:
    """Read a rule that has no error. ``id`` and ``actions`` may be left out."""
    if not text.startswith("{"):
        text = text if re.search(r"^id:", text, re.MULTILINE) else f"id: r\n{text}"
        text = text if "actions:" in text else f"{text.rstrip()}\nactions:\n  - email: hello\n"
    document, problems = parse(text, path)
    assert document is not None, to_text(problems)
    rule, problems = rule_from(document, (home or home_of()).around)
    assert rule is not None, to_text(problems)
    assert not errors(problems), to_text(problems)
    return rule


Verdict = tuple[str, str | None]


@dataclass
class Cafe:
    """Writes rows; every method commits. Endpoints are by address, so that guests may share one."""

    db: Engine
    home: Home = field(default_factory=home_of)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _guest_zones: dict[int, str] = field(default_factory=dict)

    # -- what there is -------------------------------------------------------------------------------------------------

    def _insert(self, table: Any, **values: Any) -> int:
        with self.db.begin() as conn:
            return int(conn.execute(insert(table).values(**values)).inserted_primary_key[0])

    def zone(self, name: str) -> int:
        with self.db.begin() as conn:
            found = conn.scalar(select(zones.c.id).where(zones.c.name == name))
        return found or self._insert(zones, name=name)

    def store(self, name: str = "Mill Lane", *, key: str = "", closed_on: date | None = None) -> int:
        return self._insert(
            stores,
            source="csv",
            external_id=key or f"S{next(self._numbers)}",
            name=name,
            name_key=text_key(name),
            zone_id=self.zone(CHICAGO),
            closed_on=closed_on and closed_on.toordinal(),
            attributes={},
        )

    def endpoint(self, channel: str, address: str, *, consent: bool | None = True) -> int:
        """Give the row of an address; a new one gets consent, or a refusal, or nothing (None)."""
        key = hashlib.sha256(f"{channel}:{address}".encode()).digest()
        with self.db.begin() as conn:
            found = conn.scalar(select(endpoints.c.id).where(endpoints.c.hash == key))
            if found:
                return int(found)
            made = conn.execute(insert(endpoints).values(channel=channel, hash=key, address=address))
            number = int(made.inserted_primary_key[0])
            if consent is not None:
                record_consent(conn, number, "yes" if consent else "no", at=LONG_AGO, source="form")
        return number

    def consent(self, endpoint: int, state: str, when: datetime, topic: str | None = None) -> None:
        with self.db.begin() as conn:
            record_consent(conn, endpoint, state, at=when, source="form", topic=topic)

    def suppress(self, endpoint: int, when: datetime) -> None:
        with self.db.begin() as conn:
            suppress(conn, endpoint, "unsubscribed", at=when)

    def guest(
        self,
        *,
        zone: str = CHICAGO,
        email: str | None = "",
        sms: str | None = None,
        joined: datetime | None = None,
        birthday: int | None = None,
        tagged: tuple[str, ...] = (),
        **values: Any,
    ) -> int:
        """Add a guest, who has an email address with consent unless said otherwise, and no phone."""
        number = next(self._numbers)
        if email is not None:
            values["email_id"] = self.endpoint("email", email or f"guest{number}@example.com")
        if sms is not None:
            values["sms_id"] = self.endpoint("sms", sms)
        if joined is not None:
            values |= {"joined_at": joined, "joined_day": business_day(joined, ZoneInfo(zone), DAY_STARTS).toordinal()}
        for name in ("tier", "city"):
            if values.get(name):
                values[f"{name}_key"] = text_key(values[name])
        guest = self._insert(
            customers,
            source="csv",
            **{"external_id": f"c{number}", "attributes": {}, **values},
            zone_id=self.zone(zone),
            birthday_md=birthday,
        )
        self._guest_zones[guest] = zone
        for tag in tagged:
            with self.db.begin() as conn:
                conn.execute(insert(tags).values(customer_id=guest, tag=text_key(tag)))
        return guest

    def order(
        self,
        guest: int | None,
        when: datetime,
        total: int = 1000,
        *,
        items: tuple[tuple[str, str], ...] = (),
        store: int | None = None,
        channel: str | None = None,
        clock: str = CHICAGO,
    ) -> int:
        """Add an order (``guest`` None: a walk-in), items as (product, category), on the clock of the store."""
        zone = ZoneInfo(self._guest_zones.get(guest or 0, CHICAGO))
        order = self._insert(
            orders,
            source="csv",
            external_id=f"o{next(self._numbers)}",
            customer_id=guest,
            store_id=store,
            ordered_at=when,
            day=business_day(when, zone, DAY_STARTS).toordinal(),
            clock=week_clock(int(when.timestamp()), ZoneInfo(clock), DAY_STARTS),
            total=total,
            channel=channel and text_key(channel),
        )
        for line, (product, category) in enumerate(items):
            with self.db.begin() as conn:
                keys = {"name_key": text_key(product), "category_key": text_key(category)}
                row = conn.scalar(select(products.c.id).filter_by(**keys))
            row = row or self._insert(products, name=product, category=category, **keys)
            self._insert(order_items, order_id=order, line=str(line), product_id=row, quantity=1000, price=100)
        return order

    def refund(self, order: int, when: datetime, amount: int | None = None) -> None:
        """Give back an amount of an order, or void the whole."""
        self._insert(
            refunds,
            source="csv",
            external_id=f"o{next(self._numbers)}",
            order_id=order,
            kind="void" if amount is None else "refund",
            refunded_at=when,
            amount=amount,
        )
        with self.db.begin() as conn:
            first = select(func.min(refunds.c.refunded_at)).where(refunds.c.order_id == order).scalar_subquery()
            conn.execute(update(orders).where(orders.c.id == order).values(refunded_at=first))

    def rating(self, guest: int | None, when: datetime, score: float, platform: str = "google") -> int:
        return self._insert(
            ratings,
            source="csv",
            external_id=f"r{next(self._numbers)}",
            customer_id=guest,
            rated_at=when,
            score=score,
            platform=platform,
        )

    def points(self, guest: int, when: datetime, number: int, expires: datetime | None = None) -> int:
        return self._insert(
            points,
            source="csv",
            external_id=f"p{next(self._numbers)}",
            customer_id=guest,
            at=when,
            points=number,
            expires_at=expires,
        )

    # -- what is decided -----------------------------------------------------------------------------------------------

    def run(self, *written: str | Rule, now: datetime, balanced: bool = True, **options: Any) -> RunResult:
        """Evaluate rules at ``now`` (on facts made anew), all that are due; ``only`` forces one."""
        made = tuple(rule_of(each, self.home) if isinstance(each, str) else each for each in written)
        with self.db.begin() as conn:
            rebuild(conn, now)
        result = run_due(self.db, replace(self.home, rules=made), now, **options)
        assert result.balanced == balanced, result
        return result

    def verdicts(self, written: str | Rule, now: datetime) -> dict[int, Verdict]:
        """Run one rule, due or not, and give the verdict of the newest match of each guest in this run."""
        rule = rule_of(written, self.home) if isinstance(written, str) else written
        result = self.run(rule, now=now, only=rule.id)
        with self.db.connect() as conn:
            found = select(matches.c.customer_id, matches.c.verdict, matches.c.reason).where(
                matches.c.run_id == result.run
            )
            return {who: (verdict, reason) for who, verdict, reason in conn.execute(found.order_by(matches.c.id))}

    def who(self, written: str | Rule, now: datetime) -> set[int]:
        """Give the guests that a rule matches at ``now``, leaving no trace."""
        rule = rule_of(written, self.home) if isinstance(written, str) else written
        found: set[int] = set()

        def look(conn: Connection, run: int, _: Any) -> None:
            found.update(conn.scalars(select(matches.c.customer_id).where(matches.c.run_id == run)))

        self.run(rule, now=now, only=rule.id, dry_run=True, look=look)
        return found

    def meets(self, conditions: str, now: datetime) -> set[int]:
        """Give the guests who meet conditions."""
        body = "".join(f"  {line}\n" for line in conditions.strip().splitlines())
        rule = rule_of(f"trigger:\n  birthday:\nconditions:\n{body}", self.home)
        with self.db.begin() as conn:
            rebuild(conn, now)
            scope = Scope(now, zones_in_use(conn), DAY_STARTS, self.home.segments)
            asked = select(scope.facts.c.customer_id).select_from(scope.guest()).where(all_hold(rule.conditions, scope))
            return set(conn.scalars(asked.add_cte(scope.days_table())))

    def rows(self, table: Any, *columns: Any) -> list[Any]:
        with self.db.connect() as conn:
            return list(conn.execute(select(*(columns or (table,))).order_by(*table.primary_key)))

    @property
    def dispatches(self) -> list[Any]:
        return sorted(self.rows(dispatches), key=lambda row: (row.match_id, row.step, row.part))

    @property
    def matches(self) -> list[Any]:
        return self.rows(matches)

    def approve(self, rule: str = "r") -> None:
        with self.db.begin() as conn:
            conn.execute(
                update(rules).where(rules.c.rule == rule).values(approved_hash=rules.c.content_hash, approved_by="Ann")
            )

    def counts(self) -> tuple[int, ...]:
        """How many rows a run has written."""
        with self.db.connect() as conn:
            return tuple(
                conn.scalar(select(func.count()).select_from(table)) or 0
                for table in (runs, rules, matches, dispatches)
            )

    def fact(self, guest: int, name: str) -> Any:
        with self.db.connect() as conn:
            return conn.scalar(select(customer_facts.c[name]).where(customer_facts.c.customer_id == guest))
