"""One SMTP conversation: ``smtplib`` for EHLO and AUTH, with strict replies and one deadline for each phase.

``smtplib`` alone reports a drop before and after the dot alike, does not verify certificates in ``starttls()``, takes
any line for a reply, and its timeouts do not bound a server that drips.

What is said once a connection is open is written as steps: generators that yield where they would have to wait, so that
several conversations go on side by side (``drive``). Opening one waits by itself.
"""

from __future__ import annotations

import contextlib
import hmac
import math
import re
import smtplib
import socket
import ssl
import time
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from connectors.base import nothing
from connectors.deadline import Deadline
from connectors.smtp_replies import FaultError, Phase, RefusedError, Reply, UnsafeError
from connectors.smtp_wire import Wire, wait

Result = TypeVar("Result")
#: A conversation, or a part of one; it yields where it waits for its server.
Steps = Generator[None, None, Result]
Tls = Literal["starttls", "tls", "none"]
#: The fault of a conversation that others have waited for too long, though it has kept its own deadline.
LATE: Final = "late"

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
#: What a server says to MAIL, RCPT and DATA where all is well, each in one line, and no byte more.
_ENVELOPE = re.compile(rb"(?:2[0-9]{2} [^\r\n]{0,500}\r?\n){2}354 [^\r\n]{0,500}\r?\n")
_WHOLE = re.compile(rb"([2-5][0-9]{2}) ([^\r\n]{0,500})\r?\n")  # a reply of one line, as nearly all are


class Session(smtplib.SMTP):
    """A conversation with a server; ``phase`` tells where it stands.

    A break raises ``FaultError``, a no ``RefusedError``, and what would put the message at risk ``UnsafeError``.
    """

    def __init__(self, host: str, port: int, local_hostname: str | None, deadlines: Mapping[Phase, float]) -> None:
        super().__init__(local_hostname=local_hostname or "localhost")
        self._own_name = local_hostname
        self._address = (host, port)
        self._deadlines = {**DEADLINES, **deadlines}
        self.served = 0  #: messages that were tried on it
        self._wire: Wire | None = None
        self._lines: list[bytes] = []  # of a reply that has not wholly arrived
        self._size = 0  # of that reply, in bytes
        self.phase: Phase = "connect"
        self._deadline: Deadline | None = None

    def enter(self, phase: Phase) -> None:
        """Begin a phase: its deadline starts when something is waited for in it."""
        self.phase = phase
        self._deadline = None

    @property
    def deadline(self) -> Deadline:
        """By when the present phase must be over."""
        if self._deadline is None:
            self._deadline = Deadline(self._deadlines[self.phase])
        return self._deadline

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

    @property
    def wire(self) -> Wire:
        """The open line."""
        if self._wire is None:
            raise FaultError("dropped")
        return self._wire

    def say(self, data: bytes) -> None:
        """Write; what does not leave at once leaves while ``drive`` waits."""
        self.wire.write(data)

    def reply(self) -> Reply | None:
        """Give the next whole reply, None where it has not arrived."""
        wire = self.wire
        if not self._lines and (whole := _WHOLE.match(wire.arrived)):
            reply, end = Reply(int(whole[1]), whole[2].decode("ascii", "replace").strip()), whole.end()
            del whole  # it holds the bytes in their place
            del wire.arrived[:end]
            return reply
        several = self._whole_reply()
        if several is not None:
            return Reply(several[0], several[1].decode("ascii", "replace"))
        if wire.broken:
            raise FaultError("dropped")
        return None

    def took_envelope(self) -> bool:
        """Tell whether the yes to each line of an envelope has arrived, and nothing else; then it is taken."""
        arrived = self.wire.arrived
        if self._lines or not _ENVELOPE.fullmatch(arrived):
            return False
        arrived.clear()
        return True

    def replied(self, phase: Phase) -> Steps[Reply]:
        """Begin a phase, and wait for one reply."""
        self.enter(phase)
        while (reply := self.reply()) is None:
            yield
        return reply

    def spoke_out_of_turn(self) -> bool:
        """Tell whether bytes of the server lie unread, or it hung up, although it was not asked anything.

        The bytes are kept for ``replied``; a closed line raises ``FaultError``.
        """
        wire = self.wire
        wire.look()
        if wire.arrived or self._lines:
            return True
        if wire.broken:
            raise FaultError("dropped")
        return False

    def send(self, s: Any) -> None:
        """Write all bytes within the phase's deadline: ``smtplib`` calls this."""
        self.say(s.encode(self.command_encoding) if isinstance(s, str) else bytes(s))
        while self.wire.sending:
            self._pause()
        if self.wire.broken:
            raise FaultError("dropped")

    def getreply(self) -> tuple[int, bytes]:
        """Wait for one whole reply: ``smtplib`` calls this."""
        while (reply := self._whole_reply()) is None:
            if self.wire.broken:
                raise FaultError("dropped")
            self._pause()
        return reply

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
                sock.settimeout(self.deadline.left())
                sock.connect(address)
            except OSError as error:
                sock.close()
                what = "timeout" if isinstance(error, TimeoutError) else "refused"
                continue
            # Body and dot are two small writes: with Nagle's algorithm the second waits 40 ms (measured).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock, self._wire = sock, Wire(sock)
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
        self.enter("STARTTLS")
        self.putcmd("STARTTLS")
        self._need(self.getreply(), 220)
        if self.wire.arrived:
            raise UnsafeError("plaintext after STARTTLS")  # somebody in between wants it read as if it were protected
        self._secure(context)
        self.esmtp_features = {}
        self.helo_resp = self.ehlo_resp = None
        self.does_esmtp = False
        self._greet()

    def _secure(self, context: ssl.SSLContext | None) -> None:
        self.enter("TLS")
        sock = self.wire.sock
        try:
            sock.settimeout(self.deadline.left())
            self.sock = (context or ssl.create_default_context()).wrap_socket(sock, server_hostname=self._address[0])
            self._wire = Wire(self.sock)
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
        here = str(self.wire.sock.getpeername()[0])
        return here.startswith("127.") or here in {"::1", "::ffff:127.0.0.1"}

    def _need(self, got: tuple[int, bytes], *wanted: int) -> Reply:
        reply = Reply(got[0], got[1].decode("ascii", "replace"))
        if reply.code not in wanted:
            raise RefusedError(reply)
        return reply

    def _whole_reply(self) -> tuple[int, bytes] | None:
        """Take one whole reply, however many lines it has, and no byte more than a sane reply can have."""
        arrived = self.wire.arrived
        while (end := arrived.find(b"\n")) >= 0:
            line = bytes(arrived[:end]).removesuffix(b"\r")
            del arrived[: end + 1]
            self._size += len(line)
            parts = _LINE.fullmatch(line) if len(line) <= _LONGEST_LINE else None
            if (
                parts is None
                or not parts[1].startswith(self._lines[0] if self._lines else b"")
                or self._size > _LONGEST_REPLY
            ):
                raise FaultError("nonsense")
            self._lines = self._lines or [parts[1]]
            self._lines.append((parts[3] or b"").strip())
            if parts[2] != b"-":
                code, *lines = self._lines
                self._lines, self._size = [], 0
                return int(code), b"\n".join(lines)
        if len(arrived) > _LONGEST_LINE:
            raise FaultError("nonsense")
        return None

    def _pause(self) -> None:
        rest = self.deadline.rest()
        if not rest:
            raise FaultError("timeout")
        self.wire.wait(rest)


def drive(
    talks: Sequence[tuple[Session, Steps[bool]]], patience: float = math.inf, meanwhile: Callable[[], None] = nothing
) -> None:
    """Let these conversations go on side by side to their ends, each within its own deadlines.

    One that ends with True waits for the others, and they have so many seconds of ``patience`` from then on. A deadline
    that passes is thrown into the steps as a ``FaultError``; they must not raise. ``meanwhile`` is done once each has
    gone on as far as it could.
    """
    if len(talks) == 1:
        _drive_one(*talks[0], meanwhile)
    else:
        _drive_all(talks, patience, meanwhile)


def _drive_all(talks: Sequence[tuple[Session, Steps[bool]]], patience: float, meanwhile: Callable[[], None]) -> None:
    until = math.inf
    under_way = []
    for talk in talks:
        waits = _ended(talk[1])
        if waits is None:
            under_way.append(talk)
        elif waits and until == math.inf:
            until = time.monotonic() + patience
    meanwhile()
    while under_way:
        rest = min(session.deadline.rest() for session, _ in under_way)
        if until < math.inf:
            rest = max(0.0, min(rest, until - time.monotonic()))
        wait([session.wire for session, _ in under_way], rest)
        going, under_way = under_way, []
        for session, steps in going:
            waits = _ended(steps)
            if waits is None and (session.deadline.passed() or time.monotonic() >= until):
                waits = _ended(steps, FaultError("timeout" if session.deadline.passed() else LATE))
            if waits is None:
                under_way.append((session, steps))
            elif waits and until == math.inf:
                until = time.monotonic() + patience


def _drive_one(session: Session, steps: Steps[bool], meanwhile: Callable[[], None]) -> None:
    """Let one conversation go on to its end: nobody waits for it."""
    waits = _ended(steps)
    meanwhile()
    while waits is None:
        session.wire.wait(session.deadline.rest())
        waits = _ended(steps)
        if waits is None and session.deadline.passed():
            waits = _ended(steps, FaultError("timeout"))


def _ended(steps: Steps[bool], fault: FaultError | None = None) -> bool | None:
    """Go on as far as can be without waiting; give the result, None where there is none yet."""
    try:
        if fault is None:
            next(steps)
        else:
            steps.throw(fault)
    except StopIteration as end:
        return bool(end.value)
    return None
