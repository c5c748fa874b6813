"""What an SMTP server's reply means for a message, for the address and for the channel: one table.

``reference/dispatch.md``, section 4. The phase matters: what is said before the recipient was named is never about the
recipient, and before the fence nothing can have been delivered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from connectors.base import ChannelVerdict, EndpointVerdict, Kind, Outcome

#: In the order in which a message goes through them. ``body`` is still before the fence, ``dot`` is the only one after.
Phase = Literal["connect", "greeting", "EHLO", "STARTTLS", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "body", "dot"]

_AT_THE_DOOR: frozenset[Phase] = frozenset({"connect", "greeting", "EHLO", "TLS"})
_RECIPIENT_NAMED: frozenset[Phase] = frozenset({"RCPT", "DATA", "body", "dot"})

_NO_SUCH_USER = re.compile(
    r"no such (user|recipient|mailbox|address|person)"
    r"|(user|recipient|mailbox|address|account) (is )?(unknown|not found|invalid)"
    r"|unknown (user|recipient|mailbox|address|account)|invalid (recipient|mailbox|user)|(does not|doesn'?t) exist"
    r"|(mailbox|user) (has been |is )?(disabled|deactivated|closed|deleted|inactive)|no mailbox here",
    re.IGNORECASE,
)
#: It speaks of us: of the envelope's sender, which many servers call back, or of our account at the server.
_SENDER = re.compile(
    r"\bsender(('?s)? (e-?mail )?(address|domain|account)|) (\S+ )?(is |was |has |been |could |be )*"
    r"(verif|callout|reject|refus|block|unknown|denied|invalid|not |does|undeliverable|unrout|disabled|suspended)"
    r"|(unknown|invalid|bad|unverified|unroutable|non-?existent|fake|forged) (envelope )?sender"
    r"|(?<!recipient )verif(y|ication) (has )?fail|verify (the )?sender|\bcall-?(out|back)\b"
    r"|(return|reverse|bounce)[- ]path|envelope[- ](from|sender)|\bmail[- ]from\b"
    r"|\byour (\w+ )?(account|mailbox)\b|\bsending (account|(is |has been |was )?(paused|suspended|disabled|blocked))"
    r"|relay(ing)? (access )?(is )?(denied|not)|\b(your|client|sending|source) (ip|host|server|domain)\b|\bip address"
    r"|(allow|white)[- ]?list|\bptr\b|reverse dns|\b(helo|ehlo)\b",
    re.IGNORECASE,
)
_MAILBOX_FULL = re.compile(
    r"mailbox (is )?full|over ?quota|quota exceeded|(in)?sufficient (storage|disk)", re.IGNORECASE
)
_POLICY = re.compile(
    r"spam|black ?list|block ?list|blocked|policy|reputation|\bspf\b|dkim|dmarc|relay|not permitted|denied"
    r"|listed (at|by|in|on)|unsolicited|authenticat|rejected due to",
    re.IGNORECASE,
)

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_QUEUED_AS = re.compile(r"queued(?: mail for delivery)? as[ :]+([A-Za-z0-9._-]{4,80})(?![\w@.-])", re.IGNORECASE)
_ADDRESS = re.compile(r"<[^>]*>|\S*@\S*")
_STATUS = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
#: What looks like an id of a server: a long word of letters and digits, as no name and no number of a guest has.
_ID = re.compile(r"(?<![\w@.+-])(?=[\w.-]*[A-Za-z])(?=(?:[A-Za-z_.-]*\d){2})[\w.-]{8,80}(?![\w@.-])", re.ASCII)


class Reply(NamedTuple):
    """One whole reply of a server: its three digits and the text of all its lines."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code of RFC 3463 that agrees with the three digits, or the empty string."""
        found = _ENHANCED.match(self.text)
        return found[1] if found and found[1][0] == str(self.code)[0] else ""

    @property
    def shown(self) -> str:
        """The codes for staff and logs, such as ``550 5.1.1``; the text may hold an address and is left out."""
        return f"{self.code} {self.enhanced}".rstrip()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the first that fits a reply decides."""

    what: str
    kind: Kind
    codes: str  #: regular expression for the three digits
    enhanced: str | None = None  #: for the enhanced code; None: any or none
    says: re.Pattern[str] | None = None  #: looked for in the text, for servers without enhanced codes
    phases: frozenset[Phase] | None = None  #: None: every phase
    fence: Literal["before", "after", "either"] = "either"
    endpoint: EndpointVerdict = "ok"
    channel: ChannelVerdict = "ok"
    counts_attempt: bool = True

    def may_fit(self, phase: Phase, code: int) -> bool:
        """Tell whether this line may speak of a reply of that code in that phase."""
        after = phase == "dot"
        return (
            (self.fence == "either" or (self.fence == "after") == after)
            and (self.phases is None or phase in self.phases)
            and re.fullmatch(self.codes, str(code)) is not None
        )

    def fits(self, reply: Reply) -> bool:
        """Tell whether a line that may speak of a reply does so by its text."""
        return (self.enhanced is None or re.fullmatch(self.enhanced, reply.enhanced) is not None) and (
            self.says is None or self.says.search(reply.text) is not None
        )


_MAIL: frozenset[Phase] = frozenset({"MAIL"})
_SIGN_IN: frozenset[Phase] = frozenset({"AUTH", "STARTTLS"})

TABLE: tuple[Row, ...] = (
    Row("accepted", "sent", "2..", fence="after"),
    Row("closing down", "not_now", "421", fence="before", channel="failure"),
    Row(
        "sign-in wanted or refused",
        "not_now",
        "530|534|535|538|454",
        fence="before",
        channel="stop",
        counts_attempt=False,
    ),
    Row("sign-in refused", "not_now", "5..", phases=_SIGN_IN, channel="stop", counts_attempt=False),
    Row("not now", "not_now", "4.."),
    Row("sender refused", "no", "5..", None, _SENDER, _RECIPIENT_NAMED, channel="breaker"),
    Row("no such user", "no", "55.", r"5\.1\.(1|2|6|10)", _NO_SUCH_USER, _RECIPIENT_NAMED, endpoint="hard"),
    Row("policy", "no", "55.", r"5\.1\.(1|2|6|10)", _POLICY, _RECIPIENT_NAMED, channel="breaker"),
    Row("no such user", "no", "55.", r"5\.1\.(1|2|6|10)", phases=_RECIPIENT_NAMED, endpoint="hard"),
    Row("no such user", "no", "550", r"5\.1\.[03]", _NO_SUCH_USER, _RECIPIENT_NAMED, endpoint="hard"),
    Row("no such user", "no", "55[01]", "", _NO_SUCH_USER, _RECIPIENT_NAMED, endpoint="hard"),
    Row("mailbox full", "no", "5..", r"5\.2\.[12]", phases=_RECIPIENT_NAMED, endpoint="soft"),
    Row("mailbox full", "no", "55.", "", _MAILBOX_FULL, _RECIPIENT_NAMED, endpoint="soft"),
    Row("policy", "no", "5..", r"5\.7\.\d+", channel="breaker"),
    Row("bad sender", "no", "5..", r"5\.1\.[78]", channel="breaker"),
    Row("policy", "no", "55[04]", "|5\\.0\\.0", _POLICY, _RECIPIENT_NAMED | _MAIL, channel="breaker"),
    Row("refused at the door", "not_now", "5..", phases=_AT_THE_DOOR, channel="breaker"),
    Row("sender refused", "no", "55[0134]", phases=_MAIL, channel="breaker"),
    Row("mailbox refused", "no", "550", "", phases=frozenset({"RCPT"}), endpoint="soft"),
    Row("too big, bad address or parameter", "no", "501|55[235]"),
    Row("no", "no", "5.."),
)


class FaultError(Exception):
    """The conversation broke: ``what`` is ``timeout``, ``dropped``, ``nonsense``, ``no address`` or such."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class UnsafeError(Exception):
    """The server cannot be trusted with the message as the owner asked: no STARTTLS, a bad certificate, no sign-in."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class UnfitError(Exception):
    """The server cannot carry this one message; nothing was sent."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RefusedError(Exception):
    """The server answered while a connection was opened, and not with the code that the next step needs."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.shown)
        self.reply = reply


def of_reply(phase: Phase, reply: Reply) -> Outcome:
    """Judge a reply that ends the attempt: a refusal in any phase, or any reply to the dot."""
    for row in _rows(phase, reply.code):
        if row.fits(reply):
            return Outcome(
                kind=row.kind,
                code=reply.shown,
                provider_id=queue_id(reply) if row.kind == "sent" else None,
                endpoint=row.endpoint,
                channel=row.channel,
                counts_attempt=row.counts_attempt,
            )
    return of_fault(phase, "nonsense")  # 1xx, 3xx, a 2xx where it makes no sense


@cache
def _rows(phase: Phase, code: int) -> tuple[Row, ...]:
    """Give the lines that may speak of such a reply, whatever its text."""
    return tuple(row for row in TABLE if row.may_fit(phase, code))


def of_fault(phase: Phase, what: str) -> Outcome:
    """Judge a break: before the fence nothing was delivered, after it nobody knows."""
    return Outcome("unknown" if phase == "dot" else "not_now", f"{what} at {phase}", channel="failure")


def queue_id(reply: Reply) -> str | None:
    """Give the queue id, else the first word that looks like one: free words may speak of the guest."""
    queued = _QUEUED_AS.search(reply.text)
    if queued and any(sign.isdigit() for sign in queued[1]):
        return queued[1]
    found = _ID.search(_STATUS.sub(" ", _ADDRESS.sub(" ", reply.text[:2_000])))
    return None if found is None else found[0]
