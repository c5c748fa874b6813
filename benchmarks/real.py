"""``make real``: the starter rules over the last eight weeks of a year of real household baskets, day by day.

Every day is evaluated and sent with the facts of that day: nothing later exists for the engine. At the end: what each
rule found, how many of its guests came within 14 days, and whether all balanced and nothing went out twice.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from email import message_from_bytes
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Engine, and_, case, func, select

from benchmarks.households import LAST_DAY, ZONE, write
from benchmarks.quiet import a_year, read_orders
from engine.database.engines import open_db
from engine.database.migrations import migrate
from engine.database.tables import dispatches, matches, orders, rules
from engine.dispatch.approve import approve
from engine.dispatch.desk import open_desk
from engine.dispatch.stages import send_until
from engine.evaluation.results import RunResult
from engine.evaluation.runner import run_due
from engine.intake.inbox import take_in
from engine.starter.home import HomeAnswers, create_home
from engine.vocabulary.home import Home, load_home

ROOT = Path("real")
WEEKS = 8
RETURN = timedelta(days=14)


@dataclass
class Clock:
    """A clock that is set, and goes forward when a run would sleep."""

    now: datetime

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.now += timedelta(seconds=seconds)


@dataclass
class Story:
    """What eight weeks came to."""

    red: list[date] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)


def main() -> int:
    """Run it all; 0 where every day balanced, nothing went out twice, and `at_risk` keeps quiet."""
    started = time.monotonic()
    shutil.rmtree(ROOT, ignore_errors=True)
    create_home(ROOT, answers=HomeAnswers(name="Household Grocers", timezone=ZONE))
    rows = write(ROOT / "inbox")
    print("data:", ", ".join(f"{count:,} {kind}" for kind, count in rows.items()), "(contacts are generated)")
    baskets = read_orders(ROOT / "inbox" / "orders.csv")
    home = load_home(ROOT, os.environ)
    db = open_db(home.config.database_url)
    migrate(db)
    begun = time.monotonic()
    for report in take_in(db, home.config, home.key, datetime(2018, 1, 2, tzinfo=UTC)):
        print("\n".join(report.sentences()))
    print(f"imported in {time.monotonic() - begun:.0f} s\n")
    db.dispose()
    shutil.copy(ROOT / "regulars.db", ROOT / "year.db")
    story = Story()
    begun = time.monotonic()
    for number, day in enumerate(_days()):
        _one_day(db, home, day, story, first=number == 0)
    print(f"{WEEKS * 7} days evaluated and sent in {time.monotonic() - begun:.0f} s\n")
    _print_rules(db)
    twice = _twice(db)
    print(f"\ndays that did not balance: {len(story.red)}; messages that went out twice: {twice}")
    quiet = a_year(open_db(f"sqlite:///{(ROOT / 'year.db').absolute()}"), home, baskets, LAST_DAY)
    times = quiet.double_mean / quiet.at_risk
    print(f"in a year at_risk writes {quiet.at_risk:,} messages; twice the mean gap between orders writes")
    print(f"{quiet.double_mean:,} to {quiet.guests:,} guests: {times:.1f} times as many (6 are wanted)")
    print("sent:", ", ".join(f"{state} {count:,}" for state, count in sorted(story.sent.items())))
    print(f"in all {time.monotonic() - started:.0f} s; the home is in {ROOT}/")
    return int(bool(story.red or twice or not quiet.is_quiet))


def _days() -> Iterator[date]:
    first = LAST_DAY - timedelta(days=WEEKS * 7 - 1)
    return (first + timedelta(days=number) for number in range(WEEKS * 7))


def _one_day(db: Engine, home: Home, day: date, story: Story, *, first: bool) -> None:
    zone = ZoneInfo(ZONE)
    at = datetime.combine(day, clock_time(10), zone).astimezone(UTC)
    clock = Clock(at)
    result: RunResult = run_due(db, home, at)
    if not result.balanced:
        story.red.append(day)
    with db.begin() as conn:
        if first or any(rule.held for rule in result.rules):
            approve(conn, None, name="make real", now=at, mode=home.config.approvals)
    desk = open_desk(db, home, now=lambda: clock.now)
    try:
        end = datetime.combine(day, clock_time(23, 30), zone).astimezone(UTC)
        story.sent.update(send_until(desk, until=end, sleep=clock.sleep).to_json())
    finally:
        desk.carriers.close()


def _print_rules(db: Engine) -> None:
    """Print a line a rule. Only matches with 14 days of data after them are asked whether the guest came."""
    known_until = datetime.combine(LAST_DAY + timedelta(days=1), clock_time(4), ZoneInfo(ZONE)) - RETURN
    came = (
        select(orders.c.id)
        .where(
            orders.c.customer_id == matches.c.customer_id,
            orders.c.ordered_at > matches.c.matched_at,
            orders.c.ordered_at <= matches.c.matched_at + int(RETURN.total_seconds()),
        )
        .exists()
    )
    settled = matches.c.matched_at <= known_until

    def count(*tests: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((and_(*tests), 1), else_=0)), 0)

    act, control = matches.c.verdict == "act", matches.c.verdict == "control"
    rows = select(
        rules.c.rule,
        func.count(matches.c.id),
        count(act),
        count(control),
        count(matches.c.verdict == "refused"),
        count(act, settled),
        count(act, settled, came),
        count(control, settled),
        count(control, settled, came),
    ).select_from(rules.outerjoin(matches, matches.c.rule_id == rules.c.id))
    print(f"{'rule':<20}{'matched':>8}{'act':>7}{'control':>8}{'refused':>8}   came within 14 days: acted on / control")
    with db.connect() as conn:
        for rule, matched, acted, held, refused, of, back, of_control, back_control in conn.execute(
            rows.group_by(rules.c.rule).order_by(rules.c.rule)
        ):
            print(
                f"{rule:<20}{matched:>8,}{acted:>7,}{held:>8,}{refused:>8,}   "
                f"{_share(back, of)} / {_share(back_control, of_control)}"
            )


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "none"


def _twice(db: Engine) -> int:
    """Count what went out more than once: by the rows, and by the Message-IDs of the files themselves."""
    with db.connect() as conn:
        emails = conn.scalar(select(func.count()).where(dispatches.c.state == "sent", dispatches.c.channel == "email"))
    ids = Counter(
        message_from_bytes(file.read_bytes())["Message-ID"] for file in sorted((ROOT / "outbox").rglob("*~*.eml"))
    )
    alerts = sum(ids.values()) - int(emails or 0)
    print(f"\nfiles written: {sum(ids.values()):,} emails, of which {alerts:,} to staff")
    return sum(count - 1 for count in ids.values())


if __name__ == "__main__":
    sys.exit(main())
