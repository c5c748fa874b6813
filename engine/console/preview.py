"""What one guest would read: every message of a rule, filled in as it would be now, and never written down."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, select

from connectors.base import Message, Outcome
from engine.console.exits import MistypedError, NotNowError, Refusal
from engine.console.page import Page, visible
from engine.console.session import Session, customer_named, rule_named
from engine.console.supposed import supposed
from engine.database.facts import bring_to
from engine.database.tables import customer_facts, endpoints, matches, rules, switch, zones
from engine.dispatch.channels import CannotSendError, Channels
from engine.dispatch.coupons import Issued, valid_until
from engine.dispatch.dkim import Signer
from engine.dispatch.hooks import asked_of
from engine.dispatch.links import message_id, unsubscribe_url
from engine.dispatch.mime import MessageError, email_bytes
from engine.dispatch.render import RenderedEmail, Renderer, RenderError
from engine.dispatch.values import Subject, about_several, read_values
from engine.evaluation.compiler import FIRED
from engine.evaluation.expiring import what_expires
from engine.evaluation.queue import offer_terms
from engine.language.codes import check_character
from engine.language.compliance import Texts, with_texts
from engine.language.contacts import Channel, channel_of, normalise
from engine.language.keys import endpoint_hash
from engine.language.rule import Rule, Step
from engine.language.secret import SecretError
from engine.language.sms import segments
from engine.vocabulary.actions import Coupon
from engine.vocabulary.messages import carried_as
from engine.vocabulary.steps import once_each
from engine.vocabulary.webhook import Webhook

FOLDER: Final = "preview"
_BODY: Final = "SAMPZECXDEXX"  # in the alphabet of codes, and no code that anybody drew
SAMPLE_CODE: Final = _BODY + check_character(_BODY)


@dataclass(frozen=True)
class Shown:
    """One message as the guest, or for an alert the staff, would read it; ``problem`` says why there is none."""

    step: str  #: its name for people
    what: str  #: the step in English
    email: RenderedEmail | None = None
    sms: str | None = None
    told: str = ""  #: what a webhook is told, as JSON
    problem: str = ""
    file: Path | None = None  #: the HTML, written by ``write_pages``


@dataclass(frozen=True)
class _About:
    """What a match, real or supposed, is about. ``fired`` are columns of ``matches``."""

    customer_id: int
    store_id: int | None
    fired: Mapping[str, Any]
    email_id: int | None
    zone: ZoneInfo
    matched_at: datetime
    country: str | None  #: whose law holds for the guest; None: the home's


@dataclass
class Rehearsed:
    """Renders a rule's messages for a guest."""

    session: Session
    rule: Rule
    at: datetime
    _renderer: Renderer = field(default_factory=Renderer, init=False)

    def messages(self, customer: Row[Any]) -> list[Shown]:
        """Give every message step of the rule. The database is read in a transaction that is rolled back."""
        with self.session.db.connect() as conn, conn.begin() as transaction:
            bring_to(conn, self.at)
            shown = list(self._messages(conn, customer))
            transaction.rollback()
        return shown

    def _messages(self, conn: Connection, customer: Row[Any]) -> Iterator[Shown]:
        about = self._about(conn, customer)
        issued: list[Issued] = []
        for step in once_each(self.rule.steps):
            if isinstance(step.settings, Coupon):
                issued.append(self._sample(step.settings, about.zone))
                continue
            shown = Shown(step.name, step.settings.sentence())
            try:
                if isinstance(step.settings, Webhook):
                    told = asked_of(step, self._values(conn, step, about, issued))
                    yield replace(shown, told=json.dumps(told, ensure_ascii=False, indent=2))
                    continue
                yield self._filled(shown, step, about, self._values(conn, step, about, issued))
            except (RenderError, SecretError) as error:
                yield replace(shown, problem=str(error))

    def _filled(self, shown: Shown, step: Step, about: _About, values: Mapping[str, Any]) -> Shown:
        template = self.session.home.templates[step.settings.template]
        wanted: list[str] = values["languages"]
        as_email = step.word == "email" or (step.word == "alert" and template.serves("email"))
        if as_email:
            subject = getattr(step.settings, "subject", None)
            email = self._renderer.email(template.files, values, wanted, subject=subject)
            return replace(shown, email=replace(email, subject=with_texts(self._required(step, about), email.subject)))
        text = self._renderer.sms(template.files, values, wanted)
        return replace(shown, sms=with_texts(self._required(step, about), text))

    def _required(self, step: Step, about: _About) -> Texts:
        """Give what the law wants to stand in the message."""
        channel = step.settings.channel
        if channel is None or self.rule.purpose != "marketing":
            return Texts()
        return self.session.home.config.law.texts(channel, about.country)

    def _values(self, conn: Connection, step: Step, about: _About, issued: Sequence[Issued]) -> Mapping[str, Any]:
        home = self.session.home
        audience: Literal["guest", "staff"] = "staff" if carried_as(step.word, step.settings) == "alert" else "guest"
        link = ""
        if audience == "guest" and about.email_id is not None:
            link = unsubscribe_url(home.config, home.key, about.email_id)
        subject = Subject(
            customer_id=about.customer_id,
            store_id=about.store_id,
            **about.fired,
            expiring=what_expires(
                conn, home, self.rule, customer_id=about.customer_id, matched_at=about.matched_at, as_of=self.at
            ),
            coupons=issued,
            unsubscribe=link,
            audience=audience,
        )
        (values,) = read_values(conn, home, [subject], self.at)
        return about_several([values]) if audience == "staff" else values

    def _sample(self, settings: Coupon, zone: ZoneInfo) -> Issued:
        config = self.session.home.config
        terms = offer_terms(self.session.home.offers[settings.offer], settings)
        return Issued(SAMPLE_CODE, settings.offer, terms, valid_until(terms, self.at, zone, config.day_starts))

    def _about(self, conn: Connection, customer: Row[Any]) -> _About:
        """Give the guest's last match of the rule, else suppose one about the last order, rating, event or friend."""
        facts = conn.execute(
            select(customer_facts, zones.c.name.label("zone"))
            .join(zones, zones.c.id == customer_facts.c.zone_id)
            .where(customer_facts.c.customer_id == customer.id)
        ).one_or_none()
        if facts is None:
            raise Refusal("this guest was erased, so there is nobody to write to")
        match = conn.execute(
            select(matches.c.matched_at, matches.c.store_id, *(matches.c[name] for name in FIRED))
            .join(rules, rules.c.id == matches.c.rule_id)
            .where(rules.c.rule == self.rule.id, matches.c.customer_id == customer.id)
            .order_by(matches.c.id.desc())
            .limit(1)
        ).one_or_none()
        zone = ZoneInfo(facts.zone)
        if match is not None:
            fired = {name: getattr(match, name) for name in FIRED}
            return _About(customer.id, match.store_id, fired, customer.email_id, zone, match.matched_at, facts.country)
        fired = supposed(conn, self.rule, customer, facts.last_order_id)
        return _About(customer.id, facts.store_id, fired, customer.email_id, zone, self.at, facts.country)


def previewed(session: Session, rule_name: str, customer: str, at: datetime) -> tuple[str, list[Shown]]:
    """Render a rule's messages for a guest and write the pages; give what is said, and each message."""
    rule = rule_named(session.home, rule_name)
    with session.look() as conn:
        guest = customer_named(conn, session.home, customer)
    shown = write_pages(session, rule, guest.external_id, Rehearsed(session, rule, at).messages(guest))
    page = Page()
    preview_report(page, rule, guest, shown)
    return page.text, shown


def write_pages(session: Session, rule: Rule, customer: str, shown: Sequence[Shown]) -> list[Shown]:
    """Write each email's HTML into the home's folder ``preview/``, its pictures inside it; give where."""
    folder = session.home.root / FOLDER
    written = []
    for each in shown:
        if each.email is not None and each.email.html is not None:
            folder.mkdir(exist_ok=True)
            name = "".join(char if char.isalnum() else "-" for char in f"{rule.id}-{customer}-{each.step}")
            file = folder / f"{name}.html"
            file.write_text(_with_pictures(each.email), encoding="utf-8")
            written.append(replace(each, file=file))
        else:
            written.append(each)
    return written


def _with_pictures(email: RenderedEmail) -> str:
    page = email.html or ""
    for name, png in email.images.items():
        page = page.replace(f"cid:{name}", f"data:image/png;base64,{b64encode(png).decode('ascii')}")
    return page


def preview_report(page: Page, rule: Rule, customer: Row[Any], shown: Sequence[Shown]) -> None:
    """Say each message: the subject and the text, or the SMS with what it costs."""
    name = visible(customer.name or "")
    page.line(f"{rule.id} for {visible(customer.external_id)} {name}".rstrip(), "strong")
    for each in shown:
        page.heading(f"Step {each.step}: {each.what}")
        if each.problem:
            page.line(f"This message cannot be made: {each.problem}", "bad", indent=2)
        if each.email is not None:
            page.line(f"Subject: {visible(each.email.subject)}", indent=2)
            page.line()
            for line in each.email.text.splitlines():
                page.line(visible(line), indent=2)
        for line in each.told.splitlines():
            page.line(visible(line), indent=2)
        if each.sms is not None:
            cost = segments(each.sms)
            parts = "1 segment" if cost.count == 1 else f"{cost.count} segments: the provider counts each as one SMS"
            for line in each.sms.splitlines():
                page.line(visible(line), indent=2)
            page.line()
            page.line(f"{cost.units} units {cost.encoding}, {parts}", "care" if cost.count > 1 else "faint", indent=2)
        if each.file is not None:
            page.line()
            page.line(f"As a page: {each.file}", "faint", indent=2)


def send_test(session: Session, shown: Sequence[Shown], to: str, at: datetime) -> str:
    """Send the emails to an address, or the SMS to a number, each marked TEST; give a line for each.

    Raises ``MistypedError`` where ``to`` is neither, ``Refusal`` or ``NotNowError`` where one could not be sent.
    """
    channel, recipient = _recipient(to, session.home.config.business.country)
    with session.look() as conn:
        if conn.scalar(select(switch.c.stopped_at).where(switch.c.id == 1)) is not None:
            raise NotNowError("The red button is pressed, so nothing is sent. `regulars start` releases it")
        hashed = endpoint_hash(session.home.key, channel, recipient)
        suppressed = select(endpoints.c.suppressed_at).where(endpoints.c.channel == channel, endpoints.c.hash == hashed)
        if conn.scalar(suppressed) is not None:
            raise Refusal(f"{to} is blocked: unsubscribed, bounced or erased. Nothing is sent there, no test either")
    channels = Channels(session.home.root, session.home.config, session.clock)
    said = []
    try:
        connector = channels.connector(channel)
        for each in shown:
            message = (_mail if channel == "email" else _text)(session, channels, each, recipient, at)
            if message is None:
                continue
            channels.expect(message.key, None)
            said.append(_told(each, connector.send(message, lambda: True)))
    except MessageError as error:
        raise Refusal(f"the message cannot be built: {error}") from None
    except CannotSendError as error:
        raise Refusal(str(error)) from None
    finally:
        channels.close()
    if not said:
        raise Refusal(f"this rule has no {'SMS' if channel == 'sms' else 'email'} that could be sent")
    return "".join(f"{sentence}\n" for sentence in said)


def _recipient(to: str, country: str) -> tuple[Channel, str]:
    channel = channel_of(to)
    try:
        return channel, normalise(channel, to, country)
    except ValueError as error:
        raise MistypedError(f'--send-to: "{to}" {error}') from None


def _mail(session: Session, channels: Channels, shown: Shown, recipient: str, at: datetime) -> Message | None:
    if shown.email is None:
        return None
    config, number, sender = session.home.config, _number(), channels.sender("email")
    body = email_bytes(
        shown.email,
        sender=config.email.sender,
        recipient=recipient,
        message_id=message_id(session.home.key, number, sender),
        date=at,
        unsubscribe_url=None,
        business=config.business,
        test=True,
        signed=Signer(config.email.dkim).at(at),
    )
    return Message(key=f"test{number}", channel="email", sender=sender, recipient=recipient, body=body, test=True)


def _text(_: Session, channels: Channels, shown: Shown, recipient: str, _at: datetime) -> Message | None:
    if shown.sms is None:
        return None
    text, key = f"TEST: {shown.sms}", f"test{_number()}"
    return Message(key=key, channel="sms", sender=channels.sender("sms"), recipient=recipient, body=text, test=True)


def _number() -> int:
    """Give a number below zero, never that of a dispatch, and never one twice: a test may be sent again."""
    return -secrets.randbits(62) - 1


def _told(shown: Shown, outcome: Outcome) -> str:
    if outcome.kind == "sent":
        return f"Step {shown.step} was sent, marked TEST ({outcome.code})."
    if outcome.kind == "unknown":
        raise NotNowError(
            f"step {shown.step} may have arrived: the line broke in the moment of sending ({outcome.code})"
        )
    kind = Refusal if outcome.kind == "no" else NotNowError
    raise kind(f"step {shown.step} was not sent: the server said {outcome.code}")
