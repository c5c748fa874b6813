"""Many messages through the stages at once: prepared in one transaction, handed over in groups.

What may plainly go is prepared and asked together; whatever is not plain is settled as ``stages.py`` does it of one.
A message on which work was begun before and came to nothing is worked on alone: if it brings its worker down again, no
other is suspect.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from connectors.base import BEHIND, Grouping, Message, Outcome
from connectors.file import FileConnector
from engine.database.sql import upsert
from engine.database.tables import payloads
from engine.dispatch import claims as leases
from engine.dispatch import coupons
from engine.dispatch.channels import CannotSendError
from engine.dispatch.claims import Claim
from engine.dispatch.desk import Answer, Desk, Finder
from engine.dispatch.drafting import LONGEST_SMS, NoRecipientError
from engine.dispatch.fence import UnreadableRuleError, Verdict, decide, take_back
from engine.dispatch.groups import GroupFence, Ready
from engine.dispatch.handing import write_down
from engine.dispatch.making import Coming, Prepared
from engine.dispatch.outcomes import is_plain
from engine.dispatch.settling import give_back, settle, shut
from engine.dispatch.standing import PORTION, Standing
from engine.dispatch.states import MESSAGES, move

#: As so many SMS a text is billed at most, as long as it is not made: one of Chinese has 67 characters in each.
_MOST_SEGMENTS: Final = -(-LONGEST_SMS // 67)


@dataclass
class Lane:
    """The messages of one channel whose connector takes several at once."""

    carrier: str
    connector: Grouping
    claims: list[Claim]


def lanes(desk: Desk, claims: Sequence[Claim]) -> list[Lane]:
    """Give what can be handed over in groups, by channel; all others are to be taken alone, after these.

    Where a guest or an inbox also has a message that is taken alone, its others are too: they keep their order.
    """
    connectors = {channel: _grouping(desk, channel) for channel in sorted({each.channel for each in claims})}
    several = _of_several_channels(claims)
    alone = [
        each for each in claims if connectors[each.channel] is None or each.rescues != 0 or each.customer_id in several
    ]
    guests = {each.customer_id for each in alone}
    inboxes = {each.endpoint_id for each in alone}
    found: dict[str, Lane] = {}
    for each in claims:
        connector = connectors[each.channel]
        if connector is None or each.customer_id in guests or each.endpoint_id in inboxes:
            continue
        found.setdefault(each.channel, Lane(each.channel, connector, [])).claims.append(each)
    in_order = len(found) == 1 and not alone
    return list(found.values()) if in_order or not found or _have_room(desk, claims) else []


def _have_room(desk: Desk, claims: Sequence[Claim]) -> bool:
    """Tell whether budgets have room for all of them: else the last places are theirs who come first."""
    asked, at = [], desk.now()
    with desk.db.begin() as conn:
        for each in claims:
            with contextlib.suppress(UnreadableRuleError):  # it is told when it is worked on, and uses nothing
                asked.append((desk.policy.rule(conn, each.version_id), each, _MOST_SEGMENTS))
        return len(desk.policy.budgets.room(conn, asked, at)) == len(asked)


def _of_several_channels(claims: Sequence[Claim]) -> set[int]:
    """Give the guests with messages of two channels: taken by channel, the later one would use up what caps allow."""
    channel: dict[int, str] = {}
    return {each.customer_id for each in claims if channel.setdefault(each.customer_id, each.channel) != each.channel}


def _grouping(desk: Desk, channel: str) -> Grouping | None:
    """Give the channel's connector where it takes several messages at once; why one cannot be had is told later."""
    if channel not in MESSAGES:
        return None
    try:
        connector = desk.carriers.connector(channel)
    except CannotSendError:
        return None
    return connector if isinstance(connector, Grouping) and not isinstance(connector, Finder) else None


def deliver(desk: Desk, lane: Lane, alone: Callable[[Claim], None]) -> None:
    """Take a lane's messages through all stages. ``alone`` does it with one, where that is the only way."""
    for begin in range(0, len(lane.claims), PORTION):
        portion, standing = lane.claims[begin : begin + PORTION], Standing()
        try:
            with desk.begin() as conn:
                prepared = _prepare(conn, desk, portion, lane, standing)
        except SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 (one of them has a fault in it: taken alone, it shows which)
            for each in portion:
                alone(each)
            continue
        _done(desk, len(portion) - len(prepared))
        _send(desk, lane, prepared, standing)


def _prepare(conn: Connection, desk: Desk, portion: Sequence[Claim], lane: Lane, standing: Standing) -> list[Prepared]:
    """Ask for each whether it may go now, and read the values of those that may: all in one transaction.

    ``standing`` is told what was asked: where this has written nothing that the fence goes by, the answers stand.
    """
    at = desk.now()
    held = leases.begin(conn, portion, at, together=True)
    if lane.carrier in desk.unusable or shut(conn, desk, lane.carrier, at, alert=False) is not None:
        give_back(conn, desk, held)
        return []
    days = standing.of_all(conn, held, desk.policy, at, carrier=lane.carrier)
    going, settled = [], False
    for claim in held:
        verdict = Verdict("handoff") if claim.id in days else _verdict(conn, desk, claim, at)
        if verdict.passed:
            going.append((desk.policy.rule(conn, claim.version_id), claim))
        else:
            settle(conn, desk, [claim], verdict)
            settled = True
    if not going:
        return []
    begun = coupons.begin_days(conn, [claim for _, claim in going], at, desk.policy.day_starts)
    try:
        drafts = desk.composer.read_all(conn, going, at)
    except CannotSendError as error:
        desk.summary.problem(str(error))
        desk.unusable.add(lane.carrier)
        give_back(conn, desk, [claim for _, claim in going])
        return []
    prepared = []
    for (_, claim), draft in zip(going, drafts, strict=True):
        if isinstance(draft, NoRecipientError):
            settle(conn, desk, [claim], Verdict("dead", "no_recipient"))
            settled = True
        else:
            prepared.append((claim, draft))
    _keep_values(conn, prepared, at)
    if not (settled or begun):
        standing.written(conn)
    standing.coming.update((claim.id, claim) for claim, _ in prepared)
    return prepared


def _verdict(conn: Connection, desk: Desk, claim: Claim, at: datetime) -> Verdict:
    try:
        return decide(conn, claim, desk.policy, at)
    except UnreadableRuleError:
        return Verdict("dead", "rule_unreadable")


def _keep_values(conn: Connection, prepared: Sequence[Prepared], at: datetime) -> None:
    if prepared:
        fresh = upsert(conn, payloads)
        again = {"values": fresh.excluded["values"], "at": fresh.excluded.at}
        kept = fresh.on_conflict_do_update(index_elements=["dispatch_id"], set_=again)
        rows = [{"dispatch_id": claim.id, "values": dict(draft.values[0]), "at": at} for claim, draft in prepared]
        conn.execute(kept, rows)


def _send(desk: Desk, lane: Lane, prepared: Sequence[Prepared], standing: Standing) -> None:
    """Hand over what is prepared, group by group; what a channel that is shut meanwhile leaves waits again."""
    if prepared:
        with ThreadPoolExecutor(max_workers=1) as aside:
            _send_all(desk, lane, Coming(desk, prepared, aside), standing)


def _send_all(desk: Desk, lane: Lane, coming: Coming, standing: Standing) -> None:
    ready = list[Ready]()
    while coming or ready:
        most = lane.connector.most
        while coming and len(ready) < 2 * most:  # a group, and the one that its server is told of ahead
            made = coming.next()
            if made is None:
                _done(desk, 1)
            else:
                ready.append(made)
        group = _group(ready, most)
        ready = ready[len(group) :]
        coming.ahead = most
        upcoming = [each.message for each in _group(ready, most)]
        well = not group or _hand_over(desk, lane, group, upcoming, standing=standing, coming=coming)
        _done(desk, len(group))
        if well and lane.carrier not in desk.unusable:
            continue
        with desk.begin() as conn:
            if lane.carrier in desk.unusable or shut(conn, desk, lane.carrier, desk.now(), alert=False) is not None:
                give_back(conn, desk, [each.claim for each in ready] + coming.claims)
                break
    write_down(desk)
    _done(desk, len(ready) + len(coming))


def _done(desk: Desk, count: int) -> None:
    """Say that so many were worked on; whoever listens may end the work with it, after each group."""
    if count:
        desk.summary.messages += count
        desk.progress(count)


def _group(ready: Sequence[Ready], most: int) -> list[Ready]:
    """Take the next ones, as far as none of them has a guest or an inbox of another: caps count the others."""
    guests: set[int] = set()
    inboxes: set[int | None] = set()
    group = []
    for each in ready[:most]:
        if each.claim.customer_id in guests or each.claim.endpoint_id in inboxes:
            break
        guests.add(each.claim.customer_id)
        inboxes.add(each.claim.endpoint_id)
        group.append(each)
    return group


def _hand_over(
    desk: Desk,
    lane: Lane,
    ready: Sequence[Ready],
    upcoming: Sequence[Message],
    *,
    standing: Standing,
    coming: Coming,
) -> bool:
    """Send a group, with the fence in between; tell whether all went well. Plain answers wait for the next commit."""
    fence = GroupFence(desk, ready, lane.carrier, standing, beside=coming.beside)
    failed = False
    try:
        outcomes = lane.connector.send_group([each.message for each in ready], fence, upcoming, coming.meanwhile)
    except Exception as error:  # noqa: BLE001 (a connector with a bug stops no other message)
        desk.summary.problem(f"The connector for {lane.carrier} failed ({type(error).__name__}): please report it.")
        outcomes, failed = [Outcome("unknown", f"bug: {type(error).__name__}")] * len(ready), True
    _count_refused(desk, fence)
    if fence.broken is not None or fence.unwritten is not None:
        waited = bool(desk.unwritten)
        write_down(desk)  # this waits for a database that is away
        if fence.broken is None or not waited:
            raise fence.broken or fence.unwritten or AssertionError
        _go_back(desk, [each.claim for each in ready])
        return False
    if fence.passed and not isinstance(lane.connector, FileConnector):
        desk.left = desk.journal.last
    well = True
    for place, (each, outcome) in enumerate(zip(ready, outcomes, strict=True)):
        if place in fence.passed or (place not in fence.asked and not failed and outcome != BEHIND):
            answer = Answer([each.claim], outcome, handed=place in fence.passed, channel=lane.carrier)
            desk.unwritten.append(answer)
            well = well and is_plain(answer)
        elif fence.verdicts.get(each.claim.id) is None:
            well = False
            _try_alone(desk, each.claim)
    if not well:
        write_down(desk)
    return well


def _count_refused(desk: Desk, fence: GroupFence) -> None:
    """Count what may not go: the commit that says so stands, whatever came after it."""
    for number, verdict in fence.verdicts.items():
        if verdict is not None and not verdict.passed:
            desk.summary.count(number, verdict.after)


def _go_back(desk: Desk, claims: Sequence[Claim]) -> None:
    """Let a group wait again that the fence could not be asked about, also where its commit stands: nothing left."""
    with desk.begin() as conn:
        take_back(conn, claims, desk.now(), reason="again")
        for claim in claims:
            settle(conn, desk, [claim], Verdict("pending", "again", claim.due_at))


def _try_alone(desk: Desk, claim: Claim) -> None:
    """Let it wait again, and be taken alone: nothing is known against it, and that work was begun stays counted."""
    how: dict[str, Any] = {"who": "holder", "now": desk.now(), "reason": "again", "values": {"due_at": claim.due_at}}
    with desk.begin() as conn:
        if move(conn, "claimed", "pending", claim.mine(), **how):
            desk.summary.count(claim.id, "pending")
