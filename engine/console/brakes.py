"""The big red button, and what else keeps messages in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, func, or_, select

from connectors.twilio_codes import FILTERED, SOURCE
from engine.console.answers import after, meaning
from engine.console.session import Session
from engine.console.words import counted, moment
from engine.database.tables import channels, delivery_events, dispatches, switch
from engine.dispatch import health
from engine.dispatch.channels import OUTBOX, WEBHOOK
from engine.language.config import Config

_LATELY: Final = timedelta(days=7)
_HELD_BACK: Final[Mapping[int, str]] = {
    30007: "they take them for spam; look at the texts and their links, and ask Twilio",
    30034: "register the number that they come from at Twilio (A2P 10DLC)",
}
#: How a reply ends, or is, where nobody answered at all: the phases of the door, and a gateway that was not reached.
_NOBODY: Final = ("at connect", "at greeting", "at EHLO", "at TLS", "not reached")


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
            said = f"stopped since {since} ({row.stopped_why}): {meaning(row.channel, row.stopped_why or '')}; then "
            said += "`regulars start`"
            found.append((row.channel, said, True))
        elif row.open_until is not None and row.open_until > now:
            why = f"after {counted(row.failures, 'failure')} in a row" if row.failures else "as the provider asked"
            told = after(*_last_answer(conn, row.channel)) if row.failures else ""
            said = f"rests until {moment(row.open_until, zone)} {why}{f'; {told}' if told else ''}"
            found.append((row.channel, said, row.failures > 0))
        elif row.rate is not None:
            said = f"at most {counted(row.rate, 'message')} a minute, and slowly more: the provider said, too many"
            found.append((row.channel, said, False))
    found += [("delivery", said, True) for said in held_back(conn, now)]
    return found


def _last_answer(conn: Connection, channel: str) -> tuple[str, str | None]:
    """Give the newest answer that was no yes, and the reason that it became."""
    d = dispatches.c
    mine = d.channel == channel.partition(":")[0]
    failed = d.state.in_(("pending", "rejected", "uncertain", "dead")) & d.provider_reply.is_not(None)
    row = conn.execute(
        select(d.provider_reply, d.reason).where(mine, failed).order_by(d.id.desc()).limit(1)
    ).one_or_none()
    return ("", None) if row is None else (row.provider_reply, row.reason)


def held_back(conn: Connection, now: datetime) -> list[str]:
    """Say, a clause for each reason, how many SMS of the last days the carriers held back."""
    e = delivery_events.c
    counts = (
        select(e.code, func.count().label("texts"))
        .where(e.source == SOURCE, e.code.in_(map(str, sorted(FILTERED))), e.at > now - _LATELY)
        .group_by(e.code)
        .order_by(e.code)
    )
    return [
        f"{row.texts:,} SMS of the last {_LATELY.days} days {'was' if row.texts == 1 else 'were'} held back by the "
        f"carriers ({row.code}): {_HELD_BACK[int(row.code)]}"
        for row in conn.execute(counts)
    ]


def stopped(conn: Connection, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Give the channels that a provider's answer has stopped until a person acts: (channel, a clause)."""
    rows = conn.execute(select(channels).where(channels.c.stopped_at.is_not(None)).order_by(channels.c.channel))
    cure = "put it right, then `regulars start`"
    return [(row.channel, f"stopped since {moment(row.stopped_at, zone)} ({row.stopped_why}): {cure}") for row in rows]


def silent(conn: Connection, config: Config, now: datetime) -> Mapping[str, str]:
    """Give, by channel, a sentence for each server that does not answer while messages wait for it."""
    found: dict[str, str] = {}
    failing = select(channels).where(channels.c.failures > 0, channels.c.stopped_at.is_(None))
    for row in conn.execute(failing.order_by(channels.c.channel)):
        said = _silence(conn, config, row, now, alerts=not found)
        if said:
            found[row.channel] = said
    return found


def _silence(conn: Connection, config: Config, row: Row[Any], now: datetime, *, alerts: bool) -> str:
    """``alerts``: count those that were tried here too; they are written down without what carries them."""
    d = dispatches.c
    tried = d.reason == "not_now"
    mine = d.channel == row.channel.partition(":")[0]
    waits = [
        d.state == "pending",
        or_(and_(mine, or_(tried, d.due_at <= now)), and_(d.channel == "alert", tried) if alerts else mine & tried),
    ]
    count, due = conn.execute(select(func.count(), func.min(d.due_at)).where(*waits)).one()
    if not count:
        return ""
    replies = select(d.provider_reply).where(*waits, d.provider_reply.is_not(None))
    reply = conn.scalar(replies.order_by(d.due_at.desc(), d.id.desc()).limit(1)) or ""
    nobody = not reply or reply.endswith(_NOBODY)
    about = f"{'cannot be reached' if nobody else 'takes nothing now'}{f' ({reply})' if reply else ''}"
    again = max(each for each in (due, row.open_until, now) if each is not None)
    when = moment(again, config.business.timezone)
    waiting = f"{counted(count, 'message')} {'waits' if count == 1 else 'wait'}"
    return f"{_server(config, row.channel)} {about}; {waiting}, and the next try is at {when} or soon after."


def _server(config: Config, channel: str) -> str:
    if channel == "email" and config.email.smtp is not None:
        return f"The mail server {config.email.smtp.host}:{config.email.smtp.port}"
    if channel.startswith(WEBHOOK):
        return f"The webhook {channel.removeprefix(WEBHOOK)}"
    chosen = config.sms.connector if channel == "sms" else config.email.connector
    if chosen == "file":
        return f"The folder {OUTBOX}"
    return f"The SMS provider {chosen}" if channel == "sms" else "The mail server"
