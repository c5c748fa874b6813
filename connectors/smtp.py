"""Email over SMTP: one message, one recipient, and the fence just before the final dot.

Everything up to the dot can be given up without a trace on the other side. So the connector writes the whole body but
its last line break, asks ``handoff()``, and only then writes CR LF, dot, CR LF.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from connectors.base import Handoff, Message, Outcome
from connectors.deadline import Deadline
from connectors.domains import domain_in_ascii
from connectors.smtp_replies import FaultError, Phase, RefusedError, Reply, UnfitError, UnsafeError, of_fault, of_reply
from connectors.smtp_session import Session, Tls

#: So many messages go over one connection, and it is not used again after so many seconds without one.
MOST = 100
IDLE = 30.0

_CLOSING_DOWN = 421
_YES = range(200, 300)  # RFC 5321, 4.3.2: a client goes by the first digit
_STARTS_WITH_DOT = re.compile(rb"^\.", re.MULTILINE)
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_UNFIT_FOR_ENVELOPE = re.compile(r"[\x00-\x20\x7f<>]")
_QUEUED_AS = re.compile(r"queued(?: mail for delivery)? as[ :]+([A-Za-z0-9._-]{4,80})(?![\w@.-])", re.IGNORECASE)
_ADDRESS = re.compile(r"<[^>]*>|\S*@\S*")
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
#: What looks like an id of a server: a long word of letters and digits, as no name and no number of a guest has.
_ID = re.compile(r"(?<![\w@.+-])(?=[\w.-]*[A-Za-z])(?=(?:[A-Za-z_.-]*\d){2})[\w.-]{8,80}(?![\w@.-])", re.ASCII)


class SmtpConnector:
    """Sends through one mail server and keeps the connection between messages.

    ``tls`` is ``starttls`` (never falls back to plaintext), ``tls`` (from the first byte) or ``none``. ``context`` is
    by default one that verifies: against the system's certificates, or those of ``ca_file`` instead. ``deadlines`` are
    seconds by phase, for those that shall differ. ``local_hostname`` is what EHLO says: by default the address of this
    end, which needs no look-up. A connection is used for ``most`` messages, and not after ``idle`` seconds of silence:
    many servers set such limits of their own, and a refusal would cost more than a new connection.
    """

    def __init__(
        self,
        host: str,
        port: int = 587,
        tls: Tls = "starttls",
        user: str = "",
        password: str = "",
        *,
        ca_file: Path | None = None,
        local_hostname: str | None = None,
        context: ssl.SSLContext | None = None,
        deadlines: Mapping[Phase, float] | None = None,
        most: int = MOST,
        idle: float = IDLE,
    ) -> None:
        self._host = host
        self._port = port
        self._tls: Tls = tls
        self._user = user
        self._password = password
        self._local_hostname = local_hostname
        self._ca_file = ca_file
        self._context = context
        self._deadlines = deadlines or {}
        self._most = most
        self._idle = idle
        self._kept: Session | None = None
        self._stale = Deadline(0)  #: of the kept one

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        """Send one message. The outcome follows the table in ``smtp_replies``; nothing that a server does raises."""
        try:
            letter = _Letter(message)
        except UnfitError as unfit:
            return Outcome("no", unfit.code)
        return self._attempt(letter, handoff)

    def close(self) -> None:
        """Say QUIT on a kept connection and close it; what the server makes of it is of no interest."""
        if self._kept is not None:
            self._kept.hang_up(politely=True)
            self._kept = None

    def _attempt(self, letter: _Letter, handoff: Handoff) -> Outcome:
        session, self._kept = self._usable(), None
        stale = session is not None  # perhaps: only the server knows until MAIL is answered
        session = session or Session(self._host, self._port, self._local_hostname, self._deadlines)
        clean = False  # whether the conversation stands where a next message can begin
        try:
            if not stale:
                session.open(self._tls, self._verifying(), self._user, self._password)
            outcome = _hand_over(session, letter, handoff)
            clean = outcome.code != "fence" and outcome.kind != "unknown"
        except RefusedError as refused:
            outcome = of_reply(session.phase, refused.reply)
            stale = stale and refused.reply.code == _CLOSING_DOWN
            clean = refused.reply.code != _CLOSING_DOWN and _reset(session)
        except FaultError as fault:
            outcome = of_fault(session.phase, fault.what)
            stale = stale and fault.what == "dropped"
        except UnsafeError as unsafe:
            outcome = Outcome("not_now", unsafe.what, channel="stop", counts_attempt=False)
        except UnfitError as unfit:
            outcome, clean = Outcome("no", unfit.code), True
        finally:
            self._keep(session, clean=clean)
        if stale and not clean and session.phase == "MAIL":
            return self._attempt(letter, handoff)  # the kept connection was gone; nothing had been said on it
        return outcome

    def _keep(self, session: Session, *, clean: bool) -> None:
        """Keep the connection for the next message where both ends stand at the beginning of one."""
        session.served += 1
        if clean and session.served < self._most:
            self._kept, self._stale = session, Deadline(self._idle)
        else:
            session.hang_up(politely=clean)

    def _usable(self) -> Session | None:
        """Give the kept connection unless it is old, or the server has hung up or spoken in the meantime."""
        kept = self._kept
        if kept is None:
            return None
        old = self._stale.passed()
        try:
            if not old and not kept.spoke_out_of_turn():
                return kept
        except FaultError:
            pass
        kept.hang_up(politely=old)
        return None

    def _verifying(self) -> ssl.SSLContext | None:
        if self._context is None and self._tls != "none":
            try:
                self._context = ssl.create_default_context(cafile=self._ca_file)
            except OSError:
                raise UnsafeError("no certificates in ca_file") from None
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._context


class _Letter:
    """Envelope and body as they go over the wire. Raises ``UnfitError`` for what no server may be given."""

    def __init__(self, message: Message) -> None:
        self.sender = _envelope(message.sender)
        self.recipient = _envelope(message.recipient)
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        if _BARE_LINE_END.search(body):
            raise UnfitError(
                "bare line end"
            )  # servers that take one for a line end could be made to see a second message
        head = body.partition(b"\r\n\r\n")[0]  # an address in other letters stands there as it is (RFC 6532)
        self.utf8 = not (self.sender.isascii() and self.recipient.isascii() and head.isascii())
        self.size = len(body)
        self.eight_bit = not body.isascii()
        self.body = _STARTS_WITH_DOT.sub(b"..", body).removesuffix(b"\r\n")


def _envelope(address: str) -> str:
    if _UNFIT_FOR_ENVELOPE.search(address) or address.count("@") != 1:
        raise UnfitError("bad address")
    local, _, domain = address.partition("@")
    try:
        return f"{local}@{domain_in_ascii(domain)}"
    except UnicodeError:
        raise UnfitError("bad address") from None


def _hand_over(session: Session, letter: _Letter, handoff: Handoff) -> Outcome:
    options = _options(session, letter)
    session.command_encoding = "utf-8" if letter.utf8 else "ascii"
    session.command("MAIL", f"MAIL FROM:<{letter.sender}>{options}", *_YES)
    session.command("RCPT", f"RCPT TO:<{letter.recipient}>", *_YES)
    session.command("DATA", "DATA", 354)
    session.enter("body")
    try:
        session.send(letter.body)
    finally:
        # A reply before its time is a refusal, perhaps followed by a closed line; it must not be taken for the dot's.
        if session.spoke_out_of_turn():
            raise RefusedError(session.reply())
    if not handoff():
        return Outcome("not_now", "fence", counts_attempt=False)
    session.enter("dot")
    session.send(b"\r\n.\r\n")
    reply = session.reply()
    outcome = of_reply("dot", reply)
    if outcome.kind != "sent":
        return outcome
    return Outcome("sent", outcome.code, provider_id=_provider_id(reply))


def _options(session: Session, letter: _Letter) -> str:
    """Give the parameters of MAIL that this letter needs and this server has."""
    offered: dict[str, str] = session.esmtp_features
    if letter.eight_bit and "8bitmime" not in offered:
        raise UnfitError("no 8BITMIME")
    if letter.utf8 and "smtputf8" not in offered:
        raise UnfitError("no SMTPUTF8")
    limit = offered.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < letter.size:
        raise UnfitError("552 5.3.4")
    return "".join(
        option
        for option, wanted in (
            (f" SIZE={letter.size}", "size" in offered),
            (" BODY=8BITMIME", letter.eight_bit),
            (" SMTPUTF8", letter.utf8),
        )
        if wanted
    )


def _reset(session: Session) -> bool:
    """Take back a transaction that was refused; tell whether the connection can be kept."""
    if session.phase not in {"MAIL", "RCPT", "DATA"}:
        return False
    try:
        session.command(session.phase, "RSET", *_YES)
    except (FaultError, RefusedError):
        return False
    return True


def _provider_id(reply: Reply) -> str | None:
    """Give the queue id, else the first word that looks like one: free words may speak of the guest."""
    queued = _QUEUED_AS.search(reply.text)
    if queued and any(sign.isdigit() for sign in queued[1]):
        return queued[1]
    found = _ID.search(_STATUS.sub(" ", _ADDRESS.sub(" ", reply.text[:2_000])))
    return None if found is None else found[0]
