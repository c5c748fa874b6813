"""Letters in a mailbox at a provider, by IMAP: what is not seen, each marked as seen only when it is settled.

A letter that was not understood stays unseen for a person, and gets a keyword so that it is not read again. The
certificate is verified, and a server that drips or falls silent is left after its time.
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal, TypeVar

from connectors.mailbox import LARGEST, MOST, Letter, MailboxError

#: Seconds that a reply may take, and all of it together.
REPLY: Final = 30.0
TOGETHER: Final = 300.0
#: Among so many letters the unseen are looked for at once.
PORTION: Final = 50_000
#: A letter that no machine understood: it is not read again, and a person still sees it as new.
LEFT: Final = "RegularsLeft"

#: A letter on the line itself, quoted: a server may write a short one so, and NIL for an empty one.
_SHORT: Final = re.compile(rb'BODY\[\](?:<\d+>)? (?:"((?:[^"\\]|\\.)*)"|NIL)', re.IGNORECASE)

_T = TypeVar("_T")


class ImapMailbox:
    """One folder of a mailbox.

    ``tls`` is ``tls`` (from the first byte), ``starttls`` (never falls back to plaintext) or ``none``. ``context`` is
    by default one that verifies against the system's certificates. ``seconds`` bounds all of it together.
    """

    def __init__(  # noqa: PLR0917 (they are the settings of the config)
        self,
        host: str,
        port: int,
        tls: Literal["tls", "starttls", "none"],
        user: str,
        password: str,
        folder: str = "INBOX",
        *,
        context: ssl.SSLContext | None = None,
        seconds: float = TOGETHER,
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._user, self._password, self._folder = user, password, folder
        self._context = context
        self._seconds = seconds
        self._client: imaplib.IMAP4 | None = None
        self._late: threading.Timer | None = None
        self._keyword = False
        self._count = 0  #: letters in the folder, seen or not
        self.left = 0

    def letters(self) -> Iterator[Letter]:
        """Give the unseen letters, the newest ``MOST`` of them, oldest first."""
        client = self._asked(self._opened)
        found = self._asked(lambda: self._unseen(client))
        self.left = max(0, len(found) - MOST)
        withheld = 0
        for uid in found[-MOST:]:
            try:
                raw = self._asked(partial(_body, client, uid))
            except _WithheldError:  # damaged, as some servers have them: it keeps back no other
                withheld += 1
                continue
            if raw is not None:
                yield Letter(uid, raw)
        if withheld:
            raise MailboxError(
                f"The mailbox at {self._host} does not give {withheld} of its unread letters: look at them with a mail "
                "program, and delete them or mark them as read."
            )

    def settle(self, letter: Letter, *, understood: bool) -> None:
        """Mark the letter as seen; or, where it was not understood, with the keyword, if the server has keywords."""
        client = self._client
        if client is None:
            return
        if understood or self._keyword:
            flag = r"(\Seen)" if understood else f"({LEFT})"
            self._asked(lambda: _ok(client.uid("STORE", letter.name, "+FLAGS.SILENT", flag)))

    def close(self) -> None:
        """Say LOGOUT and hang up, whatever the server makes of it."""
        if self._late is not None:
            self._late.cancel()
        if self._client is not None:
            with contextlib.suppress(OSError, imaplib.IMAP4.error, ValueError, AttributeError):
                self._client.logout()
            with contextlib.suppress(OSError, AttributeError):
                self._client.shutdown()  # a logout that fails leaves the line open
            self._client = None

    def _asked(self, ask: Callable[[], _T]) -> _T:
        """Ask the server; whatever goes wrong on the way is one sentence. The server's own words are not repeated."""
        where = f"The mailbox at {self._host} cannot be read"
        try:
            return ask()
        except ssl.SSLCertVerificationError:
            raise MailboxError(f"{where}: its certificate is not valid for that name, or is not trusted.") from None
        except ssl.SSLError:
            raise MailboxError(f"{where}: TLS with it fails. Check port and tls in the config.") from None
        except TimeoutError:
            raise MailboxError(f"{where}: it does not answer in time.") from None
        except OSError as error:
            raise MailboxError(f"{where}: {error.strerror or 'the connection failed'}.") from None
        except _RefusedError as refused:
            raise MailboxError(f"{where}: {refused}.") from None
        except (imaplib.IMAP4.error, ValueError, TypeError, IndexError, AttributeError):
            # `imaplib` raises any of these for a reply that it does not understand
            raise MailboxError(f"{where}: it hung up, or its answers are no IMAP.") from None

    def _opened(self) -> imaplib.IMAP4:
        context = self._context or ssl.create_default_context()
        if self._tls == "tls":
            client: imaplib.IMAP4 = _OverTls(self._begin, self._host, self._port, ssl_context=context, timeout=REPLY)
        else:
            client = _Plain(self._begin, self._host, self._port, timeout=REPLY)
        known = client.state == "AUTH"  # it let us in by where we come from
        if self._tls == "starttls":
            if known:
                raise _RefusedError("it lets us in before the line is encrypted; set `tls` in the config otherwise")
            if "STARTTLS" not in client.capabilities:
                raise _RefusedError("it offers no STARTTLS, and the password does not travel in the open")
            client.starttls(ssl_context=context)
        if not known:
            self._log_in(client)
        try:
            typ, exists = client.select(_quoted(self._folder))
        except imaplib.IMAP4.readonly:
            raise _RefusedError("the user may only look at the folder, and no letter could be marked as read") from None
        if typ != "OK":
            raise _RefusedError("it has no such folder; see `folder` in the config")
        self._count = int(exists[0] or 0)
        flags = b" ".join(each for each in (client.response("PERMANENTFLAGS")[1] or []) if isinstance(each, bytes))
        self._keyword = rb"\*" in flags or LEFT.encode() in flags
        return client

    def _begin(self, client: imaplib.IMAP4) -> None:
        """Cut the line when the time for all of it is over: a socket's timeout begins anew with each byte."""
        self._client = client
        self._late = threading.Timer(self._seconds, _cut, [client])
        self._late.daemon = True
        self._late.start()

    def _log_in(self, client: imaplib.IMAP4) -> None:
        try:
            if "AUTH=PLAIN" in client.capabilities:
                words = f"\0{self._user}\0{self._password}".encode()
                client.authenticate("PLAIN", lambda _: words)
            else:
                _quoted(self._password)  # looked at only: `imaplib` quotes it itself
                client.login(_quoted(self._user), self._password)
        except imaplib.IMAP4.abort:
            raise
        except (imaplib.IMAP4.error, UnicodeError):
            raise _RefusedError("it refuses the user or the password") from None

    def _unseen(self, client: imaplib.IMAP4) -> list[str]:
        """Give the newest that are unseen, the oldest first; looked for in portions, for no answer may be endless."""
        wanted = ["UNSEEN", "UNKEYWORD", LEFT] if self._keyword else ["UNSEEN"]
        found: set[bytes] = set()
        for last in range(self._count, 0, -PORTION):
            _, data = _ok(client.uid("SEARCH", f"{max(last - PORTION, 0) + 1}:{last}", *wanted))
            words = b" ".join(each for each in data if isinstance(each, bytes)).split()
            found |= {each for each in words if re.fullmatch(rb"\d{1,10}", each)}
            if len(found) > MOST:
                break
        return sorted((each.decode("ascii") for each in found), key=int)


class _RefusedError(Exception):
    """The server answered, and says no."""


class _WithheldError(Exception):
    """The server has a letter and does not give it."""


class _Bounded(imaplib.IMAP4):
    """Reads no more than a letter at once, however much a server announces; says when its line is open."""

    def __init__(self, begin: Callable[[imaplib.IMAP4], None], *args: Any, **settings: Any) -> None:
        self._begin = begin
        super().__init__(*args, **settings)

    def open(self, *args: Any, **settings: Any) -> None:
        super().open(*args, **settings)
        self._begin(self)

    def read(self, size: int) -> bytes:
        if size > LARGEST + 1_000:
            raise self.error("too much at once")
        return super().read(size)


class _Plain(_Bounded):
    """Without TLS, or before STARTTLS."""


class _OverTls(_Bounded, imaplib.IMAP4_SSL):
    """With TLS from the first byte."""


def _ok(reply: tuple[str, list[Any]]) -> tuple[str, list[Any]]:
    if reply[0] != "OK":
        raise _RefusedError("it says no to reading or marking letters")
    return reply


def _body(client: imaplib.IMAP4, uid: str) -> bytes | None:
    typ, data = client.uid("FETCH", uid, f"(BODY.PEEK[]<0.{LARGEST}>)")
    if typ != "OK":
        raise _WithheldError
    for each in data:
        if isinstance(each, tuple) and len(each) > 1:
            return bytes(each[1])[:LARGEST]
        if isinstance(each, bytes) and (short := _SHORT.search(each)) is not None:
            return b"" if short[1] is None else re.sub(rb"\\(.)", rb"\1", short[1])
    return None


def _quoted(text: str) -> str:
    """Give a string of IMAP; a line end in it would be a second command."""
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise _RefusedError("the user or the folder holds an invisible control sign")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _cut(client: imaplib.IMAP4) -> None:
    with contextlib.suppress(OSError, AttributeError):
        client.socket().shutdown(socket.SHUT_RDWR)
