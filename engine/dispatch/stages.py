"""The way of a message, in small stages: claim, ask, read values, render, hand over, record.

Each stage has its own short transaction; nothing is locked while a server is waited for. Time comes from the desk's
clock. A connector only answers; what an answer means stands in ``outcomes.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert
from sqlalchemy.exc import SQLAlchemyError

from connectors.base import Connector, Message, Outcome
from connectors.file import FileConnector
from engine.database.complaints import DatabaseUnavailable, explain, passes
from engine.database.facts import bring_to
from engine.database.months import look_anew
from engine.database.tables import payloads
from engine.dispatch import abandoned, coupons, inside, lookup, outbox
from engine.dispatch import claims as leases
from engine.dispatch.batches import deliver, lanes
from engine.dispatch.channels import CannotSendError, Transport
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Desk, Finder, Summary
from engine.dispatch.drafting import Draft, NoRecipientError
from engine.dispatch.fence import UnreadableRuleError, Verdict, decide
from engine.dispatch.handing import Fence, recorded, write_late
from engine.dispatch.journal import JournalError
from engine.dispatch.mime import MessageError
from engine.dispatch.render import RenderError
from engine.dispatch.settling import give_back, settle, shut

BATCH = 200
STEPS = 200
#: The longest sleep of a waiting run: what other programs queue meanwhile is seen after it. And the shortest.
LONGEST_SLEEP = timedelta(minutes=15)
SHORTEST_SLEEP = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


def send_due(desk: Desk, *, limit: int | None = None) -> Summary:
    """Send everything that is due, or the first ``limit`` messages; give the summary of the desk so far.

    Raises ``DBAPIError`` when the database cannot be used: whatever was under way is freed by the next run;
    ``JournalError`` when the journal cannot be written: nothing that it does not hold has left; and
    ``StrangeDatabaseError`` when the database is no longer the one that was sent from.
    """
    try:
        return _send_due(desk, limit)
    except JournalError:
        lay_down(desk)
        raise


def _send_due(desk: Desk, limit: int | None) -> Summary:
    desk.recognise()
    at = desk.now()
    look_anew(desk.db)  # what was decided since, be it a moment ago, may be the first of its month
    with desk.db.begin() as conn:
        bring_to(conn, at)  # stop_if and the templates' values are asked of the facts
        freed = abandoned.rescue(conn, at)
        expired = outbox.expire(conn, at)
        outbox.forget_values(conn, at)
    add_freed(desk, {**freed, "expired": expired})
    lookup.look_up(desk)
    (desk.crew or work)(desk, limit)
    return desk.summary


def add_freed(desk: Desk, freed: Mapping[str, int]) -> None:
    """Count what became of the abandoned; what waits again is counted when it is done."""
    for state in ("dead", "uncertain", "expired"):
        desk.summary.states[state] += freed.get(state, 0)
    desk.summary.states = +desk.summary.states


def work(desk: Desk, limit: int | None, *, batch: int = BATCH) -> None:
    """Do and send what is due until nothing is left, or ``limit`` messages; ``batch`` are claimed at once."""
    left = limit
    while left is None or left > 0:
        if _do_steps(desk):
            continue
        desk.recognise()  # what is claimed from an older one may have gone out
        groups = _claim_messages(desk, batch if left is None else min(batch, left))
        if not groups:
            break
        desk.claimed(len(groups))
        try:
            _deliver_all(desk, groups)
        except BaseException:
            # Where the database is away, whoever waits for it comes back to it.
            with contextlib.suppress(SQLAlchemyError):
                write_late(desk)
            raise
        left = None if left is None else left - len(groups)


def _deliver_all(desk: Desk, groups: Sequence[Sequence[Claim]]) -> None:
    """Take messages through all stages: those together that their connector takes together, and the others alone."""

    def alone(group: Sequence[Claim]) -> None:
        _deliver(desk, group)
        desk.summary.messages += 1
        desk.progress(len(group))

    together = (
        [] if len(groups[0]) > 1 or groups[0][0].channel == "alert" else lanes(desk, [each for (each,) in groups])
    )
    taken = set()
    for lane in together:
        deliver(desk, lane, lambda claim: alone([claim]))
        taken |= {each.id for each in lane.claims}
    for group in groups:
        if group[0].id not in taken:
            alone(group)


def send_until(
    desk: Desk, *, until: datetime, sleep: Callable[[float], None], before: Callable[[], None] = lambda: None
) -> Summary:
    """Send, and stay until nothing more is due at or before ``until``; ``sleep`` is given seconds.

    ``before`` is called before each sending: what an owner has changed since is looked at there.

    What waits for a person is not waited for. A database that is locked or out of reach is, and a journal that cannot
    be written, and told in the summary; what still is so at ``until`` is raised.
    """
    failures = 0
    while True:
        minute = None
        try:
            if failures:
                lay_down(desk)
            before()
            send_due(desk)
            with desk.db.begin() as conn:
                due = outbox.next_due(conn, desk.usable, until=until)
                minute = leases.next_minute(conn, now=desk.now(), usable=desk.usable, rates=desk.rates)
        except (SQLAlchemyError, DatabaseUnavailable) as error:
            at = desk.now()
            if not passes(error) or at > until:
                raise
            desk.summary.problem(f"For a while messages waited for the database. {explain(error)}")
            due = at + SHORTEST_SLEEP * (1 << min(failures, 10))
            failures += 1
        except JournalError as error:
            at = desk.now()
            if at > until:
                raise
            desk.summary.problem(f"For a while messages waited. {error}")
            due = at + SHORTEST_SLEEP * (1 << min(failures, 10))
            failures += 1
        else:
            at, failures = desk.now(), 0
        if due is None or at > until:
            return desk.summary
        pause = min(max(due - at, SHORTEST_SLEEP), LONGEST_SLEEP)
        sleep((pause if minute is None else _rest(minute, at)).total_seconds())


def stay_for_rate(desk: Desk, *, until: datetime, sleep: Callable[[float], None]) -> Summary:
    """Go on after a sending, at most until ``until``, while nothing but a rate keeps back what is due."""
    while True:
        at = desk.now()
        with desk.db.begin() as conn:
            minute = leases.next_minute(conn, now=at, usable=desk.usable, rates=desk.rates)
        if minute is None or minute > until:
            return desk.summary
        sleep(_rest(minute, at).total_seconds())
        send_due(desk)


def _rest(minute: datetime, at: datetime) -> timedelta:
    """Give how long to wait for a minute's end."""
    return max(minute - at, SECOND)


def lay_down(desk: Desk) -> None:
    """Free what was under way when the database went away; but first what is known of it is written down."""
    write_late(desk)
    with desk.db.begin() as conn:
        freed = abandoned.lay_down(conn, desk.holder, desk.now())
    desk.summary.states["uncertain"] += freed["uncertain"]
    desk.summary.states = +desk.summary.states


def _do_steps(desk: Desk) -> int:
    """Do what is due inside the database; give how many steps."""
    at = desk.now()
    with desk.db.begin() as conn:
        held = leases.claim_steps(conn, now=at, holder=desk.holder, limit=STEPS)
        verdicts = inside.do_all(conn, held, desk.policy, at)
    for claim, verdict in zip(held, verdicts, strict=True):
        desk.summary.count(claim.id, verdict.after)
        desk.summary.inside += verdict.after == "sent"
    return len(held)


def _claim_messages(desk: Desk, limit: int) -> list[list[Claim]]:
    """Claim alerts first, they go at once; then a batch of messages. Each group is one message."""
    at = desk.now()

    def once_per(conn: Connection, version_id: int, step: int) -> str:
        try:
            return str(getattr(desk.policy.rule(conn, version_id).step(step).settings, "once_per", "guest"))
        except UnreadableRuleError:
            return "guest"

    with desk.db.begin() as conn:
        together = leases.claim_alerts(conn, now=at, holder=desk.holder, grouping=once_per)
    if together:
        return [together]
    how: dict[str, Any] = {"holder": desk.holder, "usable": desk.usable, "rates": desk.rates}
    with desk.db.begin() as conn:
        return [[each] for each in leases.claim(conn, now=at, limit=limit, **how)]


def _deliver(desk: Desk, group: Sequence[Claim]) -> None:
    """Take one message through all stages. Whatever goes wrong with it is written on it and stops no other."""
    with desk.begin() as conn:
        together, draft = _prepare(conn, desk, group)
    if draft is None:
        return
    try:
        connector = desk.carriers.connector(draft.transport)
        message = desk.composer.compose(draft, together, desk.now())
    except CannotSendError as error:
        desk.summary.problem(str(error))
        desk.unusable.add(draft.transport)
        with desk.begin() as conn:
            give_back(conn, desk, together)
        return
    except (RenderError, MessageError) as error:
        desk.summary.problem(f"templates/{draft.template}: {error}")
        with desk.begin() as conn:
            settle(conn, desk, together, Verdict("dead", "template"))
        return
    desk.carriers.expect(message.key, draft.seconds)
    _hand_over(desk, together, connector, message, draft.transport)


def _prepare(conn: Connection, desk: Desk, group: Sequence[Claim]) -> tuple[list[Claim], Draft | None]:
    """Ask for each dispatch whether it may go now, and read the values of those that may. No draft: none may."""
    at = desk.now()
    together = []
    for claim in leases.begin(conn, group, at):
        try:  # all that the fence will ask, before the work of rendering; the fence asks again
            verdict = decide(conn, claim, desk.policy, at)
        except UnreadableRuleError:
            verdict = Verdict("dead", "rule_unreadable")
        if verdict.passed:
            together.append(claim)
        else:
            settle(conn, desk, [claim], verdict)
    if not together:
        return [], None
    rule = desk.policy.rule(conn, together[0].version_id)
    coupons.begin_days(conn, together, at, desk.policy.day_starts)
    try:
        draft = desk.composer.read(conn, rule, together, at)
    except NoRecipientError:
        settle(conn, desk, together, Verdict("dead", "no_recipient"))
        return [], None
    except CannotSendError as error:
        desk.summary.problem(str(error))
        desk.unusable.add(together[0].channel)
        give_back(conn, desk, together)
        return [], None
    until = shut(conn, desk, draft.transport, at, alert=together[0].channel == "alert")
    if until is not None or draft.transport in desk.unusable:
        give_back(conn, desk, together, until)
        return [], None
    for claim, values in zip(together, draft.values, strict=True):
        conn.execute(delete(payloads).where(payloads.c.dispatch_id == claim.id))
        conn.execute(insert(payloads).values(dispatch_id=claim.id, values=dict(values), at=at))
    return together, draft


def _hand_over(
    desk: Desk, together: Sequence[Claim], connector: Connector, message: Message, transport: Transport
) -> None:
    """Send, with the fence in between, and record what came back."""
    fence = Fence(desk, together, message, transport)
    failed = False
    try:
        outcome = connector.send(message, fence)
    except Exception as error:  # noqa: BLE001 (a connector with a bug stops no other message)
        desk.summary.problem(f"The connector for {message.channel} failed ({type(error).__name__}): please report it.")
        outcome, failed = Outcome("unknown", f"bug: {type(error).__name__}"), True
    if fence.broken is not None:
        raise fence.broken
    if fence.unwritten is not None:
        raise fence.unwritten
    if fence.asked and not fence.passed and (fence.against or not failed):
        _after_a_no(desk, together, fence)
        return
    if fence.passed and not isinstance(connector, FileConnector):
        desk.left = desk.journal.last
    if outcome.kind == "unknown" and fence.passed and isinstance(connector, Finder):
        sid = lookup.found_at_once(desk, together, connector.find(message, fence.at))
        if sid is not None:
            outcome = Outcome("sent", "found", provider_id=sid)
    for claim, state in zip(together, recorded(desk, together, outcome, fence), strict=True):
        if state is not None:
            desk.summary.count(claim.id, state)


def _after_a_no(desk: Desk, together: Sequence[Claim], fence: Fence) -> None:
    """Count what the fence wrote, and free what it left: the others of a list in which one may no longer be named."""
    refused = {claim.id for claim, _ in fence.against}
    for claim, verdict in fence.against:
        desk.summary.count(claim.id, verdict.after)
    with desk.begin() as conn:
        for claim in together:
            if claim.id not in refused:
                settle(conn, desk, [claim], Verdict("pending", "again", claim.due_at))
