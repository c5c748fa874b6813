"""From a claimed dispatch to a finished message: who gets it, with which values, from which version of the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from connectors.base import Message
from engine.database.sql import Id
from engine.database.tables import contents, endpoints, stores
from engine.dispatch import coupons
from engine.dispatch.channels import WEBHOOK, CannotSendError, Carriers, Transport
from engine.dispatch.claims import Claim
from engine.dispatch.hooks import as_json, told_of
from engine.dispatch.links import bounce_address, message_id, message_key, status_url, unsubscribe_url
from engine.dispatch.mime import email_bytes
from engine.dispatch.present import Leaves
from engine.dispatch.render import RenderedEmail, Renderer, RenderError, style_of
from engine.dispatch.values import Subject, about_several, read_values
from engine.evaluation.expiring import what_expires
from engine.language.compliance import Texts, with_texts
from engine.language.contacts import Channel
from engine.language.rule import Rule, Step
from engine.language.secret import SecretError
from engine.language.signing import DkimConfig
from engine.language.times import open_for
from engine.vocabulary.home import Home
from engine.vocabulary.webhook import Webhook

_REACHED = select(endpoints.c.id, endpoints.c.channel, endpoints.c.address).where(
    endpoints.c.id.in_(bindparam("ids", expanding=True, type_=Id))
)

#: Letters of an SMS; Twilio refuses longer ones.
LONGEST_SMS: Final = 1_600


@dataclass(frozen=True, slots=True)
class Draft:
    """All that one message is made of, read in one transaction. ``values`` are plain data, one for each dispatch."""

    transport: Transport  #: what carries it: alerts go by email or sms
    recipient: str = field(repr=False)
    template: str
    files: Mapping[str, str] = field(repr=False)
    values: Sequence[Mapping[str, Any]] = field(repr=False)
    marketing: bool
    subject: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict, repr=False)  #: all that a webhook is told
    seconds: int | None = None  #: how long a provider may go on trying; None: as long as it likes
    country: str | None = None  #: whose law holds for the guest; None: the home's


class NoRecipientError(Exception):
    """There is nobody to send to: no such contact, or an endpoint without an address."""


class Drafts:
    """Reads and makes the messages of one home. One per worker."""

    def __init__(self, home: Home, carriers: Carriers) -> None:
        self._home = home
        self._carriers = carriers
        self._renderer = Renderer()
        self._signer = _signer(home.config.email.dkim)
        self._files: dict[int, tuple[str, Mapping[str, str]]] = {}

    def read(
        self,
        conn: Connection,
        rule: Rule,
        together: Sequence[Claim],
        at: datetime,
        *,
        values: Sequence[Mapping[str, Any]] | None = None,
    ) -> Draft:
        """Read everything as it is now. ``together`` share one message; ``values`` are one's that was made before.

        Raises ``NoRecipientError``, and ``CannotSendError`` where links cannot be made for want of a secret.
        """
        first = together[0]
        step = rule.step(first.step)
        if isinstance(step.settings, Webhook):
            return self._hook(conn, rule, step, first, at)
        template, files = self._content(conn, first.content_id)
        if first.channel == "alert":
            transport, recipient = self._staff(conn, step, first.store_id, files)
        else:
            transport, recipient = self._guest(conn, first)
        return Draft(
            transport=transport,
            recipient=recipient,
            template=template,
            files=files,
            values=values
            or read_values(conn, self._home, self._subjects(conn, [(rule, each) for each in together], at), at),
            marketing=first.purpose == "marketing",
            subject=getattr(step.settings, "subject", None),
            seconds=self._open_for(first, at) if first.channel == "sms" else None,
            country=first.country,
        )

    def read_all(
        self, conn: Connection, asked: Sequence[tuple[Rule, Claim]], at: datetime
    ) -> list[Draft | NoRecipientError]:
        """Read what messages to guests need, of each its own, in a few statements, however many they are.

        Raises ``CannotSendError`` where links cannot be made for want of a secret: for none of them then.
        """
        ids = sorted({claim.endpoint_id for _, claim in asked if claim.endpoint_id is not None})
        reached = {row.id: row for row in conn.execute(_REACHED, {"ids": ids})}
        values = read_values(conn, self._home, self._subjects(conn, asked, at), at)
        drafts: list[Draft | NoRecipientError] = []
        for (rule, claim), each in zip(asked, values, strict=True):
            row = reached.get(claim.endpoint_id or 0)
            if row is None or row.address is None:
                drafts.append(NoRecipientError())
                continue
            template, files = self._content(conn, claim.content_id)
            drafts.append(
                Draft(
                    transport=row.channel,
                    recipient=row.address,
                    template=template,
                    files=files,
                    values=[each],
                    marketing=claim.purpose == "marketing",
                    subject=getattr(rule.step(claim.step).settings, "subject", None),
                    seconds=self._open_for(claim, at) if claim.channel == "sms" else None,
                    country=claim.country,
                )
            )
        return drafts

    def compose(self, draft: Draft, together: Sequence[Claim], at: datetime) -> Message:
        """Make the message. Raises ``RenderError`` or ``MessageError``, both our fault and in plain words.

        ``CannotSendError`` where its link for the provider cannot be made for want of a secret, or a key that it should
        be signed with is not there.
        """
        first = together[0]
        key = self._home.key
        if draft.transport.startswith(WEBHOOK):
            return Message(
                key=message_key(key, first.id),
                channel="webhook",
                sender=self._carriers.sender(draft.transport),
                recipient=draft.recipient,
                body=as_json(draft.told, message_key(key, first.id)),
                template=draft.template,
            )
        values = draft.values[0] if first.channel != "alert" else about_several(draft.values)
        wanted: list[str] = values["languages"]
        sender = envelope = self._carriers.sender(draft.transport)
        channel: Channel = "email" if draft.transport == "email" else "sms"
        required = self._home.config.law.texts(channel, draft.country) if draft.marketing else Texts()
        body: bytes | str
        if channel == "email":
            config = self._home.config
            rendered = self._renderer.email(draft.files, values, wanted, subject=draft.subject)
            envelope = bounce_address(config, key, first.id) or sender
            body = email_bytes(
                _with_subject(rendered, with_texts(required, rendered.subject)),
                sender=config.email.sender,
                recipient=draft.recipient,
                message_id=message_id(key, first.id, sender),
                date=at,
                unsubscribe_url=values["links"]["unsubscribe"] if draft.marketing else None,
                business=config.business,
                signed=self._signer(at),
            )
        else:
            text = with_texts(required, self._renderer.sms(draft.files, values, wanted))
            body = _short_enough(text, alert=first.channel == "alert")
        return Message(
            key=message_key(key, first.id),
            channel=channel,
            sender=envelope,
            recipient=draft.recipient,
            body=body,
            template=draft.template,
            values=Leaves(style_of(wanted[0] if wanted else "", values), values),
            status_url=self._status_url(first) if channel == "sms" else "",
        )

    def _status_url(self, claim: Claim) -> str:
        try:
            return status_url(self._home.config, self._home.key, claim.id)
        except SecretError as error:
            raise CannotSendError(f"No sms goes out: {error}") from None

    def _hook(self, conn: Connection, rule: Rule, step: Step, claim: Claim, at: datetime) -> Draft:
        """Read what a webhook is told. One that is no longer in the config has nobody to tell."""
        if step.settings.to not in self._home.config.webhooks:
            raise NoRecipientError
        (values,) = read_values(conn, self._home, self._subjects(conn, [(rule, claim)], at), at)
        told = told_of(conn, rule, step, claim, values)
        return Draft(
            transport=f"{WEBHOOK}{step.settings.to}",
            recipient=step.settings.to,
            template=step.settings.to,
            files={},
            values=[told],
            marketing=False,
            told=told,
        )

    def _subjects(self, conn: Connection, asked: Sequence[tuple[Rule, Claim]], at: datetime) -> list[Subject]:
        """Give what messages speak of: each its match."""
        issued = coupons.of_matches(conn, sorted({claim.match_id for _, claim in asked}))
        return [
            Subject(
                customer_id=claim.customer_id,
                store_id=claim.store_id,
                order_id=claim.order_id,
                rating_id=claim.rating_id,
                event_id=claim.event_id,
                friend_id=claim.friend_id,
                expiring=what_expires(
                    conn, self._home, rule, customer_id=claim.customer_id, matched_at=claim.matched_at, as_of=at
                ),
                coupons=[each for step, each in issued.get(claim.match_id, ()) if step < claim.step],
                unsubscribe=self._link(claim),
                audience="staff" if claim.channel == "alert" else "guest",
            )
            for rule, claim in asked
        ]

    def _link(self, claim: Claim) -> str:
        if claim.endpoint_id is None:
            return ""
        try:
            return unsubscribe_url(self._home.config, self._home.key, claim.endpoint_id)
        except SecretError as error:
            raise CannotSendError(f"No {claim.channel} goes out: {error}") from None

    def _open_for(self, claim: Claim, at: datetime) -> int | None:
        """Give for how many seconds the hours stay open: no provider goes on trying into the night."""
        config = self._home.config
        return open_for(at, claim.zone, config.law.opening(config.hours["sms"], "sms", claim.country, claim.purpose))

    def _content(self, conn: Connection, content_id: int | None) -> tuple[str, Mapping[str, str]]:
        """Give the template's name and files, of the version that was fixed at the match."""
        assert content_id is not None, "a message without a template's version"
        if content_id not in self._files:
            row = conn.execute(select(contents.c.template, contents.c.files).where(contents.c.id == content_id)).one()
            self._files[content_id] = (row.template, row.files)
        return self._files[content_id]

    def _guest(self, conn: Connection, claim: Claim) -> tuple[Transport, str]:
        row = conn.execute(_REACHED, {"ids": [claim.endpoint_id]}).one_or_none()
        if row is None or row.address is None:
            raise NoRecipientError
        return row.channel, row.address

    def _staff(
        self, conn: Connection, step: Step, store_id: int | None, files: Mapping[str, str]
    ) -> tuple[Transport, str]:
        """Find who of the staff gets it: by email where they have one and the template has one, else by SMS.

        ``store`` is the manager of the match's store. Where that, the owner or a contact is not to be found, or no more
        since the match, it goes to the contact ``manager``.
        """
        reached: list[tuple[str | None, str | None]] = []
        contacts, to = self._home.config.contacts, step.settings.to
        if to == "store":
            row = conn.execute(
                select(stores.c.manager_email, stores.c.manager_phone).where(stores.c.id == store_id)
            ).one_or_none()
            reached.append((None, None) if row is None else (row.manager_email, row.manager_phone))
        contact = contacts.get(to) or contacts.get("manager")
        if contact is not None:
            reached.append((contact.email, contact.phone))
        has_email = any(name.startswith("email.") for name in files)
        has_sms = any(name.startswith("sms.") for name in files) and step.word == "alert"
        for email, phone in reached:
            if email and has_email:
                return "email", email
            if phone and has_sms:
                return "sms", phone
        raise NoRecipientError


def _with_subject(rendered: RenderedEmail, subject: str) -> RenderedEmail:
    return rendered if subject == rendered.subject else replace(rendered, subject=subject)


def _signer(keys: Sequence[DkimConfig]) -> Callable[[datetime], Callable[[bytes], bytes]]:
    """Give what makes the signer of a moment's messages; without keys nothing is signed, and no cipher is loaded."""
    if not keys:
        return lambda _: bytes
    from engine.dispatch.dkim import Signer

    return Signer(keys).at


def _short_enough(text: str, *, alert: bool) -> str:
    """Give the text of an SMS; of a longer one than carriers take, staff gets the beginning and a guest nothing."""
    if len(text) <= LONGEST_SMS:
        return text
    if not alert:
        raise RenderError(f"the sms has {len(text):,} letters, and no more than {LONGEST_SMS:,} can be sent")
    return f"{text[: LONGEST_SMS - 3]}..."
