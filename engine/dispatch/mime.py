"""An email's bytes: headers written by hand, what marketing mail must show, and a check before they go.

The standard library's ``email`` refolds headers, encodes long URLs in ``List-Unsubscribe`` (which breaks one-click) and
reads an encoded word in a guest's name as if we had meant it. So every header that carries a value is ours.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache
from typing import Final, Literal, Protocol

from connectors.domains import domain_in_ascii
from engine.dispatch.mimeparts import body
from engine.dispatch.plaintext import text_of
from engine.dispatch.render import RenderedEmail

_LONGEST_LINE: Final = 998  # RFC 5322, without the line end
_WORDS = r"[^\s\x00-\x1f\x7f<>()\[\]:;@\\,\".]+(?:\.[^\s\x00-\x1f\x7f<>()\[\]:;@\\,\".]+)*"
#: A dot at an end, or two in a row, is read by one program as it stands, by another in quotes, by a third not at all.
_ADDRESS = re.compile(f"{_WORDS}@{_WORDS}")
_HEADER = re.compile(r"[!-9;-~]+")
_FOLD = re.compile(r"\r\n(?=[ \t])")
_MUST_HAVE: Final = frozenset({"from", "to", "subject", "date", "message-id", "mime-version"})
_NO_ENDS: Final = bytes(each for each in range(256) if each not in b"\r\n")
_NO_ENCODED_WORD = ("list-", "message-id:", "to:")
_MAY_REPEAT: Final = frozenset({"dkim-signature"})
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~.,-]{1,900}")
_SHORT_HEADER: Final = 74  # letters of name and text that need no second line
_LONGEST_PLAIN_WORD: Final = 60  # a longer one would be put on a line of its own, with a blank before it


class MessageError(Exception):
    """The message cannot be built or is not fit to leave. Says what is wrong, and names nobody."""


class Sender(Protocol):
    """Who writes: a name that guests read, and an address."""

    @property
    def name(self) -> str:
        """The name, perhaps empty."""
        ...

    @property
    def address(self) -> str:
        """The address."""
        ...


class Business(Protocol):
    """Whose mail it is: what the law wants to stand in it."""

    @property
    def name(self) -> str:
        """The legal name."""
        ...

    @property
    def address(self) -> str:
        """The postal address."""
        ...


#: (why, the link's words, and for a home without a page: how to stop it), by language.
_FOOTERS: Final = {
    "en": (
        "You get this email as a guest of {name}.",
        "Unsubscribe",
        'To stop it, reply with the word "unsubscribe".',
    ),
    "zh": ("您是{name}的顾客，因此收到这封邮件。", "退订", "如不想再收到，请回复“退订”。"),
    "zh-hant": ("您是{name}的顧客，因此收到這封郵件。", "取消訂閱", "如不想再收到，請回覆「退訂」。"),
}


def email_bytes(
    rendered: RenderedEmail,
    *,
    sender: Sender,
    recipient: str,
    message_id: str,
    date: datetime,
    unsubscribe_url: str | None,
    business: Business,
    test: bool = False,
    signed: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """Build one message for one recipient, CRLF line ends, and check it.

    ``unsubscribe_url`` (https or mailto) makes it marketing mail: it gets List-Unsubscribe and, where the template does
    not show them, legal name, postal address and a visible way out. ``test`` marks it as a preview and leaves the
    List headers out: nobody unsubscribes a guest by trying. ``signed`` puts signatures before the finished message.
    The same arguments give the same bytes.

    ``MessageError`` where the result would not be fit to leave.
    """
    if unsubscribe_url is not None and not business.address.strip():
        raise MessageError("marketing mail needs the business's postal address (business: address: in the config)")
    by_reply = unsubscribe_url is not None and unsubscribe_url.startswith(f"mailto:{sender.address}?")
    text, page = _complete(rendered, unsubscribe_url, business, by_reply=by_reply)
    headers = [
        ("From", _mailbox(sender)),
        ("To", _address(recipient, "recipient")),
        ("Subject", _text_header("Subject", f"TEST: {rendered.subject}" if test else rendered.subject)),
        ("Date", _date(date, date.tzinfo)),
        ("Message-ID", message_id),
    ]
    if unsubscribe_url is not None and not test:
        headers.append(("List-Unsubscribe", f"<{unsubscribe_url}>"))
        if not unsubscribe_url.startswith("mailto:"):
            headers.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers).encode()
    pieces = rendered.pieces if page is rendered.html else ()  # with a footer in it they are no longer known
    data = signed(head + body(text, page, rendered.images, message_id, pieces))
    check_bytes(data)
    return data


def check_bytes(data: bytes) -> None:
    """Check a whole message: no bare CR or LF, no line over 998, no encoded word where none may be, one of each header.

    ``MessageError`` says what is wrong.
    """
    ends = data.translate(None, _NO_ENDS)
    if ends != b"\r\n" * (len(ends) // 2):
        raise MessageError("the message has a bare line end")
    if _has_a_long_line(data):
        raise MessageError(f"the message has a line of more than {_LONGEST_LINE} characters")
    head = data.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")
    seen: set[str] = set()
    for line in _FOLD.sub("", head).split("\r\n"):
        name, colon, _ = line.partition(":")
        lowered = name.lower()
        if not colon or not _HEADER.fullmatch(name) or (lowered in seen and lowered not in _MAY_REPEAT):
            raise MessageError("the message has a broken or repeated header")
        seen.add(lowered)
        if "=?" in line and line.lower().startswith(_NO_ENCODED_WORD):
            raise MessageError(f"the header {name} holds an encoded word")
    if not seen >= _MUST_HAVE:
        raise MessageError("the message lacks a header that it must have")


def _has_a_long_line(data: bytes) -> bool:
    """Tell whether a line is too long, where all line ends are CR LF: the last one within reach is looked for."""
    begin, reach = 0, _LONGEST_LINE + len(b"\r\n")
    while len(data) - begin > _LONGEST_LINE:
        end = data.rfind(b"\n", begin, begin + reach)
        if end < 0:
            return True
        begin = end + 1
    return False


def _complete(
    rendered: RenderedEmail, unsubscribe_url: str | None, business: Business, *, by_reply: bool
) -> tuple[str, str | None]:
    """Give text and HTML, with what marketing mail must show added where the template does not show it.

    ``by_reply``: a mail to the sender stops it, so an answer does.
    """
    text, page = rendered.text, rendered.html
    if unsubscribe_url is None:
        return text, page
    why, words, answer = _footer_words(rendered.language)
    missing = _missing_from(text, unsubscribe_url, business)
    if missing:
        way_out = answer if by_reply else f"{words}: {unsubscribe_url}"
        lines = [f"{business.name}, {business.address}", why.format(name=business.name)]
        text = "\n".join([text, "", "-- ", *lines, *([way_out] if "unsubscribe" in missing else [])])
    if page is not None:
        seen = text_of(page) if rendered.seen is None else rendered.seen
        missing = _missing_from(seen, unsubscribe_url, business)
        if missing:
            foot = _footer_html(unsubscribe_url, business, missing, rendered.language, by_reply=by_reply)
            page = _with_footer(page, foot)
    return text, page


def _missing_from(
    shown: str, unsubscribe_url: str, business: Business
) -> set[Literal["name", "address", "unsubscribe"]]:
    """Tell what of the three a reader does not see. White space and case do not count."""
    seen = _folded(shown)
    wanted: dict[Literal["name", "address", "unsubscribe"], str] = {
        "name": business.name,
        "address": business.address,
        "unsubscribe": unsubscribe_url,
    }
    return {what for what, text in wanted.items() if _folded(text) not in seen}


@lru_cache(maxsize=16)  # name and address of the business are looked for in every message
def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _footer_words(language: str) -> tuple[str, str, str]:
    tag = language.casefold()
    if tag.startswith(("zh-hant", "zh-tw", "zh-hk", "zh-mo")):
        return _FOOTERS["zh-hant"]
    return _FOOTERS.get(tag.partition("-")[0], _FOOTERS["en"])


def _footer_html(
    unsubscribe_url: str,
    business: Business,
    missing: set[Literal["name", "address", "unsubscribe"]],
    language: str,
    *,
    by_reply: bool,
) -> str:
    why, words, answer = _footer_words(language)
    lines = [f"{business.name}, {business.address}", why.format(name=business.name)]
    escaped = [html.escape(line) for line in lines]
    if "unsubscribe" in missing:
        link = f'<a href="{html.escape(unsubscribe_url)}" style="color:#555555">{html.escape(words)}</a>'
        escaped.append(f"{html.escape(answer)} {link}" if by_reply else link)
    style = "font-family:sans-serif;font-size:13px;line-height:1.5;color:#555555;text-align:center;padding:16px"
    return f'<div style="{style}">{"<br>".join(escaped)}</div>'


def _with_footer(page: str, footer: str) -> str:
    ends = list(re.finditer(r"</body\s*>", page, re.IGNORECASE))
    at = ends[-1].start() if ends else len(page)
    return page[:at] + footer + page[at:]


@lru_cache(maxsize=4)  # many are made in one second
def _date(date: datetime, _zone: tzinfo | None) -> str:
    return format_datetime(date)


def _mailbox(sender: Sender) -> str:
    address = _address(sender.address, "sender")
    if not sender.name:
        return address
    if _PLAIN_WORDS.fullmatch(sender.name) and "=?" not in sender.name:
        return f'"{sender.name}" <{address}>'
    return f"{_text_header('From', sender.name, force=True)} <{address}>"


def _address(address: str, whose: str) -> str:
    """Give the bare address for a header: no display name, nothing that a parser could split; its domain in ASCII."""
    if not _ADDRESS.fullmatch(address):
        raise MessageError(f"the {whose}'s address cannot stand in a message")
    local, _, domain = address.partition("@")
    try:
        return f"{local}@{domain_in_ascii(domain)}"
    except UnicodeError:
        raise MessageError(f"the {whose}'s address cannot stand in a message") from None


@lru_cache(maxsize=64)  # the sender's name is in every message, and many share a subject
def _text_header(name: str, text: str, *, force: bool = False) -> str:
    """Write a text for a header so that a reader gets exactly it: encoded unless it is plain ASCII and looks it."""
    text = " ".join(text.split())
    plain = text.isascii() and text.isprintable() and "=?" not in text and not force
    plain = plain and all(len(word) <= _LONGEST_PLAIN_WORD for word in text.split())
    if plain and len(name) + len(text) <= _SHORT_HEADER:
        return text
    header = Header(text, "us-ascii" if plain else "utf-8", header_name=name, maxlinelen=76)
    return header.encode(linesep="\r\n")
