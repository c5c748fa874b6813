"""The parts of an email's body: text, or text and HTML, or text and HTML with its pictures.

Put together by hand for this one shape, many times faster than by the standard library's ``EmailMessage``; its parser
reads the same from both. Every part is in seven bits: others are rewritten on the way, and a signature breaks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Final, Literal

_LONGEST_LINE: Final = 76  # what every gateway leaves alone
_PLAIN: Final = re.compile(rf"(?:[\t -~]{{0,{_LONGEST_LINE}}}\n)*")


def body(text: str, page: str | None, images: Mapping[str, bytes], message_id: str) -> bytes:
    """Give the body with the headers that say what it is, from ``MIME-Version`` on; CRLF line ends.

    ``images`` are PNG bytes by content id; those that ``page`` does not show are left out. The boundaries come from
    ``message_id``: the bytes of one message are the same on every attempt.
    """
    content = _text(text, "plain")
    if page is not None:
        shown = [_picture(name, png) for name, png in images.items() if f"cid:{name}" in page]
        html = _text(page, "html")
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
    head = b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: %s\r\n\r\n'
    return head % (subtype.encode(), encoding) + data.replace(b"\n", b"\r\n")


def _picture(name: str, png: bytes) -> bytes:
    head = (
        "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: inline; filename="code.png"\r\nContent-ID: <{name}>\r\n\r\n'
    )
    return head.encode() + base64.encodebytes(png).replace(b"\n", b"\r\n")
