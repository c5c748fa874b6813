"""A guest's way out by token: what the web page, the mailbox and the command line call.

The token is the proof, whoever brings it; it never expires, and works for an erased guest and for an address to which
nothing goes anyway. Showing acts on nothing: programs that look at every link of a mail must not unsubscribe anybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, exists, select

from engine.database.consent import lock_endpoint, moment_to_note, record_consent
from engine.database.tables import consents, endpoints
from engine.dispatch.links import unsubscribe_token
from engine.language.contacts import Channel

#: How the word came: by the button of a mail program (RFC 8058), or by a page, a mail, a person at the command line.
Way = Literal["one-click", "link", "mail", "complaint"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a page may show of a token: nothing that tells whose it is."""

    channel: Channel
    ended: bool  #: no advertising goes there any more


def subscription(conn: Connection, keys: Sequence[bytes], token: str) -> Subscription | None:
    """Tell what a page shows before anybody presses the button; None where the token is none of ours. Writes nothing.

    ``keys`` are those of ``links.link_keys``.
    """
    found = _endpoint(conn, keys, token)
    return None if found is None else Subscription(found[1], _ended(conn, found[0]))


def unsubscribe(
    conn: Connection, keys: Sequence[bytes], token: str, at: datetime, *, way: Way = "one-click", letter: str = ""
) -> bool | None:
    """Take the token's word: no more marketing to its endpoint, from the caller's commit on.

    Gives True where that is new, False where it was said before, None where the token is none of ours. ``keys`` are
    those of ``links.link_keys``; ``letter`` is as in ``end_marketing``.
    """
    found = _endpoint(conn, keys, token)
    return None if found is None else end_marketing(conn, found[0], at, way=way, letter=letter)


def end_marketing(conn: Connection, endpoint_id: int, at: datetime, *, way: Way, letter: str = "") -> bool:
    """Note that the endpoint wants no marketing; False where that is its last word already. Locks the endpoint.

    ``letter`` is what a mail is known by, if it is: read again, as an mbox is at every run, it says nothing new, also
    where the guest has agreed since.
    """
    lock_endpoint(conn, endpoint_id)
    evidence = f"{_EVIDENCE[way]} ({letter})" if letter else _EVIDENCE[way]
    ended = _ended(conn, endpoint_id)
    known = exists().where(consents.c.endpoint_id == endpoint_id, consents.c.evidence == evidence)
    if (ended and not letter) or (letter and conn.scalar(select(known))):
        return False
    when = moment_to_note(conn, endpoint_id, at)
    record_consent(conn, endpoint_id, "no", at=when, source=way, evidence=evidence)
    return not ended


_EVIDENCE = {
    "one-click": "the token of the mail's unsubscribe button",
    "link": "the token of the message's link",
    "mail": "a mail with the token",
    "complaint": "a provider's report of a complaint",
}


def _endpoint(conn: Connection, keys: Sequence[bytes], token: str) -> tuple[int, Channel] | None:
    number = unsubscribe_token(keys, token)
    if number is None:
        return None
    row = conn.execute(select(endpoints.c.id, endpoints.c.channel).where(endpoints.c.id == number)).one_or_none()
    return None if row is None else (row.id, row.channel)


def _ended(conn: Connection, endpoint_id: int) -> bool:
    """Tell whether the last that was said of the endpoint, whatever the topic, is no to all marketing."""
    said = (
        select(consents.c.state, consents.c.topic)
        .where(consents.c.endpoint_id == endpoint_id, consents.c.basis != "implied")
        .order_by(consents.c.at.desc(), consents.c.id.desc())
        .limit(1)
    )
    last = conn.execute(said).one_or_none()
    return last is not None and last.state == "no" and last.topic is None
