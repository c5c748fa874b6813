"""Approving rules: those that wait, and those that have found nobody yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from engine.console.page import Page
from engine.console.session import Session
from engine.console.words import counted
from engine.database.tables import dispatches, rules
from engine.dispatch.approve import Approved, approve
from engine.evaluation.register import Registered, register
from engine.language.rule import Rule


def approve_rules(session: Session, chosen: Sequence[Rule] | None, *, by: str, at: datetime) -> list[Approved]:
    """Approve the rules ``chosen``, or (None) every rule that is not approved as it stands or has messages held.

    A rule may be approved before it has found anybody: it then never waits.
    """
    mode = session.home.config.approvals
    with session.db.begin() as conn:
        registered = register(conn, session.home, at)
        if chosen is None:
            waiting = _holding(conn)
            chosen = [
                rule
                for rule in session.home.rules
                if rule.id in waiting or not _approved(registered[rule.id], strictly=mode != "first")
            ]
        return [done for rule in chosen for done in approve(conn, rule.id, name=by, now=at, mode=mode)]


def approval_report(page: Page, done: Sequence[Approved]) -> None:
    """Say what each approval let go."""
    if not done:
        page.line("Nothing waits for approval.")
    for each in done:
        if not each.approved:
            page.line(f"{each.rule}: noted; {counted(each.waits_for, 'more name')} must approve it.", "care")
            continue
        goes = f"{counted(each.released, 'message')} may go now" if each.released else "nothing was waiting"
        late = f"; for {each.expired:,} it is too late" if each.expired else ""
        page.line(f"{each.rule}: approved; {goes}{late}.", "good")


def _approved(row: Registered, *, strictly: bool) -> bool:
    return row.approved_now if strictly else row.approved


def _holding(conn: Connection) -> set[str]:
    held = select(rules.c.rule).join(dispatches, dispatches.c.rule_id == rules.c.id).where(dispatches.c.state == "held")
    return set(conn.scalars(held.distinct()))
