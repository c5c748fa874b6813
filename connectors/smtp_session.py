"""One SMTP conversation: ``smtplib`` for EHLO and AUTH, with strict replies and one deadline for each phase.

``smtplib`` alone reports a drop before and after the dot alike, does not verify certificates in ``starttls()``, takes
any line for a reply, and its timeouts do not bound a server that drips.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import smtplib
import socket
import ssl
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from connectors.deadline import Deadline
from connectors.smtp_replies import FaultError, Phase, RefusedError, Reply, UnsafeError

Tls = Literal["starttls", "tls", "none"]

#: Seconds for each phase; all of them together stay below the 15 minutes of a lease.
DEADLINES: Mapping[Phase, float] = {
    "connect": 30,
    "greeting": 60,
    "EHLO": 30,
    "STARTTLS": 30,
    "TLS": 30,
    "AUTH": 30,
    "MAIL": 30,
    "RCPT": 60,
    "DATA": 30,
    "body": 120,
    "dot": 300,  # RFC 5321 allows ten minutes; what takes five is uncertain and looked at by a person
}

_CHALLENGE = 334
_MOST_CHALLENGES = 5
_SIGNED_IN = (235, 503)  # the second: already
_LONGEST_LINE = 2000  # RFC 5321 says 512; some servers write more
_LONGEST_REPLY = 64_000
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?")


class Session(smtplib.SMTP):
    """A conversation with a server; ``phase`` tells where it stands.

    A break raises ``FaultError``, a no ``RefusedError``, and what would put the message at risk ``UnsafeError``.
    """

    def __init__(self, host: str, port: int, local_hostname: str | None, deadlines: Mapping[Phase, float]) -> None:
        super().__init__(local_hostname=local_hostname or "localhost")
        self._own_name = local_hostname
        self._address = (host, port)
        self._deadlines = {**DEADLINES, **deadlines}
        self._unread = bytearray()
        self.served = 0  #: messages that were tried on it
        self.phase: Phase = "connect"
        self._deadline = Deadline(self._deadlines["connect"])

    def enter(self, phase: Phase) -> None:
        """Begin a phase: its deadline starts now."""
        self.phase = phase
        self._deadline = Deadline(self._deadlines[phase])

    def open(self, tls: Tls, context: ssl.SSLContext | None, user: str, password: str) -> None:
        """Connect, secure the line as asked (never less; ``context`` is for that), and sign in when there is a user."""
        self._connect()
        if tls == "tls":
            self._secure(context)
        self.enter("greeting")
        self._need(self.getreply(), *range(200, 300))
        self._greet()
        if tls == "starttls":
            self._start_tls(context)
        if user:
            self._sign_in(user, password, secured=tls != "none")

    def command(self, phase: Phase, line: str, *wanted: int) -> Reply:
        """Say one line and read the reply; ``RefusedError`` unless its code is one of those wanted."""
        self.enter(phase)
        self.putcmd(line)
        return self._need(self.getreply(), *wanted)

    def reply(self) -> Reply:
        """Read one reply in the present phase."""
        code, text = self.getreply()
        return Reply(code, text.decode("ascii", "replace"))

    def spoke_out_of_turn(self) -> bool:
        """Tell whether bytes of the server lie unread, or it hung up, although it was not asked anything.

        The bytes are kept for ``reply``; a closed line raises ``FaultError``.
        """
        if self._unread:
            return True
        sock = self._line()
        try:
            sock.setblocking(False)
            self._unread += sock.recv(4096) or self._dropped()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self._dropped()
        return True

    def send(self, s: Any) -> None:
        """Write all bytes within the phase's deadline (``smtplib`` calls this too)."""
        data = s.encode(self.command_encoding) if isinstance(s, str) else bytes(s)
        sock = self._line()
        view = memoryview(data)
        try:
            while view:
                sock.settimeout(self._deadline.left())
                view = view[sock.send(view) :]
        except TimeoutError:
            raise FaultError("timeout") from None
        except OSError:
            self._dropped()

    def getreply(self) -> tuple[int, bytes]:
        """Read one whole reply, however many lines it has, and no byte more than a sane reply can have."""
        code, lines, size = b"", [], 0
        while True:
            line = self._read_line()
            size += len(line)
            parts = _LINE.fullmatch(line)
            if parts is None or (code and parts[1] != code) or size > _LONGEST_REPLY:
                raise FaultError("nonsense")
            code = parts[1]
            lines.append((parts[3] or b"").strip())
            if parts[2] != b"-":
                return int(code), b"\n".join(lines)

    def auth(self, mechanism: str, authobject: Any, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        """Sign in by one mechanism. As in ``smtplib``, but a password may hold any letter (RFC 4616)."""
        first = authobject() if initial_response_ok else None
        said = "" if first is None else f" {b64encode(first.encode()).decode()}"
        code, text = self.docmd("AUTH", mechanism + said)
        self._auth_challenge_count = int(first is not None)  # LOGIN goes by it
        while code == _CHALLENGE and self._auth_challenge_count < _MOST_CHALLENGES:
            self._auth_challenge_count += 1
            answer = authobject(a2b_base64(text))
            code, text = self.docmd(b64encode(answer.encode()).decode())
        if code not in _SIGNED_IN:
            raise smtplib.SMTPAuthenticationError(code, text)
        return code, text

    def auth_cram_md5(self, challenge: bytes | None = None) -> str | None:  # type: ignore[override]
        """Answer a challenge with a digest of it and the password, also one in other letters."""
        if challenge is None:
            return None
        return f"{self.user} {hmac.new(str(self.password).encode(), challenge, 'md5').hexdigest()}"

    def hang_up(self, *, politely: bool = False) -> None:
        """Close the line; what happens on QUIT is of no interest. Never raises."""
        if politely and self.sock is not None:
            with contextlib.suppress(FaultError):
                self._deadline = Deadline(min(1.0, self._deadlines["MAIL"]))
                self.putcmd("QUIT")
                self.getreply()
        with contextlib.suppress(OSError):
            self.close()

    def _connect(self) -> None:
        self.enter("connect")
        host, port = self._address
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise FaultError("no address") from None
        what = "refused"
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self._deadline.left())
                sock.connect(address)
            except OSError as error:
                sock.close()
                what = "timeout" if isinstance(error, TimeoutError) else "refused"
                continue
            # Body and dot are two small writes: with Nagle's algorithm the second waits 40 ms (measured).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = sock
            if self._own_name is None:
                here = sock.getsockname()[0]
                self.local_hostname = f"[IPv6:{here}]" if family == socket.AF_INET6 else f"[{here}]"
            return
        raise FaultError(what)

    def _greet(self) -> None:
        self.enter("EHLO")
        code, text = self.ehlo()
        if code // 100 == 5 and code != 554:  # noqa: PLR2004 (an old server knows HELO only)
            code, text = self.helo()
        self._need((code, text), 250)

    def _start_tls(self, context: ssl.SSLContext | None) -> None:
        if not self.has_extn("starttls"):
            raise UnsafeError("no STARTTLS")
        self.command("STARTTLS", "STARTTLS", 220)
        if self._unread:
            raise UnsafeError("plaintext after STARTTLS")  # somebody in between wants it read as if it were protected
        self._secure(context)
        self.esmtp_features = {}
        self.helo_resp = self.ehlo_resp = None
        self.does_esmtp = False
        self._greet()

    def _secure(self, context: ssl.SSLContext | None) -> None:
        self.enter("TLS")
        sock = self._line()
        try:
            sock.settimeout(self._deadline.left())
            self.sock = (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=self._address[0])
        except ssl.SSLCertVerificationError:
            raise UnsafeError("bad certificate") from None
        except TimeoutError:
            raise FaultError("timeout") from None
        except OSError:
            raise FaultError("no TLS") from None

    def _sign_in(self, user: str, password: str, *, secured: bool) -> None:
        self.enter("AUTH")
        if not secured and not self._is_loopback():
            raise UnsafeError("a password but no TLS")
        try:
            self.login(user, password)
        except smtplib.SMTPAuthenticationError as error:
            code, text = error.smtp_code, error.smtp_error
            raise RefusedError(
                Reply(code, text.decode("ascii", "replace") if isinstance(text, bytes) else text)
            ) from None
        except (smtplib.SMTPException, UnicodeError):
            raise UnsafeError("no way to sign in") from None
        except ValueError:  # a challenge that is not base64
            raise FaultError("nonsense") from None

    def _is_loopback(self) -> bool:
        here = str(self._line().getpeername()[0])
        return here.startswith("127.") or here in {"::1", "::ffff:127.0.0.1"}

    def _need(self, got: tuple[int, bytes], *wanted: int) -> Reply:
        reply = Reply(got[0], got[1].decode("ascii", "replace"))
        if reply.code not in wanted:
            raise RefusedError(reply)
        return reply

    def _read_line(self) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            if len(self._unread) > _LONGEST_LINE:
                raise FaultError("nonsense")
            sock = self._line()
            try:
                sock.settimeout(self._deadline.left())
                self._unread += sock.recv(4096) or self._dropped()
            except TimeoutError:
                raise FaultError("timeout") from None
            except OSError:
                self._dropped()
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        if len(line) > _LONGEST_LINE:
            raise FaultError("nonsense")
        return line.removesuffix(b"\r")

    def _line(self) -> socket.socket:
        if self.sock is None:
            raise FaultError("dropped")
        return self.sock

    def _dropped(self) -> NoReturn:
        raise FaultError("dropped") from None
