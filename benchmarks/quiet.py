"""``at_risk`` beside the rule that many tools ship, twice the mean gap between orders, over a year of the same baskets.

``at_risk`` is asked of the engine itself, day by day at 10:00. The other is plain Python and looks at the same hour: it
counts orders, exact to the second, and writes once a guest has been away for more than twice the mean of the last ten
gaps; nothing keeps it from writing soon again. Both want five (visits, orders) to be known.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

from sqlalchemy import Engine, func, select

from engine.database.tables import matches
from engine.evaluation.runner import run_due
from engine.language.yamlfile import parse
from engine.vocabulary.home import Home
from engine.vocabulary.validate import rule_from

DAY = timedelta(days=1)
LOOK = time(10)
MIN_ORDERS = 5
GAPS = 10
#: What ``at_risk`` may send at most, as a share of the other.
MOST = 1 / 6
#: With every setting as it is if left out. A tag reaches every guest, so that both rules are counted alike.
RULE = "id: quiet\ntrigger:\n  at_risk:\nactions:\n  - tag:\n      add: quiet\n"


@dataclass(frozen=True)
class Year:
    """How many messages a year each of the two would have sent."""

    at_risk: int
    double_mean: int
    guests: int  #: to whom the second one wrote

    @property
    def is_quiet(self) -> bool:
        """Whether ``at_risk`` keeps below the share."""
        return self.at_risk <= self.double_mean * MOST


def read_orders(file: Path) -> Mapping[str, Sequence[datetime]]:
    """Read each guest's times of order from an orders file, in their order, on the store's clock."""
    found: dict[str, list[datetime]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found[row["customer_id"]].append(datetime.fromisoformat(row["ordered_at"]))
    return {guest: sorted(times) for guest, times in found.items()}


def a_year(db: Engine, home: Home, orders: Mapping[str, Sequence[datetime]], until: date) -> Year:
    """Count the messages of both in the year up to the look on ``until``; writes into ``db``, which is a copy."""
    last = datetime.combine(until, LOOK)
    doubled = [_double_mean(times, last) for times in orders.values()]
    return Year(_at_risk(db, home, until), sum(doubled), sum(map(bool, doubled)))


def _at_risk(db: Engine, home: Home, until: date) -> int:
    """Run the rule once a day and count for whom it acted."""
    document, _ = parse(RULE, "rules/quiet.yaml")
    assert document is not None
    rule, problems = rule_from(document, home.around)
    assert rule is not None, problems
    alone = replace(home, rules=(rule,), exclude=())
    for number in reversed(range(365)):
        at = datetime.combine(until - number * DAY, LOOK, home.config.business.timezone).astimezone(UTC)
        assert run_due(db, alone, at, only=rule.id).balanced
    with db.connect() as conn:
        return int(conn.scalar(select(func.count()).where(matches.c.verdict == "act")) or 0)


def _double_mean(orders: Sequence[datetime], last: datetime) -> int:
    """One message an order after which the guest stayed away for more than twice the mean gap."""
    sent = 0
    for number in range(MIN_ORDERS, len(orders) + 1):
        gaps = [after - before for before, after in pairwise(orders[:number])][-GAPS:]
        away = orders[number - 1] + 2 * sum(gaps, timedelta()) / len(gaps)
        looked = _next_look(away)
        sent += looked <= last and (number == len(orders) or looked < orders[number])
    return sent


def _next_look(after: datetime) -> datetime:
    at = datetime.combine(after.date(), LOOK)
    return at if at > after else at + DAY
