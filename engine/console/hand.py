"""What a person decides about messages: approval of rules, what is rejected, cancelled or queued again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Connection, func, select

from engine.console.exits import FINE, WRONG, MistypedError, unknown
from engine.console.page import Page
from engine.console.session import Session, rule_named
from engine.console.words import counted
from engine.database.tables import dispatches, rules
from engine.dispatch.approve import Approved, UnknownRuleError, cancel, resolve_forgotten, waits_for_approval
from engine.dispatch.approve import approve as approve_in
from engine.dispatch.outbox import acknowledge, requeue
from engine.dispatch.states import OPEN
from engine.evaluation.register import Registered, register

#: So many of the messages that cannot be moved are named.
NAMED: Final = 20


def approve(session: Session, rule: str | None, *, everything: bool, reject: bool, by: str, at: datetime) -> str:
    """Do what ``regulars approve`` was asked: approve one rule or all of them, or cancel what a rule has waiting."""
    if everything == (rule is not None):
        raise MistypedError("name one rule, or give --all")
    if reject:
        if rule is None:
            raise MistypedError("--reject needs the name of a rule")
        return reject_rule(session, rule, by=by, at=at)
    return approve_rules(session, rule, by=by, at=at)


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
        return _said([done for each in chosen for done in approve_in(conn, each.id, name=by, now=at, mode=mode)])


def reject_rule(session: Session, rule: str, *, by: str, at: datetime) -> str:
    """Cancel all messages of a rule that have not gone out, also of one whose file is gone; say how many."""
    with session.db.begin() as conn:
        try:
            cancelled = cancel(conn, name=by, now=at, rule_id=rule)
        except UnknownRuleError:
            known = {*conn.scalars(select(rules.c.rule)), *(each.id for each in session.home.rules)}
            if rule not in known:
                raise unknown("rule", rule, known) from None
            cancelled = 0
        under_way = conn.scalar(
            select(func.count())
            .select_from(dispatches.join(rules, rules.c.id == dispatches.c.rule_id))
            .where(rules.c.rule == rule, dispatches.c.state.in_((*OPEN, "handoff")))  # or held by who claims it now
        )
    page = Page()
    if cancelled:
        page.line(f"{rule}: {counted(cancelled, 'step')} cancelled; these guests do not get them.", "good")
    elif not under_way:
        page.line(f"{rule}: nothing was waiting.")
    if under_way:
        what = f"{rule}: {counted(under_way, 'more step')} {'is' if under_way == 1 else 'are'} under way"
        page.line(f"{what} and may still go out; `regulars stop` keeps back what has not left.", "care")
    return page.text


#: What may be decided about single messages.
Decision = Literal["retry", "cancel", "sent", "send-again"]


def decide(
    session: Session, numbers: Sequence[int], what: Decision, *, by: str, at: datetime
) -> tuple[str, list[str], int]:
    """Decide about single messages; ``numbers`` are ids of the log.

    Gives what is said, a sentence for each that stayed as it was, and the exit code. An id that the log does not have
    is mistyped, and then nothing is done.
    """
    late: list[int] = []
    with session.db.begin() as conn:
        before = _states(conn, numbers)
        if missing := sorted(set(numbers) - set(before)):
            raise MistypedError(f"the log has no message {_listed(missing)}; `regulars log` shows the ids")
        match what:
            case "retry":
                _, late = requeue(conn, "dead", numbers, actor=by, now=at)
            case "send-again":
                _, late = requeue(conn, "uncertain", numbers, actor=by, now=at)
                resolve_forgotten(conn, numbers, send=True, name=by, now=at)
            case "sent":
                acknowledge(conn, numbers, actor=by, now=at)
                resolve_forgotten(conn, numbers, send=False, name=by, now=at)
            case "cancel":
                cancel(conn, name=by, now=at, ids=numbers)
        after = _states(conn, numbers)
    left = sorted(number for number in before if after[number] == before[number])
    page, count = Page(), len(before) - len(left)
    said = f"{counted(count, 'message')} {_DONE[what]}" if count else "Nothing was changed"
    page.line(f"{said}.", "good" if count else "care")
    problems = [
        f"{number} stays {before[number]}: {'it is too late for it' if number in late else _WANTED[what]}."
        for number in left[:NAMED]
    ]
    if len(left) > NAMED:
        problems.append(f"{len(left) - NAMED:,} more stay as they are.")
    return page.text, problems, WRONG if problems else FINE


_QUEUED: Final = "queued again, for the next run or `regulars dispatch`"
_DONE: Final[Mapping[Decision, str]] = {
    "retry": _QUEUED,
    "send-again": _QUEUED,
    "sent": "noted as sent",
    "cancel": "cancelled",
}
_WANTED: Final[Mapping[Decision, str]] = {
    "retry": "only what is dead is retried; `regulars dispatch resolve` is for what is uncertain",
    "send-again": "only what is uncertain is resolved; `regulars dispatch retry` is for what is dead",
    "sent": "only what is uncertain is resolved",
    "cancel": "only what is held or pending can be cancelled",
}


def _states(conn: Connection, numbers: Sequence[int]) -> dict[int, str]:
    chosen = select(dispatches.c.id, dispatches.c.state).where(dispatches.c.id.in_(numbers))
    return {row.id: row.state for row in conn.execute(chosen)}


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:NAMED])) + (" ..." if len(numbers) > NAMED else "")


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
    held = select(rules.c.rule).join(dispatches, dispatches.c.rule_id == rules.c.id).where(waits_for_approval())
    return set(conn.scalars(held.distinct()))
