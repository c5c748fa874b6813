"""One guest: everything that is known, for staff and for a request for access; and what the guest says of marketing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from shlex import quote
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, Select, Table, select

from engine.console.coupon import last_day
from engine.console.exits import MistypedError, Refusal, unknown
from engine.console.later import told_later
from engine.console.page import Column, Page, bar, visible
from engine.console.session import Session, customer_named
from engine.console.words import counted, moment, money, reason
from engine.database.belonging import of_guest
from engine.database.consent import RETURNED, lock_endpoint, moment_to_note, record_consent, said_word
from engine.database.facts import bring_to
from engine.database.tables import (
    consents,
    coupons,
    customer_facts,
    customers,
    delivery_events,
    dispatches,
    endpoints,
    events,
    matches,
    order_items,
    orders,
    payloads,
    points,
    products,
    ratings,
    rules,
    stores,
    tags,
    zones,
)
from engine.dispatch.erasure import erase as forget
from engine.dispatch.present import in_language
from engine.dispatch.states import INSIDE
from engine.language.codes import shown
from engine.language.config import Config
from engine.language.phrases import phrase
from engine.vocabulary.home import Home

#: So many of the newest orders, messages and so on a person is shown; JSON has all.
NEWEST: Final = 10


@dataclass(frozen=True)
class Known:
    """All that is known of a guest, as plain data: the person, and lists by kind, the newest first."""

    person: dict[str, Any]
    lists: dict[str, list[dict[str, Any]]]

    def to_json(self) -> dict[str, Any]:
        """Give the object that ``customer show --format json`` prints."""
        return {**self.person, **self.lists}


def shown_customer(session: Session, name: str, at: datetime, shape: str) -> str:
    """Say everything known of a guest, as text or as one JSON object."""
    with session.look() as conn:
        guest = customer_named(conn, session.home, name)
    of = known(session, guest, at)
    page = Page()
    if shape == "json":
        page.json_lines([of.to_json()])
    else:
        customer_report(page, of, session.home)
    return page.text


def known(session: Session, customer: Row[Any], at: datetime) -> Known:
    """Read everything; figures are those of ``at``."""
    with session.db.connect() as conn, conn.begin() as transaction:
        bring_to(conn, at)
        person = _person(conn, customer)
        lists = {name: [_plain(row) for row in conn.execute(query)] for name, query in _lists(customer)}
        transaction.rollback()
    for each in lists["coupons"]:
        each["code"] = None if each["code"] is None else shown(each["code"])
    return Known(person, lists)


def _person(conn: Connection, customer: Row[Any]) -> dict[str, Any]:
    own = ("source", "external_id", "name", "first_name", "gender", "company", "tier", "city", "language")
    facts = conn.execute(select(customer_facts).where(customer_facts.c.customer_id == customer.id)).one_or_none()
    zone = conn.scalar(select(zones.c.name).where(zones.c.id == customer.zone_id))
    store = None
    if facts is not None and facts.store_id is not None:
        store = conn.scalar(select(stores.c.name).where(stores.c.id == facts.store_id))
    birthday = None
    if customer.birthday_md:
        year = customer.birthday_year or "0000"
        birthday = f"{year}-{customer.birthday_md // 100:02d}-{customer.birthday_md % 100:02d}"
    figures = ("orders", "visits", "spend", "refunds", "points")
    return {
        **{"customer" if name == "external_id" else name: getattr(customer, name) for name in own},
        "tier": customer.tier if facts is None or facts.tier_key == customer.tier_key else facts.tier_key,
        "birthday": birthday,
        "birthday_calendar": customer.birthday_calendar if birthday else None,
        "joined_at": _value(facts.joined_at if facts is not None else customer.joined_at),
        "timezone": zone,
        "store": store,
        "referred_by": customer.referred_by,
        "erased_at": _value(customer.erased_at),
        "attributes": customer.attributes,
        "tags": list(conn.scalars(select(tags.c.tag).where(tags.c.customer_id == customer.id).order_by(tags.c.tag))),
        "figures": {
            **{name: getattr(facts, name) if facts is not None else 0 for name in figures},
            "last_order_at": _value(facts.last_order_at) if facts is not None else None,
        },
    }


def _lists(customer: Row[Any]) -> Iterator[tuple[str, Select[Any]]]:
    mine = endpoints.c.id.in_([each for each in (customer.email_id, customer.sms_id) if each is not None])
    yield (
        "endpoints",
        select(
            endpoints.c.channel, endpoints.c.address, endpoints.c.suppressed_at, endpoints.c.suppressed_why
        ).where(mine).order_by(endpoints.c.channel),
    )  # fmt: skip
    yield (
        "consents",
        select(
            endpoints.c.channel, consents.c.topic, consents.c.state, consents.c.basis, consents.c.at,
            consents.c.source, consents.c.evidence,
        ).join(endpoints, endpoints.c.id == consents.c.endpoint_id).where(mine)
        .order_by(consents.c.at.desc(), consents.c.id.desc()),
    )  # fmt: skip
    yield (
        "bought",
        select(orders.c.external_id.label("order"), products.c.name.label("product"), order_items.c.quantity)
        .select_from(order_items.join(orders, orders.c.id == order_items.c.order_id))
        .join(products, products.c.id == order_items.c.product_id)
        .where(orders.c.customer_id == customer.id)
        .order_by(orders.c.ordered_at.desc(), order_items.c.id),
    )
    yield "orders", _of(orders, customer, "ordered_at", "external_id", "ordered_at", "total", "channel", "refunded_at")
    yield "ratings", _of(ratings, customer, "rated_at", "rated_at", "score", "comment", "platform")
    yield "points", _of(points, customer, "at", "at", "points", "expires_at", "reason", "ledger")
    yield "events", _of(events, customer, "at", "at", "name", "data")
    yield from _engine_lists(customer)


def _engine_lists(customer: Row[Any]) -> Iterator[tuple[str, Select[Any]]]:
    """What the engine decided about the guest, and what it sent."""
    c, d, later = coupons.c, dispatches.c, delivery_events.c
    yield (
        "coupons",
        select(c.code, c.offer, c.issued_at, c.valid_until, c.redeemed_at, c.revoked_at)
        .where(c.customer_id == customer.id)
        .order_by(c.id.desc()),
    )
    yield (
        "matches",
        select(rules.c.rule, matches.c.matched_at, matches.c.verdict, matches.c.reason)
        .join(rules, rules.c.id == matches.c.rule_id)
        .where(matches.c.customer_id == customer.id)
        .order_by(matches.c.id.desc()),
    )
    yield (
        "messages",
        select(
            rules.c.rule, d.step, d.channel, d.state, d.reason, d.due_at, d.handed_at,
            later.kind.label("delivery"), later.code.label("delivery_code"), later.at.label("delivery_at"),
            payloads.c["values"].label("values"),
        )
        .join(rules, rules.c.id == d.rule_id)
        .outerjoin(payloads, payloads.c.dispatch_id == d.id)
        .outerjoin(delivery_events, later.id == told_later())
        .where(of_guest(customer.id))
        .order_by(d.id.desc()),
    )  # fmt: skip


def _of(table: Table, customer: Row[Any], newest: str, *names: str) -> Select[Any]:
    columns = [table.c[name].label("order" if name == "external_id" else name) for name in names]
    return (
        select(*columns).where(table.c.customer_id == customer.id).order_by(table.c[newest].desc(), table.c.id.desc())
    )


def _plain(row: Row[Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in row._mapping.items()}  # noqa: SLF001 (SQLAlchemy's public name for it)


def _value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (datetime, date)) else value


def customer_report(page: Page, of: Known, home: Home) -> None:
    """Say what staff want to see: the person, what may be sent, and the newest of each list."""
    person, config = of.person, home.config
    currency, zone = config.business.currency, config.business.timezone
    page.line(f"{visible(person['customer'])} {visible(person['name'] or '')}".rstrip(), "strong")
    if person["erased_at"]:
        page.line(f"Erased on {_when(person['erased_at'], zone)}; the orders stay for the books.", "care")
    skipped = {"customer", "name", "erased_at", "attributes", "figures", "joined_at", "tags", "tier"}
    figures = person["figures"]
    facts = [(name.replace("_", " "), value) for name, value in person.items() if name not in skipped and value]
    tiers = home.loyalty.tiers
    level = None if tiers is None else tiers.level(person["tier"])
    tier = person["tier"] if level is None else level.name
    facts += [
        ("tier", in_language(tier, config.business.language) if isinstance(tier, Mapping) else tier),
        ("tags", ", ".join(person["tags"])),
        ("joined", _when(person["joined_at"], zone)),
        *((name, figures[name]) for name in ("orders", "visits", "points")),
        ("spend", money(figures["spend"], currency)),
        ("last order", _when(figures["last_order_at"], zone)),
        *person["attributes"].items(),
    ]
    page.table([Column("", style="faint"), Column("")], [each for each in facts if each[1]], indent=2)
    for name, rows in of.lists.items():
        if rows and name != "bought":
            _list(page, name, rows, config)


def _list(page: Page, name: str, rows: list[dict[str, Any]], config: Config) -> None:
    more = f" (the newest {NEWEST} of {len(rows):,})" if len(rows) > NEWEST else ""
    page.heading(f"{name.capitalize()}{more}")
    titles = [title for title in rows[0] if title not in {"values", "data"} and any(row[title] for row in rows)]
    page.table(
        [Column(_TITLES.get(title, title.replace("_", " "))) for title in titles],
        [[_cell(title, row, config) for title in titles] for row in rows[:NEWEST]],
        indent=2,
    )


#: Headings and values in the owner's words; JSON keeps the engine's.
_TITLES: Final[Mapping[str, str]] = {
    "verdict": "outcome", "basis": "how", "reason": "why", "suppressed_at": "blocked", "suppressed_why": "why blocked",
    "valid_until": "good until", "issued_at": "issued", "redeemed_at": "redeemed", "revoked_at": "taken back",
    "matched_at": "found", "due_at": "due", "handed_at": "sent", "ordered_at": "at", "rated_at": "at",
    "delivery": "then", "delivery_code": "answer", "delivery_at": "told",
}  # fmt: skip
_SAID: Final[Mapping[tuple[str, str], str]] = {
    ("verdict", "act"): "gets it",
    ("verdict", "control"): "control: gets nothing, to compare",
    ("basis", "express"): "said so",
    ("basis", "implied"): "as a customer",
}


def _cell(title: str, row: Mapping[str, Any], config: Config) -> str:
    value, zone = row[title], config.business.timezone
    if value is None:
        return ""
    if title == "state" and value == "sent" and row.get("channel") in INSIDE:
        value = "issued" if row["channel"] == "coupon" else "done"
    if (title, value) in _SAID:
        return _SAID[title, value]
    if title == "valid_until":
        return str(last_day(datetime.fromisoformat(value), config))
    if title == "total":
        return money(value, config.business.currency)
    if title in {"reason", "suppressed_why"}:
        return reason(value)
    return _when(value, zone) if title == "at" or title.endswith(("_at", "_until")) else str(value)


def _when(iso: str | None, zone: ZoneInfo) -> str:
    return "" if iso is None else moment(datetime.fromisoformat(iso), zone)


_ALLOWED: Final = {
    "yes": "is allowed",
    "no": "has ended",
    "implied": "is allowed as far as the law of the guest's country knows implied consent",
}


def consent(
    session: Session,
    name: str,
    said: Mapping[str, str | None],
    *,
    topic: str | None,
    by: str,
) -> str:
    """Record what the guest said, all of it or nothing; give a sentence for each channel, each on its line."""
    topics, now = session.home.config.topics, session.clock()
    if not any(said.values()):
        raise MistypedError("give --email or --sms, with yes, no or implied")
    if topic is not None and topic not in topics:
        raise unknown("topic", topic, topics)
    told = []
    with session.db.begin() as conn:
        customer = customer_named(conn, session.home, name)
        for channel, word in said.items():
            if word is None:
                continue
            state: Literal["yes", "no"] = "no" if word == "no" else "yes"
            endpoint_id = customer.email_id if channel == "email" else customer.sms_id
            endpoint = conn.execute(select(endpoints).where(endpoints.c.id == endpoint_id)).one_or_none()
            shown_channel = "email address" if channel == "email" else "phone number"
            if endpoint is None:
                raise Refusal(f"this guest has no {shown_channel}; nothing was changed")
            if word == "implied":
                _refuse_where_said(conn, endpoint.id, topic)
            lock_endpoint(conn, endpoint.id)
            record_consent(
                conn,
                endpoint.id,
                state,
                at=moment_to_note(conn, endpoint.id, now),
                source="staff",
                basis="implied" if word == "implied" else "express",
                topic=topic,
                customer_id=customer.id,
                evidence=by,
            )
            about = f"marketing about {topic}" if topic else "marketing"
            told.append(f"{channel}: {about} {_ALLOWED[word]}.")
            if endpoint.suppressed_at is not None:
                told.append(_still_blocked(endpoint.suppressed_why, channel, customer))
            others = _others_with(conn, endpoint.id, channel, customer.id)
            if others:
                told.append(f"{channel}: the same {shown_channel} is that of {', '.join(others)} too.")
    return "".join(f"{sentence}\n" for sentence in told)


def _still_blocked(why: str, channel: str, customer: Row[Any]) -> str:
    said = f"{channel}: nothing goes there all the same: {reason(why)}."
    if why not in RETURNED:
        return said
    command = f"regulars customer reachable {quote(customer.external_id)} --{channel}"
    return f"{said} Where it is in order again: `{command}`."


def _others_with(conn: Connection, endpoint_id: int, channel: str, customer_id: int) -> list[str]:
    """Give the ids of the other guests whose endpoint it is."""
    theirs = customers.c.email_id if channel == "email" else customers.c.sms_id
    others = select(customers.c.external_id).where(theirs == endpoint_id, customers.c.id != customer_id)
    return sorted(conn.scalars(others))


def _refuse_where_said(conn: Connection, endpoint_id: int, topic: str | None) -> None:
    """Raise ``Refusal`` where the guest said something: a soft opt-in is of one who bought and said nothing."""
    lock_endpoint(conn, endpoint_id)
    said = said_word(conn, endpoint_id, topic)
    if said == "yes":
        raise Refusal(phrase("this guest said yes, which counts for more than implied consent; nothing was changed"))
    if said == "no":
        raise Refusal(phrase("this guest said no, and implied consent never undoes that; nothing was changed"))


def question(session: Session, name: str) -> str:
    """Ask whether this guest is to be erased; a guest who does not exist is mistyped."""
    with session.look() as conn:
        guest = customer_named(conn, session.home, name)
    person = f"{guest.external_id} {guest.name or ''}".strip()
    return f"Erase {visible(person)} for good? This cannot be undone"


def erase(session: Session, name: str, *, by: str) -> str:
    """Erase every trace of the guest that can be reached, and say what cannot."""
    with session.look() as conn:
        guest = customer_named(conn, session.home, name)
    with bar("Erasing"):
        done = forget(session.db, session.home, guest.id, now=session.clock(), actor=by)
    page = Page()
    page.line("Erased: name, addresses, birthday, comments and messages. The orders stay, without a person.", "good")
    if done.stopped:
        page.line(f"{counted(done.stopped, 'step')} that waited will not go out.")
    if done.messages:
        page.line(f"{counted(done.messages, 'message file')} deleted.")
    for file, count in sorted(done.rows.items()):
        page.line(f"{counted(count, 'row')} taken out of {file}.")
    page.heading("What this could not reach")
    for sentence in done.left:
        page.line(visible(sentence), indent=2)
    return page.text
