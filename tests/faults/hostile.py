"""Guests with hostile names and addresses: what leaves is one message to one recipient, with the headers that we wrote.

The bytes are taken off the wire behind the real SMTP connector, and four readers must agree on them (``parsers.py``).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from html.parser import HTMLParser

from dispatch.world import NOW, Cafe, Clock, Sink, a_desk, a_home
from sqlalchemy import Table, insert, select

from connectors.smtp import SmtpConnector
from engine.database.months import month_of
from engine.database.tables import consents, customers, dispatches, endpoints, matches
from engine.dispatch.drafting import LONGEST_SMS
from engine.dispatch.links import message_id
from engine.dispatch.mime import MessageError
from engine.dispatch.stages import send_due
from engine.language.sms import clean

from . import hostile_words as words
from .parsers import Perl, by_python, by_rust, by_us
from .places import place
from .tally import Counts, Scale, Tally
from .wire import Letter, Wire

BATCH = 200
_MAIL = "Dear {{ customer.name }},\n\n{{ customer.name }}\n.\n"
_PAGE = (
    '<html><head><title>x</title></head><body><p title="{{ customer.name }}">Dear {{ customer.name }}</p>'
    '<a href="https://corner.example/?n={{ customer.name|urlencode }}">here</a></body></html>'
)
_MJML = "<mjml><mj-body><mj-section><mj-column><mj-text>Dear {{ customer.name }}</mj-text></mj-column></mj-section></mj-body></mjml>"
TEMPLATES: Mapping[str, Mapping[str, str]] = {
    "text": {"subject.txt": "We miss you", "email.txt": _MAIL},
    "page": {"subject.txt": "We miss you", "email.html": _PAGE},
    "both": {"subject.txt": "We miss you", "email.html": _PAGE, "email.txt": _MAIL},
    "mjml": {"subject.txt": "We miss you", "email.mjml": _MJML},
    "in the subject": {"subject.txt": "{{ customer.name }}, we miss you", "email.txt": _MAIL},
}
_SMS = {"sms.txt": "Dear {{ customer.name }}, see you soon"}


#: What no phone shows: control characters but a line's end, marks of direction, lone halves of a character.
_UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass
class Guest:
    """Whom a message is for, made with which template."""

    name: str
    address: str
    template: str

    @property
    def crooked(self) -> bool:
        """Whether it is as well if nobody writes to such an address."""
        parts = self.address.split("@")
        dots = any(not word for part in parts for word in part.split("."))
        return dots or len(parts) != 2 or any(each in self.address for each in words.MARKS)


@dataclass(frozen=True)
class _Of:
    """What all messages hang on."""

    rule: tuple[int, int]
    run: int
    zone: int


@dataclass
class Judge:
    """Holds each letter against that of a plain guest."""

    perl: Perl
    plain: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[str]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def learn(self, template: str, letter: Letter) -> None:
        """Take this as how a message of the template should be."""
        read, mail = by_python(letter.data)
        self.plain[template] = (read.names, read.kinds, _tags(mail))

    def judge(self, guest: Guest, letter: Letter) -> None:
        """Note what is wrong with a letter; names nobody but the pieces that it was made of."""
        for problem in self._problems(guest, letter):
            self.wrong.append(f"{problem}: {guest.name[:60]!r} {guest.address!r} {guest.template}")

    def _problems(self, guest: Guest, letter: Letter) -> Iterator[str]:
        names, kinds, tags = self.plain[guest.template]
        try:
            by_us(letter.data)
        except MessageError as error:
            yield str(error)
        mine, mail = by_python(letter.data)
        for read in (mine, by_rust(letter.data), self.perl.read(letter.data)):
            if read.names != names:
                yield f"{read.by} reads the headers {set(read.names) ^ set(names)}"
            if [_folded(each or "") for each in read.to] != [_folded(_on_the_wire(guest.address))]:
                yield f"{read.by} reads the recipients {read.to}"
            if read.kinds != kinds:
                yield f"{read.by} reads the parts {read.kinds}"
        if [each.decode().split(" SMTPUTF8")[0].strip() for each in letter.recipients] != [
            f"RCPT TO:<{_on_the_wire(guest.address)}>"
        ]:
            yield f"the envelope says {letter.recipients}"
        if max(map(len, letter.data.split(b"\r\n"))) > 998:
            yield "a line is too long"
        shown = " ".join(clean(guest.name).split())
        text = mail.get_body(("plain",)).get_content()
        if guest.template in ("text", "both", "in the subject") and f"Dear {shown}," not in text.replace("\r\n", "\n"):
            yield "the text does not say the name"
        if _tags(mail) != tags:
            yield "the page has other tags"
        subject = mail["Subject"]
        if guest.template == "in the subject":
            wanted = " ".join(f"{shown}, we miss you"[:200].split())
            if _seen(subject) != _seen(wanted):
                yield f"the subject is {subject!r}"
        elif subject != "We miss you":
            yield "the subject is another"


def _seen(text: str) -> str:
    return "".join(text.split())


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(f"{tag} {' '.join(name for name, _ in attrs)}")

    def handle_endtag(self, tag) -> None:
        self.tags.append(f"/{tag}")


def _tags(mail) -> list[str]:
    page = mail.get_body(("html",))
    reader = _Tags()
    if page is not None:
        reader.feed(page.get_content())
        reader.close()
    return reader.tags


def _on_the_wire(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"{local}@{domain if domain.isascii() else domain.encode('idna').decode()}"


def _folded(address: str) -> str:
    local, _, domain = address.partition("@")
    return f"{local}@{domain.lower()}"


def mailed(kind: str, tries: int, seed: int) -> tuple[Counts, Counter[str]]:
    """Write to ``tries`` hostile guests; give the counts, and how many ended as what."""
    chance, ends = random.Random(seed), Counter[str]()
    counts = Counts()
    with place(kind) as where, closing(Wire()) as wire, closing(Perl()) as perl:
        cafe, home, judge = Cafe(where.db), a_home(where.root), Judge(perl)
        contents = {name: cafe.content(name, **files) for name, files in TEMPLATES.items()}
        texts = cafe.content("text message", **_SMS)
        of = _Of(cafe.rule(), cafe.run(), cafe.guest("nobody").zone_id)
        mail, phone = SmtpConnector("127.0.0.1", wire.port, tls="none"), Sink()
        desk = a_desk(cafe, home, Clock(), email=mail, sms=phone)
        plain = [Guest("Li Wei", f"li{number}@example.com", name) for number, name in enumerate(TEMPLATES)]
        number = 0
        while number < tries or plain:
            guests = plain or [_a_guest(chance, number + each, kind) for each in range(min(BATCH, tries - number))]
            ids = _laid_out(cafe, guests, contents, texts, of)
            wire.letters.clear()
            phone.accepted.clear()
            send_due(desk)
            ends += _held_against(cafe, home.key, ids, wire, judge, learn=bool(plain))
            short = sum(len(each.name) < LONGEST_SMS for each in guests)  # no carrier takes a longer one
            if len(phone.accepted) != short:
                judge.wrong.append(f"{len(phone.accepted)} text messages for {short} guests")
            judge.wrong += [f"in an SMS: {each.body[:60]!r}" for each in phone.accepted if _UNFIT.search(each.body)]
            number, plain = number + (0 if plain else len(guests)), []
        mail.close()
        counts += Counts(
            wrong=tuple(judge.wrong[:20]) + tuple(f"a strange line: {each!r}" for each in wire.strange[:20])
        )
    return counts, ends


def _a_guest(chance: random.Random, number: int, kind: str) -> Guest:
    """PostgreSQL stores no NUL, and no database a lone half of a character."""
    name, address = words.a_name(chance) or "x", words.an_address(chance, number)
    if kind == "postgres":
        name, address = name.replace("\x00", "") or "x", address.replace("\x00", "")
    return Guest(name, address, chance.choice(list(TEMPLATES)))


def _laid_out(
    cafe: Cafe, guests: Sequence[Guest], contents: Mapping[str, int], texts: int, of: _Of
) -> dict[int, Guest]:
    """Write guests and their messages in one transaction; give the emails by dispatch."""
    found: dict[int, Guest] = {}
    later = NOW.replace(year=2027)
    with cafe.db.begin() as conn:

        def write(table: Table, **values: object) -> int:
            return int(conn.scalar(insert(table).values(**values).returning(table.c.id)))

        for each in guests:
            number = next(cafe.numbers)
            ends = {}
            for channel, address in (("email", each.address), ("sms", f"+1312{number:07}")):
                hashed = hashlib.sha256(f"{channel} {number}".encode()).digest()
                ends[channel] = write(endpoints, channel=channel, hash=hashed, address=address)
                write(consents, endpoint_id=ends[channel], basis="express", state="yes", at=NOW, source="form")
            whose = {"email_id": ends["email"], "sms_id": ends["sms"]}
            known = {"source": "csv", "external_id": f"h{number}", "zone_id": of.zone, "attributes": {}}
            guest = write(customers, **known, **whose, name=each.name)
            its = {"rule_id": of.rule[0], "customer_id": guest}
            match = write(
                matches,
                **its,
                **whose,
                version_id=of.rule[1],
                run_id=of.run,
                occasion=number,
                matched_at=NOW,
                closes=later,
                verdict="act",
            )
            row = its | {
                "match_id": match,
                "month": month_of(NOW),
                "state": "pending",
                "due_at": NOW,
                "expires_at": later,
            }
            mail = {"channel": "email", "endpoint_id": ends["email"], "content_id": contents[each.template]}
            text = {"channel": "sms", "endpoint_id": ends["sms"], "content_id": texts}
            found[write(dispatches, **row, **mail, step=1, purpose="marketing")] = each
            write(dispatches, **row, **text, step=2, purpose="service")
    return found


def _held_against(
    cafe: Cafe, key: bytes, ids: Mapping[int, Guest], wire: Wire, judge: Judge, *, learn: bool
) -> Counter[str]:
    """Judge what came over the wire; give how the dispatches ended."""
    ends = Counter[str]()
    letters: dict[str, list[Letter]] = {}
    for letter in wire.letters:
        found = re.search(rb"(?mi)^Message-ID: (\S+)", letter.data)
        letters.setdefault(found[1].decode() if found else "", []).append(letter)
    with cafe.db.begin() as conn:
        rows = conn.execute(select(dispatches).where(dispatches.c.id.in_(ids))).all()
    for row in rows:
        guest = ids[row.id]
        mine = letters.pop(message_id(key, row.id, "hello@corner.example"), [])
        ends[row.state] += 1
        if learn:
            judge.learn(guest.template, mine[0])
        if len(mine) != (row.state == "sent"):
            judge.wrong.append(f"accepted {len(mine)} times and {row.state}: {guest}")
        for letter in mine:
            judge.judge(guest, letter)
        if row.state not in ("sent", "dead", "rejected") or (row.state != "sent" and not guest.crooked):
            judge.wrong.append(f"{row.state} {row.reason}: {guest}")
    judge.wrong += [f"a letter of nobody: {each!r}" for each in letters]
    return ends


def _fault(kind: str, sample: int, everything: int) -> Callable[[Scale], Tally]:
    def run(scale: Scale) -> Tally:
        tries = scale.pick(sample, everything)
        counts, ends = mailed(kind, tries, scale.seed)
        note = ", ".join(f"{number} {state}" for state, number in sorted(ends.items()))
        return Tally.of("hostile guests", tries, counts, note=note, allowed=0)

    return run


FAULTS: dict[str, Callable[[Scale], Tally]] = {
    "hostile names and addresses, sqlite": _fault("sqlite", 300, 90_000),
    "hostile names and addresses, postgres": _fault("postgres", 60, 10_000),
}
