"""SMS that guests send back: the words that end advertising, and those that let it begin again.

A number that nobody here has is remembered by its hash alone: whoever is imported with it later has opted out. HELP is
Twilio's to answer; it knows the words of each country, and a second answer of ours would cost the guest's patience.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, Row, Select, exists, or_, select, update

from connectors.twilio_codes import OPTED_OUT, SID
from engine.database.belonging import to_endpoint
from engine.database.consent import lock_endpoint, record_consent
from engine.database.sql import upsert
from engine.database.tables import consents, customers, delivery_events, dispatches, endpoints
from engine.dispatch.receipts import Why
from engine.dispatch.said import STOP_BY_SMS, is_word
from engine.dispatch.signed import SMS, Signed, of_account, read_form, set_up
from engine.language.compliance import Compliance
from engine.language.contacts import country_of_number, normalise
from engine.language.keys import endpoint_hash
from engine.vocabulary.home import Home

START: Final = ("START", "UNSTOP", "YES")
HELP: Final = ("HELP", "INFO")
SOURCE: Final = "sms"

Meant = Literal["stop", "start", "help", "other"]
#: ``stopped_before``, ``not_stopped`` (nothing to take back), ``never_agreed`` (nothing to go back to) and ``erased``
#: (nothing goes there whatever is said) change nothing.
What = Literal[
    "stopped", "stopped_before", "started", "not_stopped", "never_agreed", "erased", "help", "other", "refused"
]


@dataclass(frozen=True, slots=True)
class Inbound:
    """What became of an SMS. ``why`` is given where it was refused; ``unknown``: nobody here has the number."""

    what: What
    why: Why | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One SMS of a guest. ``number`` is E.164; ``sid`` makes it the same one when it is told twice."""

    number: str = field(repr=False)
    text: str = field(repr=False)
    sid: str = ""


def take_sms(db: Engine, home: Home, request: Signed, now: datetime) -> Inbound:
    """Take in an SMS as Twilio posts it to the home's page, if the signature is Twilio's.

    ``SecretError`` when the config names a secret that is not there.
    """
    form = read_form(home.config, request, SMS)
    if form is None:
        return Inbound("refused", "signature" if set_up(home.config) else "not_set_up")
    if not of_account(home.config, form.get("AccountSid", "")):
        return Inbound("refused", "account")
    sid = form.get("MessageSid", "")
    if not SID.fullmatch(sid):
        return Inbound("refused", "malformed")
    try:
        number = normalise("sms", form.get("From", ""))
    except ValueError:
        return Inbound("refused", "number")
    # A service with words of its own says what they mean.
    own = {"STOP": "STOP", "START": "START", "HELP": "HELP"}.get(form.get("OptOutType", "").upper())
    return take_text(db, home, Text(number, own or form.get("Body", ""), sid), now)


def take_text(db: Engine, home: Home, sms: Text, now: datetime) -> Inbound:
    """Act on the text of an SMS; whoever calls answers for the number."""
    word = meant(sms.text, home.config.law, country_of_number(sms.number))
    if word not in {"stop", "start"}:
        return Inbound("help" if word == "help" else "other")
    with db.begin() as conn:
        endpoint = _endpoint(conn, home, sms.number, make=word == "stop")
        if endpoint is None:
            return Inbound("not_stopped", unknown=True)
        lock_endpoint(conn, endpoint.id)
        guests = conn.scalars(
            select(customers.c.id).where(customers.c.sms_id == endpoint.id, customers.c.erased_at.is_(None)).limit(2)
        ).all()
        line = _Line(conn, endpoint, sms, now, guests[0] if len(guests) == 1 else None)
        return Inbound(line.stop() if word == "stop" else line.start(), unknown=not guests)


def meant(text: str, law: Compliance, country: str | None) -> Meant:
    """Tell what an SMS wants: its whole text must be one of the words; letters' size and signs do not count.

    A longer text is for a person: "Cancel my table for Friday" ends no advertising.
    """
    own = [word for each in law.laws(country) for word in each.stop_words]
    table: tuple[tuple[Meant, Collection[str]], ...] = (
        ("stop", (*STOP_BY_SMS, *own)),
        ("start", START),
        ("help", HELP),
    )
    return next((meaning for meaning, words in table if is_word(text, words)), "other")


def _endpoint(conn: Connection, home: Home, number: str, *, make: bool) -> Row[Any] | None:
    """Give the endpoint of a number; ``make``: one without its address, where there is none."""
    hashed = endpoint_hash(home.key, "sms", number)
    if make:
        fresh = {"channel": "sms", "hash": hashed, "address": None, "country": country_of_number(number)}
        conn.execute(upsert(conn, endpoints).values(**fresh).on_conflict_do_nothing())
    known: Select[Any] = select(endpoints.c.id, endpoints.c.suppressed_why)
    return conn.execute(known.where(endpoints.c.channel == "sms", endpoints.c.hash == hashed)).one_or_none()


@dataclass(frozen=True)
class _Line:
    """One number's words, with its endpoint locked."""

    conn: Connection
    endpoint: Row[Any]
    sms: Text
    now: datetime
    customer_id: int | None

    def stop(self) -> What:
        """End advertising to the number."""
        words = self._words()
        if self._told_before(words, "STOP") or _is_stop(_last(words)):
            return "stopped_before"
        self._record("no", None, "STOP")
        return "stopped"

    def start(self) -> What:
        """Take a STOP back: what held before it holds again, and nothing more.

        Twilio's own refusal (21610) came of a STOP too, one that never reached us.
        """
        if self.endpoint.suppressed_why == "erased":
            return "erased"
        words = self._words()
        if self._told_before(words, "START"):
            return "not_stopped"
        lifted = self._lift()
        if not _is_stop(_last(words)):
            return "started" if lifted else "not_stopped"
        before = list(words)
        while (last := _last(before)) is not None and _is_stop(last):
            before.remove(last)
        general = _in_force(before, None) == "yes"
        if general:
            self._record("yes", None, "START")
        agreed = general
        for topic in sorted({word.topic for word in before if word.topic is not None}):
            state = _in_force(before, topic)
            agreed = agreed or state == "yes"
            if state is not None and (state == "yes") != general:
                self._record(state, topic, "START")
        return "started" if agreed else "never_agreed"

    def _lift(self) -> bool:
        """Take back the block that Twilio's refusal put on the number; what was blocked for another reason stays."""
        d = dispatches.c
        mine = to_endpoint(self.endpoint.id)
        refused = exists().where(mine, d.state == "blocked", d.reason == "opted_out")
        later = exists().where(
            mine, delivery_events.c.dispatch_id == d.id, delivery_events.c.code.in_(map(str, OPTED_OUT))
        )
        e = endpoints.c
        lifted = (
            update(endpoints)
            .where(e.id == self.endpoint.id, e.suppressed_why == "unsubscribed", or_(refused, later))
            .values(suppressed_at=None, suppressed_why=None)
            .returning(e.id)
        )
        return self.conn.execute(lifted).first() is not None

    def _words(self) -> Sequence[Row[Any]]:
        own = select(consents).where(consents.c.endpoint_id == self.endpoint.id)
        return self.conn.execute(own.order_by(consents.c.at, consents.c.id)).all()

    def _record(self, state: Literal["yes", "no"], topic: str | None, word: str) -> None:
        last = _last(self._words(), implied=True)
        at = self.now if last is None else max(self.now, last.at)  # a consent of a day to come must not outlive it
        record_consent(
            self.conn,
            self.endpoint.id,
            state,
            at=at,
            source=SOURCE,
            topic=topic,
            customer_id=self.customer_id,
            evidence=self._evidence(word),
        )

    def _told_before(self, words: Collection[Row[Any]], word: str) -> bool:
        evidence = self._evidence(word)
        return bool(self.sms.sid) and evidence is not None and any(each.evidence == evidence for each in words)

    def _evidence(self, word: str) -> str | None:
        if self.endpoint.suppressed_why == "erased":
            return None
        return f"{word} {self.sms.sid}".strip()


def _last(words: Collection[Row[Any]], *, implied: bool = False) -> Row[Any] | None:
    return next((word for word in reversed(list(words)) if implied or word.basis != "implied"), None)


def _is_stop(word: Row[Any] | None) -> bool:
    return word is not None and word.state == "no" and word.topic is None and word.source == SOURCE


def _in_force(words: Collection[Row[Any]], topic: str | None) -> Literal["yes", "no"] | None:
    """Give the word on a topic, or on all marketing: what was said before what is implied."""
    about = [word for word in words if word.topic is None or word.topic == topic]
    last = _last(about) or _last(about, implied=True)
    return None if last is None else "yes" if last.state == "yes" else "no"
