"""What a person lets go or stops: approval of rules, and the big red button."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from engine.console.page import Page
from engine.console.session import Session, rule_named
from engine.console.words import counted, moment
from engine.database.tables import channels, dispatches, rules, switch
from engine.dispatch import health
from engine.dispatch.approve import Approved, approve
from engine.evaluation.register import Registered, register


def approve_rules(session: Session, rule: str | None, *, by: str, at: datetime) -> str:
    """Approve one rule, or (None) all that are not approved as they stand or have messages held; say what came of it.

    A rule may be approved before it has found anybody: it then never waits.
    """
    chosen = None if rule is None else [rule_named(session.home, rule)]
    mode = session.home.config.approvals
    with session.db.begin() as conn:
        registered = register(conn, session.home, at)
        if chosen is None:
            waiting = _holding(conn)
            chosen = [
                each
                for each in session.home.rules
                if each.id in waiting or not _approved(registered[each.id], strictly=mode != "first")
            ]
        return _said([done for each in chosen for done in approve(conn, each.id, name=by, now=at, mode=mode)])


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
            said = f"rests until {moment(row.open_until, zone)} after {counted(row.failures, 'failure')} in a row"
            found.append((row.channel, said, False))
    return found


def _said(done: Sequence[Approved]) -> str:
    page = Page()
    if not done:
        page.line("Nothing waits for approval.")
    for each in done:
        if not each.approved:
            page.line(f"{each.rule}: noted; {counted(each.waits_for, 'more name')} must approve it.", "care")
            continue
        goes = f"{counted(each.released, 'message')} may go now" if each.released else "nothing was waiting"
        late = f"; for {each.expired:,} it is too late" if each.expired else ""
        page.line(f"{each.rule}: approved; {goes}{late}.", "good")
    return page.text


def _approved(row: Registered, *, strictly: bool) -> bool:
    return row.approved_now if strictly else row.approved


def _holding(conn: Connection) -> set[str]:
    held = select(rules.c.rule).join(dispatches, dispatches.c.rule_id == rules.c.id).where(dispatches.c.state == "held")
    return set(conn.scalars(held.distinct()))
