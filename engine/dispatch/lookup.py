"""The look-up of the uncertain: a provider that lists its messages is asked which of them were accepted.

Twice: right after the answer was lost, and at the beginning of a later sending, while the message is young. Only a
single message that nobody else can be settles it; that none is found settles nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, or_, select
from sqlalchemy.exc import OperationalError

from connectors.base import Message
from engine.database.partial import is_in
from engine.database.tables import dispatches, payloads
from engine.dispatch import health
from engine.dispatch.channels import CannotSendError
from engine.dispatch.claims import Claim, read_claims
from engine.dispatch.desk import Desk, Finder
from engine.dispatch.drafting import NoRecipientError
from engine.dispatch.fence import UnreadableRuleError
from engine.dispatch.mime import MessageError
from engine.dispatch.render import RenderError
from engine.dispatch.states import move

#: What carries an SMS, also of an alert. Nothing else can be looked up.
SMS = "sms"
#: An uncertain message is looked up for so long after its hand-over, by each desk at most so often.
YOUNG = timedelta(hours=4)
AGAIN = timedelta(minutes=10)
#: A provider may list by the day: of such an age another message may be meant.
DAY = timedelta(days=1)
#: So many are looked up at one time.
MOST = 50


def only(conn: Connection, together: Sequence[Claim], found: Collection[str]) -> str | None:
    """Give the one provider's id that is this message's, of those found; None where that is not beyond doubt.

    Ids of other dispatches are out. A message of the same text to the same number whose fate is unknown too leaves a
    doubt, as does one of about then that staff noted as sent: the id may be that one's.
    """
    d, ours = dispatches.c, [each.id for each in together]
    known = set(conn.scalars(select(d.provider_id).where(d.provider_id.in_(found), d.id.not_in(ours))))
    left = set(found) - known
    if len(left) != 1:
        return None
    mine = conn.execute(select(d.content_hash, d.endpoint_id, d.handed_at).where(d.id == ours[0])).one()
    noted = d.state == "sent" if mine.handed_at is None else and_(d.state == "sent", d.handed_at > mine.handed_at - DAY)
    twin = select(d.id).where(
        or_(d.state.in_(("handoff", "uncertain")), noted),
        d.id.not_in(ours),
        d.content_hash == mine.content_hash,
        d.handed_at.is_not(None),  # as all that has a hash: it tells the database by which index they are found
        d.endpoint_id.is_not_distinct_from(mine.endpoint_id),
        d.provider_id.is_(None),
    )
    return None if conn.scalar(twin.limit(1)) is not None else left.pop()


def found_at_once(desk: Desk, together: Sequence[Claim], found: Collection[str] | None) -> str | None:
    """Give the provider's id where the look-up right after the lost answer settles it; later ones may."""
    if not found:
        return None
    try:
        with desk.db.begin() as conn:
            return only(conn, together, found)
    except OperationalError:
        return None


def look_up(desk: Desk) -> int:
    """Look up SMS that are uncertain since less than four hours; give how many were found to be sent.

    A provider that does not answer is not asked again by this desk for a while: it would cost a deadline each.
    """
    at = desk.now()
    if desk.looked_up_at is not None and at - desk.looked_up_at < AGAIN:
        return 0
    with desk.db.begin() as conn:
        waiting = _waiting(conn, at)
        if not waiting or health.shut_until(conn, SMS, at) is not None:
            return 0
    desk.looked_up_at = at
    finder = _finder(desk)
    if finder is None:
        return 0
    count = 0
    for together, handed_at in waiting:
        message = _again(desk, together, at)
        if message is None:
            continue
        found = finder.find(message, handed_at)
        if found is None:
            break
        count += _settle(desk, together, found)
    return count


def _finder(desk: Desk) -> Finder | None:
    try:
        connector = desk.carriers.connector(SMS)
    except CannotSendError:  # told when there is something to send
        return None
    return connector if isinstance(connector, Finder) else None


def _waiting(conn: Connection, at: datetime) -> list[tuple[list[Claim], datetime]]:
    """Give the uncertain messages to look up, the newest first, each with all dispatches that it stands for."""
    d = dispatches.c
    rows = conn.execute(
        select(d.id, d.channel, d.content_hash, d.handed_at)
        .where(
            is_in(d.state, "uncertain"),
            d.carrier == SMS,
            d.provider_id.is_(None),
            d.content_hash.is_not(None),
            d.handed_at > at - YOUNG,
            d.handed_at <= at,
        )
        .order_by(d.handed_at.desc(), d.id.desc())
        .limit(MOST)
    ).all()
    groups: dict[tuple[object, ...], list[int]] = {}
    for row in rows:  # an alert may stand for several guests: then its dispatches share the bytes and the moment
        alone = row.id if row.channel == SMS else None
        groups.setdefault((row.content_hash, row.handed_at, alone), []).append(row.id)
    return [(read_claims(conn, ids), key[1]) for key, ids in groups.items() if isinstance(key[1], datetime)]


def _again(desk: Desk, together: Sequence[Claim], at: datetime) -> Message | None:
    """Make a message once more from the values that it was made with; None where other bytes come out."""
    ids = [each.id for each in together]
    with desk.db.begin() as conn:
        stored = {
            row.dispatch_id: row.values
            for row in conn.execute(
                select(payloads.c.dispatch_id, payloads.c["values"].label("values")).where(
                    payloads.c.dispatch_id.in_(ids)
                )
            )
        }
        hashes = set(conn.scalars(select(dispatches.c.content_hash).where(dispatches.c.id.in_(ids))))
        if len(stored) != len(ids):
            return None
        try:
            rule = desk.policy.rule(conn, together[0].version_id)
            draft = desk.composer.read(conn, rule, together, at, values=[stored[number] for number in ids])
        except (UnreadableRuleError, NoRecipientError, CannotSendError):
            return None
    try:
        message = desk.composer.compose(draft, together, at)
    except (RenderError, MessageError, CannotSendError):
        return None
    except (LookupError, TypeError, ValueError, AttributeError):  # values as another release kept them
        return None
    body = message.body.encode() if isinstance(message.body, str) else message.body
    return message if draft.transport == SMS and hashes == {hashlib.sha256(body).digest()} else None


def _settle(desk: Desk, together: Sequence[Claim], found: Collection[str]) -> int:
    ids = [each.id for each in together]
    with desk.db.begin() as conn:
        sid = only(conn, together, found)
        if sid is None:
            return 0
        moved = move(
            conn,
            "uncertain",
            "sent",
            dispatches.c.id.in_(ids),
            dispatches.c.provider_id.is_(None),
            who="reconciler",
            now=desk.now(),
            values={"provider_id": sid, "provider_reply": "found"},
        )
    for each in moved:
        desk.summary.count(each, "sent")
    return len(moved)
