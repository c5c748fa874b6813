"""What a mail that came back says, whoever wrote it: a server's report, a complaint, a robot's answer, a guest's word.

Only the bytes are read here, nothing is believed and nothing looked up: ``bounces.py`` judges. Anything may stand in
such a mail, so all of it is bounded, and what cannot be read is a letter that was not understood.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from hashlib import sha256
from typing import Final, Literal

from engine.dispatch.plaintext import text_of
from engine.dispatch.said import of_letter

#: No more of a letter is looked at.
LARGEST: Final = 1_000_000
#: No report has so many parts; what has is not taken apart.
MOST_PARTS: Final = 60
MOST_DASHES: Final = 1_000  # a line that begins with them may be where a part does
#: No header is as long, its continuation with it: some cost the standard library the square of their length.
LONGEST_HEADER: Final = 20_000
MOST_RECIPIENTS: Final = 20
MOST_TOKENS: Final = 20
LONGEST_ADDRESS: Final = 320
#: Of a text so much is read for what a server or a guest says.
MOST_TEXT: Final = 4_000
#: Of what a person wrote so much, so that nothing that stands below a long quotation is overlooked.
MOST_WORDS: Final = 60_000

#: ``report`` RFC 3464, ``complaint`` RFC 5965, ``notice`` a server's report in plain text, ``robot`` answers by itself.
Kind = Literal["report", "complaint", "notice", "robot", "letter"]

_TO: Final = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To", "To", "Cc")
_TOKEN = re.compile(r"\+([a-z2-7]{18,29})@", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"]{1,64}@[^\s<>()\[\],;:\"]{1,255}")
_PARTS = re.compile(rb"multipart/|message/", re.IGNORECASE)
#: What may be a header anywhere in a letter, also of a part or of a mail in it, with its continuation.
_HEADER = re.compile(rb"^[!-9;-~]*[ \t]*:.*(?:\r?\n[ \t].*)*", re.MULTILINE)
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"\s*(?:smtp\s*;)?\s*(\d{3})(?:[ -]|$)\s*(.*)", re.IGNORECASE | re.DOTALL)
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_COPY = re.compile(
    r"^\s*-{2,}.{0,20}(below this line|this is a copy|included is a copy|(original|returned|unsent) message)"
    r"|^(received|return-path|message-id):",
    re.IGNORECASE | re.MULTILINE,
)
_AUTOMATIC = re.compile(
    r"\b(out of (the )?office|auto(matic|mated)?[- ]?(reply|response|answer)|away from (my|the) (office|desk|mail)"
    r"|vacation|on holiday|autoreply|autoresponder|abwesenheit|automatische antwort|absence du bureau"
    r"|r[eé]ponse automatique|respuesta autom[aá]tica|fuera de (la )?oficina|risposta automatica|afwezig)"
    r"|自动回复|自動回覆|自動回復|自动答复|自動応答|不在通知|자동 ?응답",
    re.IGNORECASE,
)
_SERVERS: Final = ("mailer-daemon", "postmaster", "mail-daemon", "mailerdaemon")
#: Where HTML begins to quote the mail that it answers.
_HTML_QUOTE = re.compile(
    r"<blockquote|<div[^>]{1,200}(gmail_quote|divRplyFwdMsg|appendonsend|OLK_SRC_BODY)", re.IGNORECASE
)
_NO_WORDS: Final = frozenset({"application/pgp-signature", "application/pkcs7-signature", "application/pgp-keys"})
_CHARSET = re.compile(r"(us-)?ascii|utf-?8|iso-?8859-\d+|windows-\d+|cp\d+|gb\w+|big5\w*|euc[-_]\w+|shift_?jis|koi8-\w")


@dataclass(frozen=True, slots=True)
class Recipient:
    """What a report says of one recipient. ``reply`` is the code and the text of a server's answer."""

    addresses: tuple[str, ...] = field(repr=False)
    action: str
    status: str  #: such as 5.1.1, or empty
    code: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """A mail that came back. ``tokens`` are what could be tokens of ours in the addresses it was sent to."""

    kind: Kind
    tokens: tuple[str, ...] = ()
    recipients: tuple[Recipient, ...] = ()  #: of a report
    feedback: str = ""  #: of a complaint: abuse, not-spam, ...
    addresses: tuple[str, ...] = field(default=(), repr=False)  #: that a notice speaks of
    text: str = field(default="", repr=False)  #: what a notice says
    says_stop: bool = False  #: subject or text is the word, and nothing else
    says_more: bool = False  #: a person wrote more than that
    links: tuple[str, ...] = field(default=(), repr=False)  #: of a complaint: the unsubscribe links of the mail
    robot: bool = False  #: it says of itself that a program answered
    mark: str = ""  #: of a letter or complaint: the same each time that it is read; may be empty


def read(raw: bytes) -> Returned:
    """Read one letter. Never raises."""
    raw = raw[:LARGEST]
    if len(_PARTS.findall(raw)) > MOST_PARTS or raw.count(b"\n--") > MOST_DASHES:  # a bomb of parts, or parts in parts
        return Returned("letter")
    if any(end - begin > LONGEST_HEADER for begin, end in (each.span() for each in _HEADER.finditer(raw))):
        return Returned("letter")
    try:
        return _read(message_from_bytes(raw, policy=policy.compat32))
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, MessageError):
        # the standard library's parser raises many kinds for headers that nobody should write
        return Returned("letter")


def _read(mail: Message) -> Returned:
    tokens = _tokens(text for name in _TO for text in _values(mail, name))
    parts = list(mail.walk())[: 2 * MOST_PARTS]
    kinds = {part.get_content_type(): part for part in reversed(parts)}
    status = kinds.get("message/delivery-status") or kinds.get("message/global-delivery-status")
    if status is not None:
        return Returned("report", tokens, tuple(_recipients(status)))
    feedback = kinds.get("message/feedback-report")
    if feedback is not None:
        said = _fields(feedback)
        own = [text for part in parts for name in ("Return-Path", "List-Unsubscribe") for text in _values(part, name)]
        found = (*tokens, *_tokens([*said.get("original-mail-from", []), *own]))
        links = tuple(link for text in own for link in re.findall(r"<(https?://[^<>\s]{1,500})>", text))[:MOST_TOKENS]
        feedback_type = _first(said, "feedback-type").lower()[:40]
        return Returned("complaint", found, feedback=feedback_type, links=links, mark=_mark(mail))
    text = _text(parts)
    subject = " ".join(_values(mail, "Subject"))[:500]
    from_server = _without_sender(mail)
    if from_server and _from_daemon(mail) and not _AUTOMATIC.search(subject):
        cut = _COPY.search(text)
        said_text = text if cut is None else text[: cut.start()]
        failed = " ".join(_values(mail, "X-Failed-Recipients"))[:MOST_TEXT]
        named = tuple(dict.fromkeys(_ADDRESS.findall(f"{failed} {said_text}")))[:MOST_RECIPIENTS]
        if named:
            return Returned("notice", tokens, addresses=named, text=said_text, robot=_robot(mail))
    if from_server or _robot(mail) or _AUTOMATIC.search(subject):
        return Returned("robot", tokens, robot=True)
    words, more = _words(parts)
    judged = of_letter(subject, words, more=more)
    return Returned("letter", tokens, says_stop=judged.stops, says_more=judged.more, mark=_mark(mail))


def _mark(mail: Message) -> str:
    """Give a hash by which a letter is known again. What a mailbox adds to it (Status, flags) is left out."""
    if not any(name in mail for name in ("Message-ID", "Date", "Received")):
        return ""
    own = [value for name in ("Message-ID", "Date", "Received", "From", "Subject") for value in _values(mail, name)]
    return sha256("\0".join(own).encode(errors="replace")).hexdigest()[:32]


def _tokens(texts: Iterator[str] | list[str]) -> tuple[str, ...]:
    found = (each.lower() for text in texts for each in _TOKEN.findall(text[:MOST_TEXT]))
    return tuple(dict.fromkeys(found))[:MOST_TOKENS]


def _values(mail: Message, name: str) -> list[str]:
    return [_shown(value) for value in (mail.get_all(name) or [])[:MOST_RECIPIENTS]]


def _shown(value: object) -> str:
    """Give a header as text; a word in a charset that nobody knows stays as it is written."""
    text = str(value)[:MOST_TEXT]
    if "=?" not in text:
        return text
    try:
        return "".join(
            _decoded(word, charset or "ascii") if isinstance(word, bytes) else word
            for word, charset in decode_header(text)
        )
    except (ValueError, MessageError):
        return text


def _decoded(raw: bytes, charset: str) -> str:
    """Give text of bytes in whatever charset they say: those that mail is written in, else as if it were UTF-8."""
    known = charset.strip().lower()
    for name in ("utf-8", known if _CHARSET.fullmatch(known) else "utf-8"):
        try:
            return raw.decode(name)
        except (UnicodeError, LookupError):
            continue
    return raw.decode("utf-8", "replace")


def _without_sender(mail: Message) -> bool:
    """Tell whether a mail system wrote it: the envelope's sender is empty, or unknown and the sender is a daemon."""
    path = " ".join(_values(mail, "Return-Path")).strip().lower()
    return path in {"<>", "<mailer-daemon>"} or (not path and _from_daemon(mail))


def _from_daemon(mail: Message) -> bool:
    sender = re.search(r"([^\s<>\"@]{1,64})(?:@|>|$)", " ".join(_values(mail, "From")).lower())
    return mail.get("X-Failed-Recipients") is not None or (sender is not None and sender[1] in _SERVERS)


def _robot(mail: Message) -> bool:
    """Tell whether a program answered by itself (RFC 3834, and what was usual before)."""
    submitted = " ".join(_values(mail, "Auto-Submitted")).strip().lower()
    precedence = " ".join(_values(mail, "Precedence")).strip().lower()
    return (
        submitted.startswith(("auto-replied", "auto-notified"))
        or precedence in {"bulk", "junk", "auto_reply", "list"}
        or any(mail.get(name) for name in ("X-Autoreply", "X-Autorespond", "X-AutoReply-From", "X-Autoresponse"))
        or mail.get_content_type() == "multipart/report"  # a receipt: the mail was shown, or deleted unread
    )


def _fields(part: Message) -> dict[str, list[str]]:
    """Give the fields of a report: those of its blocks one after the other, names in small letters."""
    found: dict[str, list[str]] = {}
    for block in _blocks(part):
        for name, value in block.items():
            found.setdefault(name.lower(), []).append(_shown(value))
    return found


def _blocks(part: Message) -> list[Message]:
    """Give the blocks of a report's fields, also of one that the parser took for a letter, or that is encoded."""
    inside = part.get_payload()
    found: list[Message] = []
    parts = inside if isinstance(inside, list) else [part]
    for each in parts:
        if not isinstance(each, Message):
            continue
        if each is not part:
            found.append(each)
        body = each.get_payload()
        if isinstance(body, str) and body.strip():
            raw = body.encode("utf-8", "surrogateescape")
            if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64":
                raw = b64decode(raw + b"==")
            blocks = re.split(rb"\r?\n\r?\n", raw.strip())[: MOST_RECIPIENTS + 1]
            found += [message_from_bytes(block, policy=policy.compat32) for block in blocks]
    return found[: MOST_RECIPIENTS + 1]


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0].strip()


def _recipients(part: Message) -> Iterator[Recipient]:
    for block in _blocks(part):
        fields: dict[str, list[str]] = {}
        for name, value in block.items():
            fields.setdefault(name.lower(), []).append(_shown(value))
        if "final-recipient" not in fields and "original-recipient" not in fields:
            continue
        named = [_address(each) for key in ("original-recipient", "final-recipient") for each in fields.get(key, [])]
        status = _STATUS.search(_first(fields, "status"))
        code, text = _reply(_first(fields, "diagnostic-code"))
        yield Recipient(
            addresses=tuple(each for each in named if 0 < len(each) <= LONGEST_ADDRESS)[:4],
            action=re.sub(r"[^a-z].*", "", _first(fields, "action").lower(), flags=re.DOTALL)[:20],
            status="" if status is None else status[1],
            code=code,
            text=text[:MOST_TEXT],
        )


def _address(field_text: str) -> str:
    """Give the address of ``rfc822; li@example.com``, with what xtext hides."""
    kind, semicolon, rest = field_text.partition(";")
    text = (rest if semicolon else kind).strip().strip("<>").strip()
    if "+" in text and _XTEXT.search(text):
        plain = _XTEXT.sub(lambda found: chr(int(found[1], 16)), text)
        return plain if plain.count("@") == 1 else text
    return text


def _reply(diagnostic: str) -> tuple[int, str]:
    """Give code and text of ``smtp; 550 5.1.1 <...>: no such user``; 0 where there is no code."""
    found = _REPLY.match(diagnostic)
    if found is None or not found[1].startswith(("2", "4", "5")):
        return 0, diagnostic
    return int(found[1]), found[2]


def _text(parts: list[Message]) -> str:
    """Give the beginning of the first text that a person would read."""
    for part in parts:
        if part.get_content_type() == "text/plain":
            raw = part.get_payload(decode=True)
            if isinstance(raw, bytes):
                return _decoded(raw[:MOST_TEXT], str(part.get_param("charset", "utf-8")))
    return ""


def _words(parts: list[Message]) -> tuple[str, bool]:
    """Give the text that a person sees, by HTML where there is no other, and whether there is more than that."""
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    marked = [part for part in parts if part.get_content_type() == "text/html"]
    text, more = _shown_text(plain)
    if not text.strip() and marked:
        html, longer = _shown_text(marked)
        quote = _HTML_QUOTE.search(html)
        text, more = text_of(html if quote is None else html[: quote.start()]), longer and quote is None
    return text, more or any(_is_enclosed(part) for part in parts)


def _shown_text(parts: list[Message]) -> tuple[str, bool]:
    raws = [each for part in parts if isinstance(each := part.get_payload(decode=True), bytes)]
    charsets = [str(part.get_param("charset", "utf-8")) for part in parts]
    shown = [_decoded(raw[:MOST_WORDS], charset) for raw, charset in zip(raws, charsets, strict=True)]
    return "\n".join(shown)[:MOST_WORDS], sum(map(len, raws)) > MOST_WORDS


def _is_enclosed(part: Message) -> bool:
    """Tell whether a person put it to the letter: a picture, a file. One that the HTML shows belongs to a signature."""
    if part.get_content_disposition() == "attachment":
        return part.get_content_type() not in _NO_WORDS
    kept = part.get_content_maintype() in {"multipart", "text", "message"} or part.get("Content-ID") is not None
    return not kept and part.get_content_type() not in _NO_WORDS
