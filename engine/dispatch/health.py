"""What the answers of a provider did to its channel: breaker, rate, and the stop that waits for a person.

Kept in the database: the next run, and every other worker, must not learn the same lesson again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Row,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from connectors.base import Outcome
from engine.database.gate import close_gate
from engine.database.sql import EpochSeconds, upsert
from engine.database.tables import audit, channels, dispatches, rules, switch

#: So many failures in a row open the breaker; each further one doubles the pause, from 5 minutes up to an hour.
FAILURES = 5
FIRST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(hours=1)
#: So many definite noes in a row, to different guests, are our fault and not theirs.
REFUSALS = 3
#: A rate is per minute, and changes at most once in one. It grows by a tenth; from so many on it is none any more.
MINUTE = timedelta(minutes=1)
FAST = 1_000

_NOW, _BEFORE = bindparam("now", type_=EpochSeconds), bindparam("before", type_=EpochSeconds)
_GROWS = and_(channels.c.rate.is_not(None), channels.c.rated_at <= _BEFORE)
_GROWN = channels.c.rate + 1 + channels.c.rate // 10
#: After a message that went well; without a row to change, no lock is taken. A yes while the channel is shut is older
#: than what shut it: it was on its way, or waited to be written down.
_WELL = (
    update(channels)
    .where(
        channels.c.channel == bindparam("name"),
        or_(channels.c.failures > 0, channels.c.refusals > 0, _GROWS),
        or_(channels.c.open_until.is_(None), channels.c.open_until <= _NOW),
    )
    .values(
        failures=0,
        refusals=0,
        refused_id=None,
        other_refused_id=None,
        open_until=None,
        rate=case((_GROWS, case((_GROWN < FAST, _GROWN), else_=null())), else_=channels.c.rate),
        rated_at=case((_GROWS, _NOW), else_=channels.c.rated_at),
    )
)
_NEW_MINUTE = or_(channels.c.minute_at.is_(None), channels.c.minute_at <= _BEFORE)
_TAKE = (
    update(channels)
    .where(
        channels.c.channel == bindparam("name"), or_(channels.c.rate.is_not(None), bindparam("limited", type_=Boolean))
    )
    .values(
        taken=case((_NEW_MINUTE, 0), else_=channels.c.taken) + bindparam("count"),
        minute_at=case((_NEW_MINUTE, _NOW), else_=channels.c.minute_at),
    )
)
_COUNTED = select(channels.c.channel, channels.c.rate, channels.c.taken, channels.c.minute_at).order_by(
    channels.c.channel
)

#: Messages a minute by channel, as the owner's config has it: whatever a provider said besides, it is never more.
Rates = Mapping[str, int]
_SHUT = select(channels.c.stopped_at, channels.c.open_until).where(channels.c.channel == bindparam("name"))


def pause(failures: int) -> timedelta | None:
    """Give how long a channel rests after so many failures in a row; None: it does not."""
    if failures < FAILURES:
        return None
    return min(FIRST_PAUSE * (1 << min(failures - FAILURES, 10)), LONGEST_PAUSE)


def note(conn: Connection, channel: str, outcome: Outcome, *, now: datetime, customer_id: int) -> None:
    """Write down what one outcome says about its channel.

    A gateway's no to an SMS that does not blame the number is our fault: three of them in a row, to different
    customers, stop the channel.
    """
    refused = channel == "sms" and outcome.kind == "no" and outcome.endpoint == "ok"
    if outcome.channel == "ok" and not refused:
        if outcome.kind in ("sent", "no"):  # it answers
            conn.execute(_WELL, {"name": channel, "now": now, "before": now - MINUTE})
        return
    conn.execute(upsert(conn, channels).values(channel=channel).on_conflict_do_nothing())
    row = conn.execute(select(channels).where(channels.c.channel == channel).with_for_update()).one()
    mine = update(channels).where(channels.c.channel == channel)
    if outcome.channel == "stop":
        conn.execute(mine.where(channels.c.stopped_at.is_(None)).values(stopped_at=now, stopped_why=outcome.code))
    elif outcome.channel == "slow":
        if row.rate is None or row.rated_at <= now - MINUTE:  # the answers of one burst are one answer
            rate = row.rate if row.rate is not None else _handed_in_a_minute(conn, channel, now)
            mine = mine.values(rate=max(1, rate // 2), rated_at=now)
        conn.execute(mine.values(open_until=max(outcome.retry_at or now + MINUTE, row.open_until or now)))
    elif refused:
        conn.execute(mine.values(**_one_more_refused(row, customer_id, outcome, now)))
    else:
        failures = row.failures + 1
        if outcome.channel == "breaker":
            failures = max(failures, FAILURES)
        rest = pause(failures)
        conn.execute(mine.values(failures=failures, open_until=row.open_until if rest is None else now + rest))


def _one_more_refused(
    row: Row[*tuple[Any, ...]], customer_id: int, outcome: Outcome, now: datetime
) -> dict[str, object]:
    """Give what changes in a channel's row: two customers are kept, one that is neither of them is the third."""
    if customer_id in (row.refused_id, row.other_refused_id):
        return {"refusals": row.refusals}
    if row.refusals + 1 >= REFUSALS:
        return {"refusals": row.refusals + 1, "stopped_at": now, "stopped_why": f"refused: {outcome.code}"}
    kept = "refused_id" if row.refused_id is None else "other_refused_id"
    return {"refusals": row.refusals + 1, kept: customer_id}


def _handed_in_a_minute(conn: Connection, channel: str, now: datetime) -> int:
    carries = channel.partition(":")[0]
    of_all = dispatches.c.rule_id.in_(select(rules.c.id))  # so the index by rule, channel and time is of use
    recent = select(func.count()).where(of_all, dispatches.c.channel == carries, dispatches.c.handed_at > now - MINUTE)
    return conn.scalar(recent) or 0


def is_calm(channel: ColumnElement[str]) -> ColumnElement[bool]:
    """SQL: a message that goes well would change nothing of what is noted of the channel."""
    noted = or_(channels.c.failures > 0, channels.c.refusals > 0, channels.c.rate.is_not(None))
    return ~exists().where(channels.c.channel == channel, noted)


def shares(
    conn: Connection, usable: Sequence[str], limit: int, now: datetime, rates: Rates
) -> list[tuple[list[str], int]]:
    """Tell how many messages may be claimed at ``now``: (channels, how many of them together), at most ``limit``.

    Channels without a rate come first and together. The rows of the others stay locked until the commit: all workers of
    all machines count in them.
    """
    room = _rooms(conn, usable, now, rates)
    free = [channel for channel in usable if channel not in room]
    slow = [([channel], min(limit, room[channel])) for channel in usable if room.get(channel)]
    return [(free, limit), *slow] if free else slow


def take(conn: Connection, names: Sequence[str], count: int, now: datetime, rates: Rates) -> None:
    """Note that ``count`` messages were claimed on these channels, if they have a rate."""
    if len(names) == 1:  # the others were claimed together because they have none
        given = {"name": names[0], "limited": names[0] in rates, "count": count, "now": now, "before": now - MINUTE}
        conn.execute(_TAKE, given)


def admit(conn: Connection, channel: str, now: datetime, rates: Rates) -> datetime | None:
    """Let one more go on a channel that is not claimed by its name, and note it; else tell from when on it may."""
    if _rooms(conn, [channel], now, rates).get(channel, 1):
        take(conn, [channel], 1, now, rates)
        return None
    return full(conn, now, rates).get(channel, now + MINUTE)


def full(conn: Connection, now: datetime, rates: Rates) -> dict[str, datetime]:
    """Give the channels whose minute has no room any more, each with its end; locks nothing."""
    rows = conn.execute(_COUNTED.where(_counted(rates)))
    return {row.channel: row.minute_at + MINUTE for row in rows if not _room(row, now, rates)}


def _counted(rates: Rates) -> ColumnElement[bool]:
    return or_(channels.c.rate.is_not(None), channels.c.channel.in_(list(rates)))


def _rooms(conn: Connection, usable: Sequence[str], now: datetime, rates: Rates) -> dict[str, int]:
    counted = _COUNTED.where(_counted(rates)).with_for_update()
    rows = conn.execute(counted).all()
    unknown = sorted(set(usable) & set(rates) - {row.channel for row in rows})
    if unknown:
        new = upsert(conn, channels).values([{"channel": channel} for channel in unknown])
        conn.execute(new.on_conflict_do_nothing())
        rows = conn.execute(counted).all()
    return {row.channel: _room(row, now, rates) for row in rows}


def _room(row: Row[*tuple[Any, ...]], now: datetime, rates: Rates) -> int:
    spent = row.taken if row.minute_at is not None and row.minute_at > now - MINUTE else 0
    most = min(rate for rate in (row.rate, rates.get(row.channel)) if rate is not None)
    return max(0, int(most) - spent)


def shut_until(conn: Connection, channel: str, now: datetime) -> datetime | None:
    """Tell until when nothing may be sent on the channel; None when it is open.

    A stopped channel has no such time: it says a quarter of an hour from ``now``.
    """
    row = conn.execute(_SHUT, {"name": channel}).one_or_none()
    if row is None:
        return None
    if row.stopped_at is not None:
        return now + timedelta(minutes=15)
    return row.open_until if row.open_until is not None and row.open_until > now else None


def stop(conn: Connection, *, by: str, now: datetime) -> bool:
    """Press the big red button: nothing passes the fence after the commit. False when it was pressed before."""
    close_gate(conn)
    conn.execute(upsert(conn, switch).values(id=1).on_conflict_do_nothing())
    free = update(switch).where(switch.c.id == 1, switch.c.stopped_at.is_(None))
    if not conn.scalars(free.values(stopped_at=now, stopped_by=by).returning(switch.c.id)).all():
        return False
    conn.execute(insert(audit).values(at=now, actor=by, action="stop", subject="all", before="on", after="off"))
    return True


def start(conn: Connection, *, by: str, now: datetime) -> list[str]:
    """Let dispatches go again, and every channel that a provider's answer had stopped; give what was started.

    ``all`` stands for the big red button.
    """
    started: list[str] = []
    if conn.scalars(
        update(switch)
        .where(switch.c.stopped_at.is_not(None))
        .values(stopped_at=None, stopped_by=None)
        .returning(switch.c.id)
    ).all():
        started.append("all")
    started += sorted(
        conn.scalars(
            update(channels)
            .where(or_(channels.c.stopped_at.is_not(None), channels.c.open_until > now))
            .values(
                stopped_at=None,
                stopped_why=None,
                open_until=None,
                failures=0,
                refusals=0,
                refused_id=None,
                other_refused_id=None,
                rate=None,
            )
            .returning(channels.c.channel)
        )
    )
    for each in started:
        conn.execute(insert(audit).values(at=now, actor=by, action="start", subject=each, before="off", after="on"))
    return started
