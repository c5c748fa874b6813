"""Who got what, and why others did not: the outbox read as a log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal, null, select

from engine.console.exits import unknown
from engine.console.later import WRONG, told_later
from engine.console.page import Column, Page, csv_line
from engine.console.session import Session, customer_named, day_of
from engine.console.words import CHANNELS, masked, moment, reason
from engine.database.partial import is_in
from engine.database.tables import (
    coupons,
    customers,
    delivery_events,
    dispatches,
    endpoints,
    matches,
    rule_versions,
    rules,
)
from engine.dispatch.states import FINAL, INSIDE, OPEN, UNSEEN
from engine.language.codes import shown
from engine.language.times import start_of
from engine.vocabulary.steps import written_steps

#: Verdicts of guests who were matched and got nothing; ``--state`` takes them like states.
VERDICTS: Final = ("refused", "control")
STATES: Final = (*sorted({*OPEN, "handoff", *FINAL}), *VERDICTS)
#: So many rows a table shows unless ``--limit`` says otherwise.
TABLE_ROWS: Final = 50
#: So many are named in a command that a person may copy.
NAMED: Final = 20
#: The stable keys of ``log --format json``, and the columns of the CSV.
KEYS: Final = (
    "id", "rule", "customer", "occasion", "step", "step_name", "channel", "to", "state", "reason", "due_at", "sent_at",
    "attempts", "carrier", "provider_id", "coupon", "provider_reply", "delivery", "delivery_code", "delivery_at",
    "message_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """What to show; None shows all. ``day`` is a naive midnight on the home's clock."""

    rule: str | None = None
    customer_id: int | None = None
    channel: str | None = None
    state: str | None = None
    day: datetime | None = None


def read_filters(
    session: Session, *, rule: str | None, customer: str | None, channel: str | None, state: str | None, day: str | None
) -> Filters:
    """Read the options; a rule, guest, channel or state that does not exist is mistyped."""
    if channel is not None and channel not in CHANNELS:
        raise unknown("channel", channel, CHANNELS)
    if state is not None and state not in STATES:
        raise unknown("state", state, STATES)
    with session.look() as conn:
        if rule is not None:
            known = set(conn.scalars(select(rules.c.rule))) | {each.id for each in session.home.rules}
            if rule not in known:
                raise unknown("rule", rule, known)
        guest = None if customer is None else customer_named(conn, session.home, customer).id
    return Filters(rule, guest, channel, state, None if day is None else day_of(day))


def written(session: Session, filters: Filters, shape: str, *, limit: int | None, reveal: bool) -> Iterator[str]:
    """Give the log in pieces: a table, JSON one object a line, or CSV."""
    with session.look() as conn:
        zone = session.zone
        if shape == "table":
            rows = list(_named(session, entries(conn, filters, zone, limit=limit or TABLE_ROWS, reveal=reveal)))
            page = Page()
            table(page, rows, count(conn, filters, zone), zone)
            yield page.text
            return
        if shape == "csv":
            yield csv_line(KEYS)
        for row in _named(session, entries(conn, filters, zone, limit=limit, reveal=reveal)):
            yield json_line(row) if shape == "json" else csv_line(row[key] for key in KEYS)


def _named(session: Session, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add what each email that was handed over is called in mail servers' logs, as far as the sender is the same."""
    from engine.dispatch.links import message_id

    key, sender = session.home.key, session.home.config.email.sender.address
    for row in rows:
        left = row["channel"] == "email" and row["sent_at"] is not None
        yield row | {"message_id": message_id(key, row["id"], sender) if left else None}


def entries(
    conn: Connection, filters: Filters, zone: ZoneInfo, *, limit: int | None, reveal: bool
) -> Iterator[dict[str, Any]]:
    """Give the entries as plain data, the newest first; instants are ISO texts in UTC, addresses masked.

    Beside ``KEYS`` but for the last stand ``name`` and ``taken_back``, for tables only.
    """
    query, versions = _query(filters, zone), _versions(conn)
    for row in conn.execute(query if limit is None else query.limit(limit)).yield_per(1_000):
        yield _entry(row, versions, reveal=reveal)


def count(conn: Connection, filters: Filters, zone: ZoneInfo) -> int:
    """Count the entries."""
    return int(conn.scalar(select(func.count()).select_from(_query(filters, zone).order_by(None).subquery())) or 0)


def table(page: Page, rows: list[dict[str, Any]], total: int, zone: ZoneInfo) -> None:
    """Say the entries as a table, and how many more there are."""
    if not rows:
        page.line("The log has nothing of that kind.")
        return
    unsure = all(row["state"] == "uncertain" for row in rows)
    columns = [*_COLUMNS[:-2], *(_COLUMNS[-2:] if page.width >= _WIDE else ())]
    columns = _UNSURE if unsure else columns
    page.table([column for column, _ in columns], [[cell(row, zone) for _, cell in columns] for row in rows])
    if total > len(rows):
        page.line(f"The newest {len(rows):,} of {total:,}; --limit shows more.", "faint")
    if unsure:
        _decide(page, rows)


def _decide(page: Page, rows: list[dict[str, Any]]) -> None:
    """Say what a person needs who decides about messages that may have arrived."""
    numbers = [row["id"] for row in rows]
    some = " ".join(map(str, sorted(numbers)[:NAMED])) if len(numbers) <= NAMED else "ID..."
    page.line()
    page.line(
        "They may have arrived: look into the mail server's or provider's log of that time, or ask the guest. Then:"
    )
    emails = [row for row in rows if row.get("message_id")][:NAMED]
    page.verbatim(
        "".join(f"  {row['id']} has the Message-ID {row['message_id']}\n" for row in emails)
        + f"  regulars dispatch resolve {some} --sent         they arrived\n"
        f"  regulars dispatch resolve {some} --send-again   they did not: queued again, and consent is asked again\n"
    )


def _when(row: Mapping[str, Any], zone: ZoneInfo) -> str:
    if row["sent_at"] is not None:
        return _local(row["sent_at"], zone)
    return f"due {_local(row['due_at'], zone)}" if row["due_at"] is not None else ""


def _guest(name: str) -> str:
    """An erased guest has a long number in place of an id, of use to nobody who reads."""
    return "erased" if name.startswith("erased:") else name


def _state(row: Mapping[str, Any]) -> object:
    """Say of a coupon that it was issued, or taken back because no message of it reached the guest; others are done."""
    if row["channel"] not in INSIDE or row["state"] != "sent":
        return f"{row['state']}, {row['delivery']}" if row.get("delivery") else row["state"]
    if row["channel"] != "coupon":
        return "done"
    return "taken back" if row.get("taken_back") else "issued"


def _why_later(row: Mapping[str, Any]) -> str:
    """Give the code with which an accepted message came back."""
    return (row["delivery_code"] or "") if row["delivery"] in WRONG else ""


_WIDE: Final = 130  #: from so many columns on the address and the code find room
_COLUMNS: Final[tuple[tuple[Column, Callable[[Mapping[str, Any], ZoneInfo], object]], ...]] = (
    (Column("id", right=True, whole=True), lambda row, _: row["id"]),
    (Column("guest", whole=True), lambda row, _: _guest(row["customer"])),
    (Column("name", most=30), lambda row, _: row["name"]),
    (Column("rule", most=30), lambda row, _: row["rule"]),
    (Column("step", right=True), lambda row, _: row["step_name"]),
    (Column("what", whole=True), lambda row, _: CHANNELS.get(row["channel"] or "")),
    (Column("state", whole=True), lambda row, _: _state(row)),
    (Column("when"), _when),
    (Column("why"), lambda row, _: reason(row["reason"]) or _why_later(row)),
    (Column("to", whole=True), lambda row, _: row["to"]),
    (Column("coupon", whole=True), lambda row, _: row["coupon"]),
)


#: What decides about one that may have arrived: when, by what, and what was answered.
_UNSURE: Final = [
    *_COLUMNS[:6],
    (Column("handed over", whole=True), _when),
    (Column("by", most=30), lambda row, _: row["carrier"] or row["channel"]),
    (Column("answer", most=40), lambda row, _: row["provider_reply"] or reason(row["reason"])),
    (Column("provider's id", most=40), lambda row, _: row["provider_id"]),
    (Column("to", whole=True), lambda row, _: row["to"]),
]


def json_line(row: Mapping[str, Any]) -> str:
    """Give one entry as JSON on one line."""
    return json.dumps({key: row[key] for key in KEYS}, ensure_ascii=False) + "\n"


def _query(filters: Filters, zone: ZoneInfo) -> Select[Any]:
    if filters.state in VERDICTS:
        return _refused(filters, zone)
    d, later = dispatches.c, delivery_events.c
    when = func.coalesce(d.handed_at, d.due_at)
    query = (
        select(
            d.id, rules.c.rule, customers.c.external_id, customers.c.name, matches.c.occasion, matches.c.version_id,
            d.step, d.channel,
            endpoints.c.address, d.state, d.reason, d.due_at, d.handed_at, d.finished_at, d.attempts,
            d.carrier, d.provider_id, d.provider_reply,
            _code().label("coupon"), _taken_back().label("taken_back"),
            later.kind.label("delivery"), later.code.label("delivery_code"), later.at.label("delivery_at"),
        )
        .select_from(
            dispatches.join(matches, matches.c.id == d.match_id)
            .join(rules, rules.c.id == d.rule_id)
            .join(customers, customers.c.id == d.customer_id)
            .outerjoin(endpoints, endpoints.c.id == d.endpoint_id)
            .outerjoin(delivery_events, later.id == told_later())
        )
        .where(*_where(filters, zone, matches.c.customer_id, when))
        .order_by(d.id.desc())
    )  # fmt: skip
    if filters.channel is not None:
        query = query.where(d.channel == filters.channel)
    return query if filters.state is None else query.where(is_in(d.state, filters.state))


def _refused(filters: Filters, zone: ZoneInfo) -> Select[Any]:
    """Give guests who were matched and get nothing of the rule: they have no dispatch."""
    m, nothing = matches.c, null()
    absent = (
        "version_id",
        "step",
        "channel",
        "address",
        "due_at",
        "handed_at",
        "finished_at",
        "carrier",
        "provider_id",
        "provider_reply",
        "coupon",
        "taken_back",
        "delivery",
        "delivery_code",
        "delivery_at",
    )
    query = (
        select(
            nothing.label("id"), rules.c.rule, customers.c.external_id, customers.c.name, m.occasion,
            m.verdict.label("state"), m.reason, literal(0).label("attempts"), *(nothing.label(name) for name in absent),
        )
        .select_from(
            matches.join(rules, rules.c.id == m.rule_id).join(customers, customers.c.id == m.customer_id)
        )
        .where(m.verdict == filters.state, *_where(filters, zone, m.customer_id, m.matched_at))
        .order_by(m.id.desc())
    )  # fmt: skip
    return query if filters.channel is None else query.where(literal(value=False))


def _where(
    filters: Filters, zone: ZoneInfo, customer_id: ColumnElement[Any], when: ColumnElement[Any]
) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if filters.rule is not None:
        wanted.append(rules.c.rule == filters.rule)
    if filters.customer_id is not None:
        wanted.append(customer_id == filters.customer_id)
    if filters.day is not None:
        day = filters.day.date()
        wanted += [when >= start_of(day, zone), when < start_of(day + timedelta(days=1), zone)]
    return wanted


def _code() -> ColumnElement[Any]:
    """SQL: the code of the coupon that the step issued, or shows to the guest."""
    issued = dispatches.alias("issued")
    return (
        select(coupons.c.code)
        .select_from(coupons.join(issued, issued.c.id == coupons.c.dispatch_id))
        .where(
            issued.c.match_id == dispatches.c.match_id,
            issued.c.step <= dispatches.c.step,
            dispatches.c.channel.not_in(("alert", "points", "tag")),
            dispatches.c.state.not_in(UNSEEN),
            coupons.c.code.is_not(None),
        )
        .order_by(issued.c.step.desc())
        .limit(1)
        .correlate(dispatches)
        .scalar_subquery()
    )


def _taken_back() -> ColumnElement[bool]:
    """SQL: the coupon of this very step was revoked."""
    return (
        select(coupons.c.id)
        .where(coupons.c.dispatch_id == dispatches.c.id, coupons.c.revoked_at.is_not(None))
        .correlate(dispatches)
        .exists()
    )


@dataclass(frozen=True, slots=True)
class _Written:
    """What a rule's version says of its steps, by number."""

    names: dict[int, str]
    staff: dict[int, str]  #: who of the staff is told: a contact, owner or store; their addresses are not kept


def _versions(conn: Connection) -> dict[int, _Written]:
    versions = conn.execute(select(rule_versions.c.id, rule_versions.c.body)).all()
    found = {row.id: list(written_steps(row.body.get("actions", ()))) for row in versions}
    return {
        version: _Written(
            {number: name for number, name, _ in steps}, {number: _staff(entry) for number, _, entry in steps}
        )
        for version, steps in found.items()
    }


def _staff(entry: Mapping[str, Any]) -> str:
    settings = entry.get("alert", entry.get("email"))
    return str(settings.get("to", "manager")) if isinstance(settings, Mapping) else "manager"


def _entry(row: Row[Any], versions: Mapping[int, _Written], *, reveal: bool) -> dict[str, Any]:
    written = versions.get(row.version_id, _Written({}, {}))
    to = written.staff.get(row.step) if row.channel == "alert" else row.address if reveal else masked(row.address)
    sent_at = (row.handed_at or row.finished_at) if row.state == "sent" else row.handed_at
    return {
        "id": row.id,
        "rule": row.rule,
        "customer": row.external_id,
        "name": row.name,
        "occasion": row.occasion,
        "step": row.step,
        "step_name": written.names.get(row.step, str(row.step)) if row.step else None,
        "channel": row.channel,
        "to": to or None,
        "state": row.state,
        "reason": row.reason,
        "due_at": _iso(row.due_at),
        "sent_at": _iso(sent_at),
        "attempts": row.attempts,
        "carrier": row.carrier,
        "provider_id": row.provider_id,
        "coupon": None if row.coupon is None else shown(row.coupon),
        "provider_reply": row.provider_reply,
        "taken_back": row.taken_back,
        "delivery": row.delivery,
        "delivery_code": row.delivery_code,
        "delivery_at": _iso(row.delivery_at),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _local(iso: str | None, zone: ZoneInfo) -> str:
    return "" if iso is None else moment(datetime.fromisoformat(iso), zone)
