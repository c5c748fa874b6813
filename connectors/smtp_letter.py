"""One message as it goes over the wire: envelope, parameters, and the body with its dots doubled, made once."""

from __future__ import annotations

import contextlib
import re
from functools import cached_property

from connectors.base import Message
from connectors.domains import domain_in_ascii
from connectors.smtp_replies import UnfitError

_UNFIT_FOR_ENVELOPE = re.compile(r"[\x00-\x20\x7f<>]")
_PLAIN = re.compile(r"[!-;=?A-~]+@[!-;=?A-~]+")  # ASCII, with one @ and no angle bracket
#: All bytes but those of line ends.
_NO_ENDS = bytes(each for each in range(256) if each not in b"\r\n")


class Letter:
    """Envelope and body of a message. Raises ``UnfitError`` for an address that no server may be given."""

    def __init__(self, message: Message) -> None:
        self.sender = _address(message.sender)
        self.recipient = _address(message.recipient)
        self._content = body = message.body if isinstance(message.body, bytes) else message.body.encode()
        self.size = len(body)
        self.eight_bit = not body.isascii()
        # An address in other letters stands in the head as it is (RFC 6532).
        head = body.partition(b"\r\n\r\n")[0] if self.eight_bit else b""
        self.utf8 = not (self.sender.isascii() and self.recipient.isascii() and head.isascii())

    @cached_property
    def body(self) -> bytes:
        """What is said before the dot: looked at, and its dots doubled, when it is first asked for.

        Raises ``UnfitError`` for what no server may be given.
        """
        ends = self._content.translate(None, _NO_ENDS)
        if ends != b"\r\n" * (len(ends) // 2):
            # Servers that take one for a line end could be made to see a second message.
            raise UnfitError("bare line end")
        return _without_its_end(self._content)

    def prepare(self) -> None:
        """Make the body now; that it is unfit is said when it is asked for."""
        with contextlib.suppress(UnfitError):
            _ = self.body

    def envelope(self, offered: dict[str, str]) -> tuple[bytes, bytes, bytes]:
        """Give the lines of MAIL, RCPT and DATA for a server that offers these extensions.

        Raises ``UnfitError`` where it cannot carry the message.
        """
        encoding = "utf-8" if self.utf8 else "ascii"
        mail = f"MAIL FROM:<{self.sender}>{self._parameters(offered)}\r\n"
        return mail.encode(encoding), f"RCPT TO:<{self.recipient}>\r\n".encode(encoding), b"DATA\r\n"

    def _parameters(self, offered: dict[str, str]) -> str:
        """Give the parameters of MAIL that this letter needs and this server has."""
        if self.eight_bit and "8bitmime" not in offered:
            raise UnfitError("no 8BITMIME")
        if self.utf8 and "smtputf8" not in offered:
            raise UnfitError("no SMTPUTF8")
        size = offered.get("size")
        if size is not None and size.isdecimal() and 0 < int(size) < self.size:
            raise UnfitError("552 5.3.4")
        said = "" if size is None else f" SIZE={self.size}"
        return f"{said}{' BODY=8BITMIME' if self.eight_bit else ''}{' SMTPUTF8' if self.utf8 else ''}"


def _without_its_end(body: bytes) -> bytes:
    """Double the dots that begin a line, and leave the last line break out: it goes with the dot."""
    dotted = body.replace(b"\n.", b"\n..")
    dotted = b"." + dotted if dotted.startswith(b".") else dotted
    return dotted.removesuffix(b"\r\n")


def _address(address: str) -> str:
    if _PLAIN.fullmatch(address):
        return address
    if _UNFIT_FOR_ENVELOPE.search(address) or address.count("@") != 1:
        raise UnfitError("bad address")
    local, _, domain = address.partition("@")
    try:
        return f"{local}@{domain_in_ascii(domain)}"
    except UnicodeError:
        raise UnfitError("bad address") from None
