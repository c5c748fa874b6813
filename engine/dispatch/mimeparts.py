"""The parts of an email's body: text, or text and HTML, or text and HTML with its pictures.

Put together by hand for this one shape, many times faster than by the standard library's ``EmailMessage``; its parser
reads the same from both. Every part is in seven bits: others are rewritten on the way, and a signature breaks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

_LONGEST_LINE: Final = 76  # what every gateway leaves alone
_LONGEST_KEPT: Final = 32_768  #: letters of a piece that is kept encoded: a longer one is no template's of ours
_PLAIN: Final = re.compile(rf"(?:[\t -~]{{0,{_LONGEST_LINE}}}\n)*")


def body(
    text: str, page: str | None, images: Mapping[str, bytes], message_id: str, pieces: Sequence[str] = ()
) -> bytes:
    """Give the body with the headers that say what it is, from ``MIME-Version`` on; CRLF line ends.

    ``images`` are PNG bytes by content id; those that ``page`` does not show are left out. The boundaries come from
    ``message_id``: the bytes of one message are the same on every attempt. ``pieces`` are those that make up ``page``,
    most of them the same in every message, where they are known.
    """
    content = _text(text, "plain")
    if page is not None:
        shown = [_picture(name, png) for name, png in images.items() if f"cid:{name}" in page]
        html = _joined(pieces, "html") or _text(page, "html")
        if shown:
            html = _multipart("related", [html, *shown], f"{message_id}/1")
        content = _multipart("alternative", [content, html], f"{message_id}/0")
    return b"MIME-Version: 1.0\r\n" + content


def _multipart(subtype: Literal["alternative", "related"], parts: list[bytes], name: str) -> bytes:
    # "=_" occurs neither in quoted-printable nor in base64, so no line of a part can be taken for a boundary.
    boundary = f"=_{hashlib.sha256(name.encode()).hexdigest()[:24]}".encode()
    head = b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % (subtype.encode(), boundary)
    return head + b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts) + b"--%s--\r\n" % boundary


def _text(text: str, subtype: Literal["plain", "html"]) -> bytes:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text if text.endswith("\n") else f"{text}\n"
    data = text.encode("utf-8", "replace")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    if _PLAIN.fullmatch(text):
        encoding = b"7bit"
    elif foreign * 6 > len(text):
        encoding, data = b"base64", base64.encodebytes(data.replace(b"\n", b"\r\n"))
    else:
        encoding, data = b"quoted-printable", binascii.b2a_qp(data)
    return _head(subtype, encoding) + data.replace(b"\n", b"\r\n")


def _head(subtype: Literal["plain", "html"], encoding: bytes) -> bytes:
    head = b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: %s\r\n\r\n'
    return head % (subtype.encode(), encoding)


class _Piece(NamedTuple):
    """A piece of a text in quoted-printable, to be put behind another."""

    data: bytes  #: CRLF line ends
    first: int  #: signs of its first line
    last: int  #: and of its last; -1: it has one only
    letters: int
    foreign: int  #: of the letters
    plain: bool  #: it could stand in seven bits as it is, for all that this piece says


def _joined(pieces: Sequence[str], subtype: Literal["plain", "html"]) -> bytes | None:
    """Give a text put together of pieces, each encoded once; None where it is to be encoded as a whole, or not so."""
    made = [(_piece if len(each) <= _LONGEST_KEPT else _piece.__wrapped__)(each) for each in pieces]
    column, parts = 0, []
    letters, foreign = sum(each.letters for each in made), sum(each.foreign for each in made)
    if foreign * 6 > letters or all(each.plain for each in made) or any("\r" in each for each in pieces):
        return None
    for data, first, last, _, _, _ in made:
        if column and column + first > _LONGEST_LINE - (last < 0):  # a line that may go on leaves room for its "="
            parts.append(b"=\r\n")
            column = 0
        parts.append(data)
        column = column + first if last < 0 else last
    end = b"" if column == 0 else b"\r\n"
    return b"".join([_head(subtype, b"quoted-printable"), *parts, end])


@lru_cache(maxsize=2048)
def _piece(text: str) -> _Piece:
    data = text.encode("utf-8", "replace")
    # What stands behind it is not known: so its last line leaves room for one more, and a blank at its end is encoded.
    encoded = binascii.b2a_qp(data) if data.endswith((b" ", b"\t")) else binascii.b2a_qp(data + b"x")[:-1]
    lines = encoded.split(b"\n")
    return _Piece(
        data=b"\r\n".join(lines),
        first=len(lines[0]),
        last=len(lines[-1]) if len(lines) > 1 else -1,
        letters=len(text),
        foreign=len(text) - len(text.encode("ascii", "ignore")),
        plain=_PLAIN.fullmatch(f"{text}\n") is not None,
    )


def _picture(name: str, png: bytes) -> bytes:
    head = (
        "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: inline; filename="code.png"\r\nContent-ID: <{name}>\r\n\r\n'
    )
    return head.encode() + base64.encodebytes(png).replace(b"\n", b"\r\n")
