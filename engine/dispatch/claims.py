"""Who holds which dispatch: claims in batches, and leases.

Leases are a courtesy between workers; the compare-and-set on state and token is the guarantee. A wrong guess here (a
process taken for dead) can make a send ``uncertain``, never double.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    case,
    exists,
    not_,
    select,
    union_all,
    update,
)

from engine.database.consent import Purpose
from engine.database.months import is_month, the_month, waiting_months
from engine.database.sql import EpochSeconds, Id, row_by_row
from engine.database.tables import customer_facts, customers, dispatches, endpoints, matches, rules, runs, zones
from engine.dispatch import health
from engine.dispatch.health import Rates
from engine.dispatch.outbox import channel_shut, earlier_step_open, stopped
from engine.dispatch.states import INSIDE, move
from engine.language.contacts import Channel

_NO_RATES: Rates = {}
LEASE = timedelta(minutes=15)

_COUNTRY = (
    select(customer_facts.c.country)
    .where(customer_facts.c.customer_id == dispatches.c.customer_id)
    .correlate(dispatches)
    .scalar_subquery()
)

_ENDPOINT = select(endpoints.c.hash).where(endpoints.c.id == dispatches.c.endpoint_id).scalar_subquery()

#: What was begun together with others is no strike against any of them: it is worked on alone then, and that counts.
_ONE_MORE = case(
    (bindparam("together", type_=Boolean), -1),
    (dispatches.c.rescues < 0, 1),
    else_=dispatches.c.rescues + 1,
)
_BEGIN = (
    update(dispatches)
    .where(
        dispatches.c.month == the_month("its_month"),
        dispatches.c.id.in_(bindparam("ids", expanding=True, type_=Id)),
        dispatches.c.lease_token == bindparam("token", type_=Integer),
        dispatches.c.state == "claimed",
    )
    .values(leased_until=bindparam("until", type_=EpochSeconds), rescues=_ONE_MORE)
    .returning(dispatches.c.id)
)

_GUESTS = (
    select(customers.c.id)
    .where(customers.c.id.in_(bindparam("ids", expanding=True, type_=Id)))
    .order_by(customers.c.id)
    .with_for_update(key_share=True)
)

#: Of a rule's version and step: do its alerts go out once per ``guest``, ``store`` or ``run``?
Grouping = Callable[[Connection, int, int], str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A dispatch that this worker holds, with what every stage needs of its match. ``token`` proves the lease."""

    id: int
    month: int  #: of its match: where the ledger keeps it
    token: int
    match_id: int
    rule_id: int
    run_id: int
    version_id: int
    customer_id: int
    step: int
    channel: str
    purpose: Purpose
    endpoint_id: int | None
    content_id: int | None
    due_at: datetime
    expires_at: datetime
    attempts: int
    matched_at: datetime
    store_id: int | None
    order_id: int | None
    rating_id: int | None
    event_id: int | None
    friend_id: int | None
    part: int
    rule: str  #: the owner's name of it
    endpoint_hash: bytes | None
    source: str = field(repr=False)  #: with the next, the guest in the owner's files
    external_id: str = field(repr=False)
    zone: ZoneInfo  #: the customer's
    country: str | None = None  #: whose law holds for the guest; None: the home's
    rescues: int = 0  #: how often work on it was begun and came to nothing; -1: once, together with others

    @property
    def to_guest(self) -> Channel | None:
        """The channel of a message to a guest; None for all other steps."""
        return "email" if self.channel == "email" else "sms" if self.channel == "sms" else None

    def mine(self) -> ColumnElement[bool]:
        """SQL: the row is this dispatch and the lease is still ours."""
        return and_(self.itself(), dispatches.c.lease_token == self.token)

    def itself(self) -> ColumnElement[bool]:
        """SQL: the row is this dispatch."""
        return and_(is_month(dispatches.c.month, self.month), dispatches.c.id == self.id)


#: The order in which dispatches are claimed.
_TURN: Final = ("due_at", "priority", "id")
#: Where a claim has its zone.
_ZONE: Final = [field.name for field in fields(Claim)].index("zone")


def claimable(
    now: datetime | ColumnElement[datetime], usable: Sequence[str], months: Sequence[int] | None = None
) -> list[ColumnElement[bool]]:
    """SQL: what a worker may claim at ``now`` on one of the channels in ``usable``; of these months, or of all."""
    return [
        *_in(months),
        dispatches.c.state == "pending",
        dispatches.c.due_at <= now,
        dispatches.c.expires_at > now,
        dispatches.c.channel.in_(usable),
        not_(channel_shut(now)),
        not_(earlier_step_open(months)),
        not_(stopped()),
    ]


def claim(
    conn: Connection, *, now: datetime, holder: str, usable: Sequence[str], limit: int, rates: Rates = _NO_RATES
) -> list[Claim]:
    """Take up to ``limit`` due dispatches, soonest first, then by priority (1 before 2), then by id.

    A channel with a rate, the owner's or after a provider said "too many", gives as many a minute as that allows.
    """
    for months in _where_it_waits(conn):
        for names, most in health.shares(conn, usable, limit, now, rates):
            free = conn.scalars(_free(tuple(names), months), {"now": now, "most": most}).all()
            if free:
                health.take(conn, names, len(free), now, rates)
                return _take(conn, free, months, now=now, holder=holder)
    return []


#: Written anew, what is claimable takes longer than to be looked for.
_made_once = lru_cache(maxsize=64)


@_made_once
def _free(usable: tuple[str, ...], months: tuple[int, ...] | None) -> Select[Any]:
    return _first(usable, months, locked=True)


def _first(usable: Sequence[str], months: Sequence[int] | None, *, locked: bool) -> Select[Any]:
    """SQL: the ids, and the guests, of the ``most`` that are claimed next.

    The first ones of each channel, and of these the first: what waits on one is not gone through for another's.
    """
    most: ColumnElement[int] = bindparam("most", type_=Integer)
    each = [_due(channel, months).limit(most) for channel in usable]
    if locked:
        each = [one.with_for_update(skip_locked=True, of=dispatches) for one in each]
    if len(each) == 1:
        return each[0]
    first = union_all(*(select(one.subquery()) for one in each)).subquery("first")
    return select(first.c.id, first.c.customer_id).order_by(*(first.c[name] for name in _TURN)).limit(most)


def _due(channel: str, months: Sequence[int] | None) -> Select[Any]:
    """SQL: what may be claimed of a channel at ``now``, in the order in which it is claimed."""
    now, d = bindparam("now", type_=EpochSeconds), dispatches.c
    found = select(d.id, d.customer_id, d.due_at, d.priority).where(*claimable(now, [channel], months))
    return found.order_by(*(d[name] for name in _TURN))


def _in(months: Sequence[int] | None) -> list[ColumnElement[bool]]:
    return [] if months is None else [is_month(dispatches.c.month, *months)]


def _where_it_waits(conn: Connection) -> Iterator[tuple[int, ...] | None]:
    """Give the months to look into: those of a moment ago, and where that finds nothing those of now."""
    lately = waiting_months(conn, age=30)
    yield lately
    now = waiting_months(conn, age=1)
    if now != lately:
        yield now


def next_minute(conn: Connection, *, now: datetime, usable: Sequence[str], rates: Rates = _NO_RATES) -> datetime | None:
    """Tell when more can be claimed of what is due and is kept back by a rate alone; None: nothing is."""
    full = health.full(conn, now, rates)
    due = [exists().where(*claimable(now, [channel])) for channel in full]
    waits = conn.execute(select(*due)).one() if due else ()
    return min(
        (full[channel] for channel, some in zip(full, waits, strict=True) if some and channel in usable), default=None
    )


def claim_steps(conn: Connection, *, now: datetime, holder: str, limit: int) -> list[Claim]:
    """Take up to ``limit`` due steps inside the database. Their guests are locked first, as erasure does it."""
    looked = (_claim_steps(conn, months, now=now, holder=holder, limit=limit) for months in _where_it_waits(conn))
    return next((found for found in looked if found), [])


def _claim_steps(
    conn: Connection, months: tuple[int, ...] | None, *, now: datetime, holder: str, limit: int
) -> list[Claim]:
    found = conn.execute(_first_steps(months), {"now": now, "most": limit}).all()
    if not found:
        return []
    lock_customers(conn, sorted({row.customer_id for row in found}))
    ids = [row.id for row in found]
    still = select(dispatches.c.id).where(*_in(months), dispatches.c.id.in_(ids), _still(now))
    free = conn.scalars(still.with_for_update(skip_locked=True, of=dispatches)).all()
    return _take(conn, free, months, now=now, holder=holder)


def _still(now: datetime) -> ColumnElement[bool]:
    """SQL: a step inside may be claimed; asked of those at hand, not looked for among all that are due."""
    return row_by_row(and_(*claimable(now, INSIDE)))


@_made_once
def _first_steps(months: tuple[int, ...] | None) -> Select[Any]:
    return _first(INSIDE, months, locked=False)


def lock_customers(conn: Connection, customer_ids: Sequence[int]) -> None:
    """Hold guests' rows as ``lock_endpoints`` holds endpoints'."""
    if conn.dialect.name != "sqlite":
        conn.execute(_GUESTS, {"ids": customer_ids})


def claim_alerts(conn: Connection, *, now: datetime, holder: str, grouping: Grouping) -> list[Claim]:
    """Take one due alert to staff, with all others that go into the same message (``grouping`` tells which).

    Claims of one run's alerts wait for each other at the run's row: two workers must not make two halves of one list.
    """
    while first := next(filter(None, (_first_alert(conn, now, each) for each in _where_it_waits(conn))), None):
        conn.execute(select(runs.c.id).where(runs.c.id == first.run_id).with_for_update())
        together: list[ColumnElement[bool]] = [dispatches.c.id == first.id]
        once_per = grouping(conn, first.version_id, first.step)
        if once_per != "guest":
            together = [
                matches.c.run_id == first.run_id,
                matches.c.version_id == first.version_id,
                dispatches.c.step == first.step,
            ]
        if once_per == "store":
            together.append(matches.c.store_id.is_not_distinct_from(first.store_id))
        free = conn.scalars(
            select(dispatches.c.id)
            .join(matches, matches.c.id == dispatches.c.match_id)
            .where(*claimable(now, ["alert"], [first.month]), *together)
            .order_by(dispatches.c.id)
            .with_for_update(of=dispatches)
        ).all()
        if free:  # else another worker was first: look again
            return _take(conn, free, [first.month], now=now, holder=holder)
    return []


def _first_alert(conn: Connection, now: datetime, months: tuple[int, ...] | None) -> Row[*tuple[Any, ...]] | None:
    return conn.execute(_alerts(months), {"now": now}).one_or_none()


@_made_once
def _alerts(months: tuple[int, ...] | None) -> Select[Any]:
    d, m = dispatches.c, matches.c
    first = _due("alert", months).join(matches, m.id == d.match_id).limit(1)
    return first.add_columns(d.month, m.run_id, m.version_id, m.store_id, d.step)


def _take(
    conn: Connection, ids: Sequence[int], months: Sequence[int] | None, *, now: datetime, holder: str
) -> list[Claim]:
    if not ids:
        return []
    taken = move(
        conn,
        "pending",
        "claimed",
        *_in(months),
        dispatches.c.id.in_(ids),
        who="worker",
        now=now,
        values={
            "lease_token": dispatches.c.lease_token + 1,
            "leased_until": now + LEASE,
            "lease_holder": holder,
        },
    )
    return read_claims(conn, taken, months)


def read_claims(conn: Connection, ids: Sequence[int], months: Sequence[int] | None = None) -> list[Claim]:
    """Read the dispatches as claims, in the order in which they are worked on."""
    rows = conn.execute(_claims(None if months is None else tuple(months)), {"ids": ids})
    return [Claim(*_fields(list(row))) for row in rows]


def _fields(row: list[Any]) -> list[Any]:
    row[_ZONE] = ZoneInfo(row[_ZONE])
    return row


@_made_once
def _claims(months: tuple[int, ...] | None) -> Select[Any]:
    d, m = dispatches.c, matches.c
    return (
        select(  # as the fields of a claim stand
            d.id, d.month, d.lease_token, d.match_id, d.rule_id, m.run_id, m.version_id, d.customer_id, d.step,
            d.channel, d.purpose, d.endpoint_id, d.content_id, d.due_at, d.expires_at, d.attempts, m.matched_at,
            m.store_id, m.order_id, m.rating_id, m.event_id, m.friend_id, d.part, rules.c.rule, _ENDPOINT,
            customers.c.source, customers.c.external_id, zones.c.name, _COUNTRY, d.rescues,
        )
        .join(matches, m.id == d.match_id)
        .join(customers, customers.c.id == d.customer_id)
        .join(rules, rules.c.id == d.rule_id)
        .join(zones, zones.c.id == customers.c.zone_id)
        .where(*_in(months), d.id.in_(bindparam("ids", expanding=True, type_=Id)))
        .order_by(d.due_at, d.priority, d.id)
    )  # fmt: skip


def begin(conn: Connection, held: Sequence[Claim], now: datetime, *, together: bool = False) -> list[Claim]:
    """Begin to work on these: their leases last from ``now`` again. Gives those that are still ours.

    The beginning is counted, and any result sets the count back: of a batch whose worker is killed again and again only
    the dispatch that it was working on is suspect. Those that are begun ``together`` are marked instead: when nothing
    came of it, each is worked on alone.
    """
    still: set[int] = set()
    alike: dict[tuple[int, int], list[int]] = {}
    for each in held:
        alike.setdefault((each.month, each.token), []).append(each.id)
    for (month, token), ids in sorted(alike.items()):  # a lease is known by number and token
        given = {"its_month": month, "ids": ids, "token": token, "until": now + LEASE, "together": together}
        still |= set(conn.scalars(_BEGIN, given))
    return [each for each in held if each.id in still]
