"""``at_risk`` beside the rule that many tools ship, twice the mean gap between orders: plain Python, the same baskets.

Both look once a day at 10:00, and both want five (visits, orders) to be known. The second one counts orders, exact to
the second, and writes once a guest has been away for more than twice the mean of the last ten gaps; nothing keeps it
from writing soon again.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

DAY = timedelta(days=1)
LOOK, DAY_STARTS = time(10), time(4)
TIMES, MIN_VISITS, AT_LEAST, OPEN, AGAIN = 3, 5, 10 * DAY, 60 * DAY, 60 * DAY
MIN_ORDERS = MIN_VISITS
GAPS = 10
#: What ``at_risk`` may send at most, as a share of the other.
MOST = 1 / 6


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


def a_year(orders: Mapping[str, Sequence[datetime]], until: date) -> Year:
    """Count the messages of both up to the look on ``until``."""
    last = datetime.combine(until, LOOK)
    doubled = [_double_mean(times, last) for times in orders.values()]
    return Year(sum(_at_risk(times, last) for times in orders.values()), sum(doubled), sum(map(bool, doubled)))


def _at_risk(orders: Sequence[datetime], last: datetime) -> int:
    """One message a visit after which the guest stayed away too long, and none within 60 days of another."""
    visits = sorted({(at - timedelta(hours=DAY_STARTS.hour)).date() for at in orders})
    sent: list[date] = []
    for number, visit in enumerate(visits[MIN_VISITS - 1 :], MIN_VISITS):
        gaps = [(after - before) // DAY for before, after in pairwise(visits[:number])][-GAPS:]
        opens = max(visit + AT_LEAST, visit + (TIMES * sum(gaps) // len(gaps) + 1) * DAY)
        looked = datetime.combine(opens, LOOK)
        came = any(datetime.combine(visit + DAY, DAY_STARTS) <= at <= looked for at in orders)
        # Too soon after another message is a refusal, and a refusal is final for its occasion.
        too_soon = bool(sent) and opens < sent[-1] + AGAIN
        if not came and not too_soon and opens < visit + AT_LEAST + OPEN and looked <= last:
            sent.append(opens)
    return len(sent)


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
