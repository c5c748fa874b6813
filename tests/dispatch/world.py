"""A small cafe for the tests of dispatch: guests, a rule, and matches whose dispatches are written straight into the tables."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, insert, or_, select, update

from connectors.base import Handoff, Message, Outcome
from engine.database.consent import record_consent
from engine.database.months import month_of
from engine.database.tables import (
    audit,
    consents,
    contents,
    coupons,
    customers,
    dispatches,
    endpoints,
    matches,
    rule_versions,
    rules,
    runs,
    stores,
    zones,
)
from engine.dispatch.budgets import Budgets
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Desk
from engine.dispatch.drafting import Drafts
from engine.dispatch.fence import Policy
from engine.dispatch.instance import identity
from engine.dispatch.journal import Journal
from engine.language.keys import make_key
from engine.language.rule import Active, Limits, Rule, Send, Step
from engine.language.times import Hours, Schedule
from engine.vocabulary.actions import Email
from engine.vocabulary.home import Home, load_home

#: A Monday, 10:00 in Chicago.
NOW = datetime(2026, 5, 4, 15, 0, tzinfo=UTC)
CHICAGO = ZoneInfo("America/Chicago")
SOME_STEPS = tuple(Step(number, "email", Email("win-back")) for number in range(1, 7))


@dataclass
class Caps:
    marketing_per_day: int = 1
    marketing_per_week: int = 2


@dataclass
class Clock:
    """A clock that stands until somebody sleeps."""

    at: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)

    def local(self, zone: ZoneInfo = CHICAGO) -> str:
        return self.at.astimezone(zone).strftime("%a %H:%M")


def a_rule(**changes: Any) -> Rule:
    settings: dict[str, Any] = {
        "id": "win-back",
        "path": "rules/win-back.yaml",
        "about": "",
        "trigger": None,
        "conditions": (),
        "steps": SOME_STEPS,
        "stop_if": (),
        "schedule": Schedule.parse("daily at 10:00"),
        "purpose": "marketing",
        "topic": None,
        "priority": 50,
        "send": Send(),
        "active": Active(),
        "limits": Limits(),
        "holdout": 0,
        "body": {},
    }
    return Rule(**(settings | changes))


@dataclass
class Cafe:
    """Writes rows; every method commits."""

    db: Engine
    rules: dict[int, Rule] = field(default_factory=dict)
    why_stopped: Callable[[Connection, Rule, Claim, datetime], str | None] = lambda *_: None
    caps: Caps = field(default_factory=Caps)
    budgets: Budgets = field(default_factory=Budgets)
    hours: dict[str, Hours] = field(
        default_factory=lambda: {
            "email": Hours.parse("08:00-21:00"),
            "sms": Hours.parse({"weekdays": "10:00-18:00", "sat": "10:00-17:00", "sun": "12:00-17:00"}),
        }
    )
    the_content: int | None = None
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**6)))

    @property
    def policy(self) -> Policy:
        return Policy(
            hours=self.hours,
            limits=self.caps,
            day_starts=time(4),
            rule=lambda _, version_id: self.rules[version_id],
            why_stopped=self.why_stopped,
            budgets=self.budgets,
        )

    def _insert(self, table: Any, **values: Any) -> int:
        with self.db.begin() as conn:
            return int(conn.scalar(insert(table).values(**values).returning(table.c.id)))

    def endpoint(self, channel: str, address: str, *, consent: bool = True) -> int:
        hashed = hashlib.sha256(f"{channel}:{address}".encode()).digest()
        number = self._insert(endpoints, channel=channel, hash=hashed, address=address)
        if consent:
            with self.db.begin() as conn:
                record_consent(conn, number, "yes", at=NOW - timedelta(days=300), source="form")
        return number

    def guest(self, name: str = "Li Wei", *, zone: str = "America/Chicago", **values: Any) -> Row[Any]:
        number = next(self.numbers)
        with self.db.begin() as conn:
            zone_id = conn.scalar(select(zones.c.id).where(zones.c.name == zone))
            if zone_id is None:
                zone_id = conn.scalar(insert(zones).values(name=zone).returning(zones.c.id))
        if "email_id" not in values:
            values["email_id"] = self.endpoint("email", f"guest{number}@example.com")
        if "sms_id" not in values:
            values["sms_id"] = self.endpoint("sms", f"+1312555{number:04}")
        given = {"source": "csv", "external_id": f"c{number}", "zone_id": zone_id, "name": name, "attributes": {}}
        customer_id = self._insert(customers, **(given | values))
        with self.db.begin() as conn:
            return conn.execute(select(customers).where(customers.c.id == customer_id)).one()

    def store(self, name: str = "Mill Lane", **values: Any) -> int:
        number = next(self.numbers)
        with self.db.begin() as conn:
            zone_id = conn.scalars(select(zones.c.id)).first()
            if zone_id is None:
                zone_id = conn.scalar(insert(zones).values(name="America/Chicago").returning(zones.c.id))
        given = {
            "source": "csv",
            "external_id": f"s{number}",
            "name": name,
            "name_key": name.casefold(),
            "zone_id": zone_id,
            "attributes": {},
        }
        return self._insert(stores, **(given | values))

    def rule(self, *steps: Step, **changes: Any) -> tuple[int, int]:
        """Make a rule; gives its row's id and its version's."""
        rule = a_rule(steps=steps or SOME_STEPS, **({"id": f"rule-{next(self.numbers)}"} | changes))
        fingerprint = hashlib.sha256(rule.id.encode()).digest()
        rule_id = self._insert(rules, rule=rule.id, path=rule.path, content_hash=fingerprint)
        version_id = self._insert(rule_versions, rule_id=rule_id, content_hash=fingerprint, body={}, first_at=NOW)
        self.rules[version_id] = rule
        return rule_id, version_id

    def run(self) -> int:
        return self._insert(runs, as_of=NOW, started_at=NOW, host="here", pid=1)

    def content(self, template: str = "win-back", **files: str) -> int:
        files = files or {
            "subject.txt": "We miss you",
            "email.txt": "Dear {{ customer.name }}{% if coupon %}, show {{ coupon.code }}{% endif %}.",
            "sms.txt": "Hello",
        }
        fingerprint = hashlib.sha256(repr((template, next(self.numbers), files)).encode()).digest()
        return self._insert(contents, hash=fingerprint, template=template, files=files)

    def match(
        self,
        guest: Row[Any],
        *,
        rule: tuple[int, int] | None = None,
        run_id: int | None = None,
        closes: datetime = NOW + timedelta(days=3),
        **values: Any,
    ) -> int:
        rule_id, version_id = rule or self.rule()
        return self._insert(
            matches,
            rule_id=rule_id,
            version_id=version_id,
            customer_id=guest.id,
            occasion=next(self.numbers),
            run_id=run_id or self.run(),
            matched_at=NOW,
            closes=closes,
            verdict="act",
            email_id=guest.email_id,
            sms_id=guest.sms_id,
            **values,
        )

    def dispatch(self, match_id: int, guest: Row[Any], channel: str = "email", **values: Any) -> int:
        with self.db.begin() as conn:
            match = conn.execute(select(matches).where(matches.c.id == match_id)).one()
        endpoint = {"email": guest.email_id, "sms": guest.sms_id}.get(channel)
        purpose = "service" if channel == "alert" else self.rules[match.version_id].purpose
        if channel != "coupon" and "content_id" not in values:
            self.the_content = self.the_content or self.content()
            values["content_id"] = self.the_content
        given = {
            "month": month_of(match.matched_at),
            "match_id": match_id,
            "step": 1,
            "rule_id": match.rule_id,
            "customer_id": guest.id,
            "channel": channel,
            "purpose": purpose,
            "endpoint_id": endpoint,
            "state": "pending",
            "due_at": NOW,
            "expires_at": match.closes,
        }
        if values.get("handed_day") is not None:
            given["handed_at"] = NOW
        row = given | values
        number = self._insert(dispatches, **row)
        if row["state"] != "pending":  # or its history would begin in the middle
            begun = {
                "month": row["month"],
                "dispatch_id": number,
                "token": row.get("lease_token", 0),
                "after": row["state"],
            }
            self._insert(audit, at=NOW, actor="test", action="begin", **begun)
        return number

    def message(self, guest: Row[Any] | None = None, channel: str = "email", **values: Any) -> int:
        """Make a guest (unless given), a match and one message to them; gives the dispatch's id."""
        guest = guest or self.guest()
        settings = {key: values.pop(key) for key in ("rule", "run_id", "closes") if key in values}
        return self.dispatch(self.match(guest, **settings), guest, channel, **values)

    def coupon(self, match_id: int, guest: Row[Any], *, terms: dict[str, Any] | None = None, **values: Any) -> int:
        """Make a coupon step with its coupon, without a code; gives the dispatch's id."""
        dispatch_id = self.dispatch(match_id, guest, "coupon", **values)
        self._insert(
            coupons, dispatch_id=dispatch_id, customer_id=guest.id, offer="cake", terms=terms or {"item": "cake"}
        )
        return dispatch_id

    # -- reading ------------------------------------------------------------------------------------------------------

    def row(self, dispatch_id: int) -> Row[Any]:
        with self.db.begin() as conn:
            return conn.execute(select(dispatches).where(dispatches.c.id == dispatch_id)).one()

    def state(self, dispatch_id: int) -> str:
        return str(self.row(dispatch_id).state)

    def outcome(self, dispatch_id: int) -> str:
        row = self.row(dispatch_id)
        return f"{row.state}: {row.reason}" if row.reason else str(row.state)

    def coupon_of(self, dispatch_id: int) -> Row[Any]:
        with self.db.begin() as conn:
            return conn.execute(select(coupons).where(coupons.c.dispatch_id == dispatch_id)).one()

    def trail(self) -> list[tuple[str, str, str | None, str | None]]:
        with self.db.begin() as conn:
            by_people = or_(audit.c.action.not_in(("move", "begin")), audit.c.who == "staff")
            rows = conn.execute(select(audit).where(by_people).order_by(audit.c.id)).all()
        return [(row.actor, row.action, row.before, row.after) for row in rows]

    def set(self, dispatch_id: int, **values: Any) -> None:
        with self.db.begin() as conn:
            conn.execute(update(dispatches).where(dispatches.c.id == dispatch_id).values(**values))

    def opt_out(self, endpoint_id: int) -> None:
        with self.db.begin() as conn:
            record_consent(conn, endpoint_id, "no", at=NOW, source="unsubscribe link")

    def consents_of(self, endpoint_id: int) -> int:
        with self.db.begin() as conn:
            return len(conn.execute(select(consents).where(consents.c.endpoint_id == endpoint_id)).all())


@dataclass
class Sink:
    """A connector whose answers the test writes; without any it accepts everything. Keeps what was accepted."""

    answers: list[Outcome] = field(default_factory=list)
    before_fence: Callable[[], object] = lambda: None
    accepted: list[Message] = field(default_factory=list)
    asked: int = 0

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        self.asked += 1
        outcome = self.answers.pop(0) if self.answers else Outcome("sent", "250", provider_id=f"p{self.asked}")
        self.before_fence()
        if outcome.code.startswith("early "):  # the answer came before the fence
            return outcome
        if not handoff():
            return Outcome("not_now", "fence", counts_attempt=False)
        if outcome.kind in ("sent", "unknown"):
            self.accepted.append(message)
        return outcome

    def close(self) -> None:
        pass


@dataclass
class Carried:
    """The test's own connectors instead of a home's channels."""

    by_channel: dict[str, Any]

    def connector(self, channel: str) -> Any:
        carries = channel if channel in self.by_channel else channel.partition(":")[0]
        if isinstance(self.by_channel[carries], Exception):
            raise self.by_channel[carries]
        return self.by_channel[carries]

    def sender(self, channel: str) -> str:
        return "hello@corner.example" if channel == "email" else "+15005550006"

    def expect(self, key: str, seconds: int | None) -> None:
        pass

    def close(self) -> None:
        for each in self.by_channel.values():
            each.close()


CONFIG = """
business:
  name: Corner Café
  address: 12 Mill Lane, Springfield, IL 62701
  country: US
  language: en
  timezone: America/Chicago
  currency: USD
contacts:
  manager:
    email: manager@corner.example
email:
  connector: file
  from: Corner Café <hello@corner.example>
links:
  base_url: https://corner.example/r
"""


def a_home(root: Path, config: str = CONFIG, environ: Mapping[str, str] | None = None) -> Home:
    """Make the folder a home with that config, and read it."""
    (root / "config").mkdir(exist_ok=True)
    (root / "config" / "regulars.yaml").write_text(config, encoding="utf-8")
    if not (root / "regulars.key").exists():
        make_key(root)
    return load_home(root, environ or {})


def a_desk(cafe: Cafe, home: Home, clock: Clock, **by_channel: Any) -> Desk:
    carriers = Carried({"email": Sink(), "sms": Sink()} | by_channel)
    with cafe.db.begin() as conn:
        journal = Journal(home.root / "journal", identity(conn), home.key)
    composer = Drafts(home, carriers)
    return Desk(db=cafe.db, policy=cafe.policy, carriers=carriers, composer=composer, journal=journal, now=clock)
