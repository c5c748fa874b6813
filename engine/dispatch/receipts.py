"""What Twilio tells later of an SMS: an event beside the state, proof that a lost answer was a yes, a number to avoid.

In any order, each once; a send never moves backwards, and nothing is sent again by itself. What is not Twilio's, not
about this dispatch or not to be read is refused with a reason, and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, Row, Select, insert, select, update

from connectors.base import Outcome
from connectors.twilio_codes import FILTERED, OPTED_OUT, SID, SOURCE, UNUSABLE
from engine.database.consent import lock_endpoint, suppress
from engine.database.sql import upsert
from engine.database.tables import audit, delivery_events, dispatches, endpoints, matches
from engine.dispatch import health
from engine.dispatch.fence import UnreadableRuleError
from engine.dispatch.journeys import Journeys
from engine.dispatch.links import link_key, read_token
from engine.dispatch.lookup import SMS
from engine.dispatch.signed import STATUS, Signed, of_account, read_form, set_up, status_token
from engine.dispatch.states import State, move
from engine.language.contacts import normalise
from engine.language.keys import endpoint_hash
from engine.vocabulary.home import Home

Why = Literal["not_set_up", "signature", "malformed", "account", "token", "sid", "number"]
Kind = Literal["delivered", "undelivered"]

#: Twilio's statuses that are the end of a message. Every one, these too, proves that it was accepted.
_KINDS: Final[Mapping[str, Kind]] = {
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "undelivered",
    "failed": "undelivered",
    "canceled": "undelivered",
}
#: Unknown number; a landline, or a carrier that takes no SMS. Others (30003, 30008) say nothing of the next message.
_GONE: Final = frozenset({30005, 30006}) | UNUSABLE


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a status callback. ``refused``: it changed nothing, and why."""

    refused: Why | None = None
    dispatch_id: int | None = None
    status: str = ""  #: Twilio's word
    kind: Kind | None = None  #: None: not the end yet
    code: int | None = None  #: Twilio's, where it failed
    new: bool = False  #: an event that was not known
    settled: bool = False  #: the state became ``sent`` by it


@dataclass(frozen=True, slots=True)
class _Told:
    """The fields of a callback that count."""

    sid: str
    status: str
    code: int | None
    to: str
    account: str


def take_status(db: Engine, home: Home, request: Signed, now: datetime) -> Receipt:
    """Take a status callback in, if its signature is Twilio's; whatever is wrong with it is the receipt's ``refused``.

    ``SecretError`` when the config names a secret that is not there.
    """
    config = home.config
    token = status_token(request)
    if not set_up(config) or token is None:
        return Receipt("not_set_up" if token is not None else "token")
    form = read_form(config, request, f"{STATUS}{token}")
    told = None if form is None else _read(form)
    if told is None:
        return Receipt("signature" if form is None else "malformed")
    if not of_account(config, told.account):
        return Receipt("account")
    number = read_token(link_key(config, home.key), "status", token)
    if number is None:
        return Receipt("token")
    with db.begin() as conn:
        return _take(conn, home, number, told, now)


def _read(form: Mapping[str, str]) -> _Told | None:
    sid = form.get("MessageSid") or form.get("SmsSid", "")
    status = form.get("MessageStatus") or form.get("SmsStatus", "")
    code = form.get("ErrorCode", "")
    if not SID.fullmatch(sid) or not re.fullmatch(r"[a-z_]{1,30}", status) or not re.fullmatch(r"[0-9]{0,6}", code):
        return None
    return _Told(sid, status, int(code) if code else None, form.get("To", ""), form.get("AccountSid", ""))


def _take(conn: Connection, home: Home, number: int, told: _Told, now: datetime) -> Receipt:
    d = dispatches.c
    mine: Select[Any] = select(
        d.id, d.month, d.channel, d.state, d.provider_id, d.endpoint_id, d.customer_id, d.step, d.content_hash,
        d.handed_at, matches.c.version_id, matches.c.run_id,
    ).join(matches, matches.c.id == d.match_id).where(d.id == number, d.channel.in_((SMS, "alert")))  # fmt: skip
    first = conn.execute(mine).one_or_none()
    if first is None:
        return Receipt("token")
    if first.endpoint_id is not None:  # before the dispatch, as at the fence
        lock_endpoint(conn, first.endpoint_id)
    row = conn.execute(mine.with_for_update(of=dispatches)).one()
    why = _against(conn, home, row, told)
    if why is not None:
        return Receipt(why)
    settled = _settle(conn, home, row, told.sid, now)
    kind = _KINDS.get(told.status)
    code = told.code if kind == "undelivered" else None
    new = kind is not None and _note(conn, row, kind, told, now)
    if new and code is not None:
        _act_on(conn, row, code, now)
    return Receipt(dispatch_id=row.id, status=told.status, kind=kind, code=code, new=new or settled, settled=settled)


def _against(conn: Connection, home: Home, row: Row[Any], told: _Told) -> Why | None:
    """Tell why a genuine callback is not about this dispatch. After a restored backup a number may be another's."""
    if row.provider_id is not None:
        return None if row.provider_id == told.sid else "sid"
    if conn.scalar(select(dispatches.c.id).where(dispatches.c.provider_id == told.sid).limit(1)) is not None:
        return "sid"
    if row.endpoint_id is None or not told.to:
        return None
    try:
        address = normalise("sms", told.to)
    except ValueError:
        return "number"
    known = conn.scalar(select(endpoints.c.hash).where(endpoints.c.id == row.endpoint_id))
    return None if endpoint_hash(home.key, "sms", address) == known else "number"


def _settle(conn: Connection, home: Home, row: Row[Any], sid: str, now: datetime) -> bool:
    """Twilio knows the message, so it was accepted: a lost answer is found again, in whatever way it was lost."""
    d = dispatches.c
    mine = (d.id.in_(_together(conn, home, row)), d.provider_id.is_(None))
    moved = []
    states: tuple[State, ...] = ("handoff", "uncertain")
    for before in states:
        values = {"provider_id": sid, "provider_reply": "callback"}
        moved += move(conn, before, "sent", *mine, who="reconciler", now=now, actor=SOURCE, values=values)
    conn.execute(update(dispatches).where(*mine, d.state == "sent").values(provider_id=sid))  # noted by staff
    return row.id in moved


def _together(conn: Connection, home: Home, row: Row[Any]) -> list[int]:
    """Give all dispatches that the message stood for: an alert may name several guests."""
    if row.channel != "alert" or row.handed_at is None:
        return [row.id]
    try:
        rule = Journeys(home).rule(conn, row.version_id)
    except UnreadableRuleError:
        return [row.id]
    if getattr(rule.step(row.step).settings, "once_per", "guest") == "guest":
        return [row.id]
    d, m = dispatches.c, matches.c
    same = select(d.id).join(matches, m.id == d.match_id).where(
        m.run_id == row.run_id, m.version_id == row.version_id, d.step == row.step, d.channel == "alert",
        d.handed_at == row.handed_at, d.content_hash == row.content_hash,
    )  # fmt: skip
    return list(conn.scalars(same))


def _note(conn: Connection, row: Row[Any], kind: Kind, told: _Told, now: datetime) -> bool:
    """Write the event down; False where it was known."""
    event = {
        "month": row.month,
        "dispatch_id": row.id,
        "at": now,
        "kind": kind,
        "code": None if told.code is None else str(told.code),
        "source": SOURCE,
        "key": f"{told.sid} {told.status}",
    }
    new = upsert(conn, delivery_events).values(**event).on_conflict_do_nothing().returning(delivery_events.c.id)
    return conn.scalar(new) is not None


def _act_on(conn: Connection, row: Row[Any], code: int, now: datetime) -> None:
    """Do what the code of a failed message asks of the number, or of the channel."""
    if row.endpoint_id is not None and code in OPTED_OUT:
        suppress(conn, row.endpoint_id, "unsubscribed", at=now)
    elif row.endpoint_id is not None and code in _GONE:
        suppress(conn, row.endpoint_id, "unusable", at=now)
    elif code in FILTERED:
        held_back = Outcome("unknown", f"twilio {code}", channel="breaker")
        health.note(conn, SMS, held_back, now=now, customer_id=row.customer_id)
        conn.execute(
            insert(audit).values(
                at=now,
                actor=SOURCE,
                action="alarm",
                dispatch_id=row.id,
                month=row.month,
                subject=SMS,
                after=f"filtered {code}",
            )
        )
