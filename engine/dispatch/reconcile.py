"""After a restore: what the journal knows and the database does not, and letting it send again.

Each step is a transaction that changes nothing when it is done again, and only the last one lets the database send: a
reconciliation that was killed is simply called again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from itertools import chain, islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, func, insert, or_, select, update

from engine.database.months import month_of
from engine.database.places import never_reuse, place_of
from engine.database.rights import may_number
from engine.database.sql import upsert
from engine.database.tables import (
    approvals,
    audit,
    customers,
    dispatches,
    endpoints,
    instance,
    lost_handoffs,
    rules,
    zones,
)
from engine.dispatch import instance as instances
from engine.dispatch import senders
from engine.dispatch.instance import LOOKED_AT, SETTLED, Surroundings, Why
from engine.dispatch.journal import KEPT, Record, Spoilt, records
from engine.dispatch.states import ANSWERED, MESSAGES, OPEN, move
from engine.dispatch.tallies import recount
from engine.evaluation.lost import RESTORED
from engine.language.zones import business_day

#: Records settled in one transaction.
PORTION = 500
#: So far above the highest known the ids of dispatches go on; further where the journal does not tell.
GAP = 1_000
WIDE_GAP = 1_000_000
_TAKEN_BACK: Final = "taken back"


@dataclass
class Reconciled:
    """What a reconciliation did. ``why``: what it found; None: nothing was wrong, and nothing was done."""

    why: Why | None
    covered: bool = True  #: the journal reaches back to the database, so all else may go on
    uncertain: int = 0  #: dispatches that had gone out since, as far as anybody knows
    lost: int = 0  #: hand-overs of which the database knows nothing more
    kept: int = 0  #: hand-overs whose dispatch had its end already
    held: int = 0  #: all that wait for a person now
    rules: int = 0  #: whose approval was taken back
    absent: int = 0  #: other journals from which this database was sent, and which were not at hand
    since: datetime | None = None  #: the first hand-over that the database did not know


@dataclass
class _Survey:
    """What the journal holds, seen from the database."""

    reached: bool = False  #: it has one of the database's last hand-overs
    damaged: bool = False  #: a line after that was changed
    highest: int = 0  #: the highest id of a dispatch of this database
    last: dict[int, Record] = field(default_factory=dict)  #: dispatch -> the last hand-over that was not known
    found: set[tuple[int, int]] = field(default_factory=set)
    missing: set[tuple[int, int]] = field(default_factory=set)  #: hand-overs that were answered, and no journal has


def reconcile(
    db: Engine, around: Surroundings, *, name: str, now: datetime, day_starts: time, hold: bool = False
) -> Reconciled:
    """Bring a restored or copied database in line with its journal, and let it send again; ``name`` is who says so.

    What the journal knows to have gone out becomes ``uncertain``, or is remembered so that it is held when it is found
    again. Where the journals cannot tell, or one of them is not at hand, everything that is not final is held and every
    rule's approval is taken back; so it is with ``hold``, where a person knows that a journal was put back too.
    Raises ``JournalError`` where the journal cannot be read.
    """
    with db.begin() as conn:
        instances.identity(conn)
        why, absent = instances.why(conn, around), senders.absent(conn, around)
        if why is None and not absent and not hold:
            conn.execute(update(instance).values(place=place_of(conn, around.machine)))
            return Reconciled(None)
        may_number(conn, dispatches)  # now, not when all else is done
        copied = why == "copied" or instances.is_copy(conn, around)
        seen = _survey(conn, around, now)
        covered = not copied and not absent and not hold and _covers(conn, around, seen)
        earlier = _settled(conn)
    done = Reconciled(
        "copied" if copied else "restored",
        covered,
        uncertain=earlier["uncertain"],
        lost=earlier["lost"],
        kept=earlier["kept"],
        absent=len(absent),
    )
    for portion in _portions(_all(around)):
        with db.begin() as conn:
            _settle(conn, portion, done, seen.last, name=name, now=now, day_starts=day_starts)
    if not covered:
        with db.begin() as conn:
            instances.hold_all(conn, now, actor=name)
            done.rules = earlier[_TAKEN_BACK] + _take_approvals_back(conn, name, now)
    with db.begin() as conn:
        _finish(conn, around, done, seen, name=name, now=now)
    return done


def _settled(conn: Connection) -> Counter[str]:
    """Count what a reconciliation that did not come to its end has settled: it was told to nobody yet."""
    last = select(func.coalesce(func.max(audit.c.id), 0)).where(audit.c.action == "reconcile").scalar_subquery()
    taken = and_(audit.c.action == "approve", audit.c.after == _TAKEN_BACK)
    settled = select(audit.c.after, func.count()).where(or_(audit.c.action == SETTLED, taken), audit.c.id > last)
    return Counter({str(after): number for after, number in conn.execute(settled.group_by(audit.c.after))})


def _portions(source: Iterator[Any]) -> Iterator[list[Record]]:
    while portion := list(islice(source, PORTION)):
        yield [each for each in portion if isinstance(each, Record)]


def _all(around: Surroundings) -> Iterator[Record | Spoilt]:
    return chain.from_iterable(map(records, around.journals))


def _survey(conn: Connection, around: Surroundings, now: datetime) -> _Survey:
    """Read the journals once: how far they reach, and which tokens the database does not know."""
    seen, ours, wanted = _Survey(missing=_answered(conn, now)), instances.family(conn), set(_last_fences(conn))
    stream = _all(around)
    while portion := list(islice(stream, PORTION)):
        whole = [each for each in portion if isinstance(each, Record)]
        mine = {(each.dispatch_id, each.token) for each in whole if each.identity in ours}
        seen.reached |= bool(mine & wanted) or (not wanted and bool(whole))
        counts = seen.reached or bool(around.others)
        seen.damaged |= counts and any(not isinstance(each, Record) and not each.torn for each in portion)
        seen.missing -= mine
        seen.highest = max(seen.highest, *(number for number, _ in mine), 0)
        seen.found |= mine & _witnessed(conn, around)
        known = instances.known_keys(conn, whole)
        for each in whole:
            if each.identity in ours and each.key not in known:
                seen.last[each.dispatch_id] = max(each, seen.last.get(each.dispatch_id, each), key=lambda it: it.token)
    return seen


def _last_fences(conn: Connection) -> list[tuple[int, int]]:
    """Give the last hand-overs that the database knows: dispatch id and token."""
    rows = conn.execute(
        select(audit.c.dispatch_id, audit.c.token)
        .where(audit.c.action == "move", audit.c.before == "claimed", audit.c.after == "handoff")
        .order_by(audit.c.id.desc())
        .limit(LOOKED_AT)
    )
    return [(row.dispatch_id, row.token) for row in rows]


def _answered(conn: Connection, now: datetime) -> set[tuple[int, int]]:
    """Give the last hand-overs of each sender that were answered: these stood in a journal, and still must."""
    fence, answer = audit.alias(), audit.alias()
    settled = select(func.coalesce(func.max(audit.c.id), 0)).where(audit.c.action == "reconcile").scalar_subquery()
    rank = func.row_number().over(partition_by=fence.c.actor, order_by=fence.c.id.desc()).label("rank")
    last = (
        select(fence.c.dispatch_id, fence.c.token, rank)
        .where(fence.c.action == "move", fence.c.before == "claimed", fence.c.after == "handoff")
        .where(fence.c.id > settled, fence.c.at >= now - KEPT)
        .subquery()
    )
    same = and_(answer.c.dispatch_id == last.c.dispatch_id, answer.c.token == last.c.token, answer.c.action == "move")
    told = and_(answer.c.before == "handoff", answer.c.who == "holder", answer.c.after.in_(ANSWERED))
    rows = conn.execute(
        select(last.c.dispatch_id, last.c.token)
        .where(last.c.rank <= LOOKED_AT)
        .where(select(answer.c.id).where(same, told).exists())
    )
    return {(row.dispatch_id, row.token) for row in rows}


def _witnessed(conn: Connection, around: Surroundings) -> set[tuple[int, int]]:
    seen = instances.witnessed(around, instances.identity(conn))
    return set() if seen is None else {seen}


def _covers(conn: Connection, around: Surroundings, seen: _Survey) -> bool:
    """Tell whether the journal has everything that was handed over since the database was as it is."""
    if not seen.reached or seen.damaged or seen.missing:
        return False
    if not _last_fences(conn) and conn.scalar(
        select(dispatches.c.id).where(dispatches.c.handed_at.is_not(None)).limit(1)
    ):
        return False  # handed over by an older Regulars, which kept no journal
    missing = _witnessed(conn, around) - seen.found
    return missing <= instances.known_pairs(conn, missing)


def _settle(
    conn: Connection,
    portion: Collection[Record],
    done: Reconciled,
    last: Mapping[int, Record],
    *,
    name: str,
    now: datetime,
    day_starts: time,
) -> None:
    """Settle those records of the journal that the database does not know."""
    ours, known = instances.family(conn), instances.known_keys(conn, portion)
    unknown = list({each.key: each for each in portion if each.key not in known}.values())  # one may be in two journals
    rows = _rows(conn, [each.dispatch_id for each in unknown if each.identity in ours])
    for record in unknown:
        mine = record.identity in ours
        row = rows.get(record.dispatch_id) if mine else None
        after, exact = "lost", False
        if row is not None and _place(row) == _place(record):
            final = record.token == last[record.dispatch_id].token
            after = _doubt(conn, row, record, name=name, now=now, day_starts=day_starts) if final else "kept"
            # An id may have been given twice, once before another restore: then it is another guest's, or occasion.
            exact = row.expires_at == record.expires_at and row.hash in {None, record.to}
        if not exact:
            _remember(conn, record, name=name, now=now)
        conn.execute(
            insert(audit).values(
                at=now, actor=name, who="reconciler", action=SETTLED, after=after, subject=record.key,
                dispatch_id=record.dispatch_id if mine else None, token=record.token if mine else None,
                month=month_of(now) if row is None else row.month,
            )
        )  # fmt: skip
        done.uncertain += after == "uncertain"
        done.lost += after == "lost"
        done.kept += after == "kept"
        done.since = record.at if done.since is None else min(done.since, record.at)


def _rows(conn: Connection, ids: Collection[int]) -> dict[int, Row[*tuple[Any, ...]]]:
    d = dispatches.c
    rows = conn.execute(
        select(
            d.id, d.month, rules.c.rule, d.step, d.part, d.channel, d.lease_token, d.expires_at, _hash().label("hash")
        )
        .add_columns(zones.c.name.label("zone"))
        .join(rules, rules.c.id == d.rule_id)
        .join(customers, customers.c.id == d.customer_id)
        .join(zones, zones.c.id == customers.c.zone_id)
        .where(d.id.in_(ids))
    )
    return {row.id: row for row in rows}


def _hash() -> ColumnElement[Any]:
    """SQL: the keyed hash of a dispatch's endpoint; NULL for a step that has none."""
    return select(endpoints.c.hash).where(endpoints.c.id == dispatches.c.endpoint_id).scalar_subquery()


def _place(one: Row[*tuple[Any, ...]] | Record) -> tuple[object, ...]:
    return one.rule, one.step, one.part, one.channel


def _doubt(
    conn: Connection,
    row: Row[*tuple[Any, ...]],
    record: Record,
    *,
    name: str,
    now: datetime,
    day_starts: time,
) -> str:
    """Make a dispatch uncertain that the journal saw leave; give what became of the record."""
    day = business_day(record.at, ZoneInfo(row.zone), day_starts).toordinal() if row.channel in MESSAGES else None
    token = {"lease_token": max(record.token, row.lease_token)}  # no later hand-over may bear one that was used
    values = {"handed_at": record.at, "handed_day": day, "content_hash": record.content_hash}
    how: dict[str, Any] = {"who": "reconciler", "now": now, "actor": name, "reason": RESTORED}
    for before in (*OPEN, "handoff", "dead"):
        if move(conn, before, "uncertain", dispatches.c.id == row.id, values=values | token, **how):
            return "uncertain"
    if record.token > row.lease_token:
        move(conn, "uncertain", "uncertain", dispatches.c.id == row.id, values=token, **how)
    return "kept"


def _remember(conn: Connection, record: Record, *, name: str, now: datetime) -> None:
    """Hold what went out under an id that this database does not know: what waits here already, or is found again."""
    d = dispatches.c
    its_rule = d.rule_id.in_(select(rules.c.id).where(rules.c.rule == record.rule))
    step = and_(d.step == record.step, d.part == record.part, d.channel == record.channel)
    same = and_(its_rule, step, _hash() == record.to)
    for before in ("pending", "claimed"):
        move(conn, before, "held", same, who="reconciler", now=now, actor=name, reason=RESTORED)
    conn.execute(update(dispatches).where(d.state == "held", same).values(reason=RESTORED))
    if record.expires_at <= now:
        return
    row = upsert(conn, lost_handoffs).values(
        key=record.key,
        rule=record.rule,
        step=record.step,
        part=record.part,
        channel=record.channel,
        endpoint_hash=record.to,
        handed_at=record.at,
        expires_at=record.expires_at,
    )
    conn.execute(row.on_conflict_do_nothing(index_elements=["key"]))


def _take_approvals_back(conn: Connection, name: str, now: datetime) -> int:
    """Let every rule wait for a person again; give how many were approved."""
    approved = conn.scalars(select(rules.c.rule).where(rules.c.approved_hash.is_not(None)).order_by(rules.c.id)).all()
    for each in approved:
        conn.execute(
            insert(audit).values(
                at=now, actor=name, action="approve", subject=each, before="approved", after=_TAKEN_BACK
            )
        )
    conn.execute(delete(approvals))
    conn.execute(update(rules).values(approved_hash=None, approved_by=None, approved_at=None))
    return len(approved)


def _finish(
    conn: Connection, around: Surroundings, done: Reconciled, seen: _Survey, *, name: str, now: datetime
) -> None:
    """Let it send again: from here, with ids that nothing has borne."""
    before = instances.identity(conn)
    missing = _witnessed(conn, around)
    for number, token in missing - instances.known_pairs(conn, missing):
        trail = {"at": now, "actor": name, "who": "reconciler", "action": SETTLED, "after": "lost"}
        conn.execute(
            insert(audit).values(**trail, dispatch_id=number, token=token, subject=f"{before}:{number}:{token}")
        )
    highest = max(seen.highest, *(number for number, _ in missing), 0)
    if done.lost or not done.covered:
        never_reuse(conn, dispatches, highest + (GAP if done.covered else WIDE_GAP))
    for each in (endpoints, customers):  # links that are out name endpoints; no journal tells which were given since
        never_reuse(conn, each, int(now.timestamp() * 1000))  # higher than at a restore before this one
    after = instances.fresh() if done.why == "copied" else before
    place = place_of(conn, around.machine)
    conn.execute(
        update(instance).values(identity=after, place=place, backup_at=None, stopped_why=None, reconciled_at=now)
    )
    if not done.covered:
        senders.forget_others(conn, around)
    conn.execute(delete(lost_handoffs).where(lost_handoffs.c.expires_at <= now))
    recount(conn)  # what was handed over anew since then counts in the later period
    done.held = conn.scalar(select(func.count()).select_from(dispatches).where(dispatches.c.state == "held")) or 0
    counts = {"uncertain": done.uncertain, "lost": done.lost, "kept": done.kept, "held": done.held, "rules": done.rules}
    conn.execute(
        insert(audit).values(
            at=now, actor=name, action="reconcile", subject=done.why, before=before, after=after, detail=counts
        )
    )
