"""Whether a run may believe its clock: one that went back, or that jumped ahead and nothing vouches for it.

A run that nothing vouched for is ``doubted``: what it finds waits for a person, and no later run takes its time for
true. What vouches: the machine's own count of seconds since it was started, which nobody can set; the till's newest
order; or a person who has approved something since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, exists, func, or_, select

from engine.database.tables import audit, runs

#: A clock may be set right by this much without anybody having to know.
SLACK: Final = timedelta(seconds=60)
#: So long between two runs needs no witness, and so old may the newest order be that is one.
JUMP: Final = timedelta(hours=48)
#: By so much may the clock and the seconds since the start be apart: it was set right meanwhile.
DRIFT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Uptime:
    """Which start of the machine this is, and how many seconds ago it was, those asleep too."""

    boot: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Asked for by a run at the clock's own time, and not at one that is played."""

    uptime: Uptime | None  #: None: the machine does not tell


def last_believed(conn: Connection) -> datetime | None:
    """Give when the last run was whose clock was believed; None: there was none."""
    last: datetime | None = conn.scalar(select(func.max(runs.c.started_at)).where(_believed()))
    return last


def went_back(conn: Connection, now: datetime, zone: ZoneInfo) -> str | None:
    """Say that the clock went back behind the last run whose clock was believed; None: it did not."""
    last = last_believed(conn)
    if last is None or now >= last - SLACK:
        return None
    return (
        f"nothing is evaluated: the clock says {now.astimezone(zone):%Y-%m-%d %H:%M}, and the last run was at "
        f"{last.astimezone(zone):%Y-%m-%d %H:%M}, which is later; what is queued goes out"
    )


def jumped(conn: Connection, now: datetime, uptime: Uptime | None, newest: datetime | None) -> datetime | None:
    """Give when the last run was whose clock was believed, where the clock has jumped since and nothing vouches for it.

    ``newest`` is when the newest order was, not later than ``now``. None: the clock is to be believed.
    """
    last = conn.execute(select(runs).where(_believed()).order_by(runs.c.started_at.desc()).limit(1)).one_or_none()
    if last is None or now - last.started_at <= JUMP or (newest is not None and now - newest <= JUMP):
        return None
    if _counted_alike(last, now, uptime) or _approved_since(conn, last.id):
        return None
    return last.started_at  # type: ignore[no-any-return]  # a row's


def notice(last: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Say what became of what such a run found."""
    return (
        f"the last run was at {last.astimezone(zone):%Y-%m-%d %H:%M}, and the clock says "
        f"{now.astimezone(zone):%Y-%m-%d %H:%M}: either this machine was off, or its clock is wrong, and no order of "
        "the last two days tells which; what this run found waits: see that the clock is right, then call "
        "`regulars approve --all`"
    )


def _believed() -> Any:
    return or_(runs.c.doubted.is_(None), ~runs.c.doubted)


def _counted_alike(last: Row[*tuple[Any, ...]], now: datetime, uptime: Uptime | None) -> bool:
    if uptime is None or last.boot is None or last.boot != uptime.boot:
        return False
    counted = timedelta(seconds=uptime.seconds - int(last.up))
    return bool(abs(now - last.started_at - counted) <= DRIFT)


def _approved_since(conn: Connection, run: int) -> bool:
    """Tell whether a person has let something go since the first run after that one: they saw what it found."""
    first = conn.scalar(select(func.min(runs.c.started_at)).where(runs.c.id > run, runs.c.doubted))
    if first is None:
        return False
    approved = exists().where(audit.c.action == "approve", audit.c.after == "approved", audit.c.at >= first)
    return bool(conn.scalar(select(approved)))
