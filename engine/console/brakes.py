"""The big red button, and what else keeps messages in."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from engine.console.session import Session
from engine.console.words import counted, moment
from engine.database.tables import channels, switch
from engine.dispatch import health


def stop(session: Session, *, by: str) -> str:
    """Press the big red button."""
    with session.db.begin() as conn:
        pressed = health.stop(conn, by=by, now=session.clock())
    return "Stopped: nothing goes out until `regulars start`.\n" if pressed else "It was stopped already.\n"


def start(session: Session, *, by: str) -> str:
    """Release the button and every channel that is stopped or rests."""
    with session.db.begin() as conn:
        started = health.start(conn, by=by, now=session.clock())
    names = ", ".join("everything" if each == "all" else each for each in started)
    return f"Started: {names}.\n" if started else "Nothing was stopped.\n"


def closed(conn: Connection, zone: ZoneInfo, now: datetime) -> list[tuple[str, str, bool]]:
    """Give what keeps messages in: (where, a clause, whether a person must act)."""
    found = []
    pressed = conn.scalar(select(switch.c.stopped_at).where(switch.c.id == 1))
    if pressed is not None:
        said = f"the red button was pressed on {moment(pressed, zone)}: nothing goes out until `regulars start`"
        found.append(("stop", said, True))
    for row in conn.execute(select(channels).order_by(channels.c.channel)):
        if row.stopped_at is not None:
            since = moment(row.stopped_at, zone)
            said = f"stopped since {since} ({row.stopped_why}): put it right, then `regulars start`"
            found.append((row.channel, said, True))
        elif row.open_until is not None and row.open_until > now:
            why = f"after {counted(row.failures, 'failure')} in a row" if row.failures else "as the provider asked"
            found.append((row.channel, f"rests until {moment(row.open_until, zone)} {why}", False))
        elif row.rate is not None:
            said = f"at most {counted(row.rate, 'message')} a minute, and slowly more: the provider said, too many"
            found.append((row.channel, said, False))
    return found
