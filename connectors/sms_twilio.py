"""SMS by Twilio, through its official client with our own way to the network (``twilio_http``).

Twilio has no idempotency key for messages, so everything hangs on knowing whether the first byte of the request left.
Its replies are judged by HTTP status first; Twilio's own codes only refine.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from connectors.base import ChannelVerdict, EndpointVerdict, Handoff, Kind, Message, Outcome
from connectors.httpline import FenceClosedError, LostError, NotReachedError, retry_at
from connectors.twilio_codes import OPTED_OUT, SID, UNUSABLE

if TYPE_CHECKING:
    from connectors.twilio_http import FencedHttpClient

_CODES: Final = range(1, 1_000_000)
_REFUSED_ACCOUNT: Final = frozenset({20003})
_LONGEST_VALIDITY: Final = 36_000  # seconds; Twilio's own limit
#: What a trial account writes before every text.
_TRIAL: Final = re.compile(r"Sent from [\w' ]{1,60} - ")
#: A message found belongs to a hand-over where it was made so long before or after it: clocks differ, replies tarry.
_EARLIER, _LATER = timedelta(minutes=2), timedelta(minutes=10)
_LOOKED_THROUGH: Final = 50


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of replies: the first that fits decides."""

    what: str
    statuses: str  #: regular expression
    kind: Kind
    codes: frozenset[int] | None = None  #: Twilio's codes; None: any or none
    endpoint: EndpointVerdict = "ok"
    channel: ChannelVerdict = "ok"
    counts_attempt: bool = True


#: ``reference/dispatch.md``, section 5. A refusal that leaves the endpoint ``ok`` is our fault: three in a row from
#: different customers stop the channel (the dispatch counts them).
TABLE: tuple[Row, ...] = (
    Row("accepted", "2..", "sent"),
    Row("the account is refused", "401|403", "not_now", channel="stop", counts_attempt=False),
    Row("the account is refused", "4..", "not_now", _REFUSED_ACCOUNT, channel="stop", counts_attempt=False),
    Row("the account is refused, says a broken server", "...", "unknown", _REFUSED_ACCOUNT, channel="stop"),
    Row("too fast", "429", "not_now", channel="slow"),
    Row("too fast", "4..", "not_now", frozenset({20429}), channel="slow"),
    Row("opted out", "400", "no", OPTED_OUT, endpoint="opted_out"),
    Row("number unusable", "400", "no", UNUSABLE, endpoint="unusable"),
    Row("gave up waiting", "408", "unknown", channel="failure"),
    Row("refused", "4..", "no"),
    Row("trouble", "...", "unknown", channel="failure"),
)


class TwilioConnector:
    """Sends SMS by Twilio.

    ``sender`` is an E.164 number or the SID of a messaging service (``MG...``). ``clock`` gives the present moment, to
    turn Retry-After into one; ``validity`` tells for how many seconds a message may still be delivered. ``base_url`` is
    for tests against a server on this machine.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        base_url: str | None = None,
        *,
        clock: Callable[[], datetime],
        validity: Callable[[Message], int | None] | None = None,
        connect_seconds: float = 15,
        reply_seconds: float = 60,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._sender = sender
        self._base_url = base_url
        self._clock = clock
        self._validity = validity
        self._seconds = (connect_seconds, reply_seconds)
        self._context = context
        self._opened: tuple[Any, FencedHttpClient] | None = None

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        """Send one SMS. The outcome follows ``TABLE``; nothing that the network or Twilio does raises."""
        client, line = self._open()
        line.fence(handoff)
        try:
            sent = client.messages.create(to=message.recipient, body=_text(message), **self._options(message))
        except FenceClosedError:
            return Outcome("not_now", "fence", counts_attempt=False)
        except NotReachedError:
            return Outcome("not_now", "not reached", channel="failure")
        except LostError:
            return Outcome("unknown", "no whole reply", channel="failure")
        except Exception as error:
            # Twilio's exceptions for refusals, and whatever its client raises on a body that is not what it expects.
            # Their texts hold the number. Without a status it was not the reply that raised.
            if line.status is None:
                raise
            return self._judge(line, getattr(error, "code", None))
        return _accepted(line, sent.sid, sent.num_segments)

    def find(self, message: Message, since: datetime) -> frozenset[str] | None:
        """Look up what became of a message by number, date and text: the sids of all that may be it.

        ``since`` is the moment of the hand-over. None: Twilio gave no answer. Never raises.
        """
        client, line = self._open()
        line.fence(lambda: True)
        try:
            # Not by Twilio's own filter for dates: what is still queued has no date of sending. The newest come first.
            found = client.messages.list(to=message.recipient, limit=_LOOKED_THROUGH)
            mine = [one for one in found if since - _EARLIER <= one.date_created <= since + _LATER]
            if len(mine) == _LOOKED_THROUGH:
                return frozenset()
            return frozenset(
                one.sid
                for one in mine
                if isinstance(one.sid, str) and SID.fullmatch(one.sid) and _is_text(one.body, _text(message))
                if one.to == message.recipient and one.direction != "inbound"
                if one.status not in {"failed", "canceled"}
            )
        except Exception:  # noqa: BLE001 (the look-up is a courtesy; its exceptions hold the number)
            return None

    def close(self) -> None:
        """Nothing is kept open between messages."""

    def _open(self) -> tuple[Any, FencedHttpClient]:
        if self._opened is None:
            from twilio.rest import Client

            from connectors.twilio_http import FencedHttpClient

            line = FencedHttpClient(*self._seconds, self._context)
            # A mapping of our own: TWILIO_EDGE in the environment shall not move the requests elsewhere.
            client = Client(self._account_sid, self._auth_token, http_client=line, environment={"TWILIO_EDGE": ""})
            if self._base_url:
                client.api.base_url = self._base_url.rstrip("/")
            self._opened = (client, line)
        return self._opened

    def _options(self, message: Message) -> dict[str, object]:
        sender = message.sender or self._sender
        options: dict[str, object] = {"messaging_service_sid" if sender.startswith("MG") else "from_": sender}
        seconds = self._validity(message) if self._validity is not None else None
        if seconds is not None:
            options["validity_period"] = max(1, min(seconds, _LONGEST_VALIDITY))
        if message.status_url:
            options["status_callback"] = message.status_url
        return options

    def _judge(self, line: FencedHttpClient, code: object) -> Outcome:
        status = line.status or 0
        known = code if type(code) is int and status != code and code in _CODES else None
        shown = f"twilio {known}" if known is not None else f"http {status}"
        for row in TABLE:
            if re.fullmatch(row.statuses, str(status)) and (row.codes is None or known in row.codes):
                break
        else:
            return Outcome("unknown", shown, channel="failure")
        if row.kind == "sent":  # in words that Twilio's client cannot read: all that counts is a sid
            try:
                told = json.loads(line.text)
                return _accepted(line, told["sid"], told.get("num_segments"))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                return _accepted(line, None, None)
        return Outcome(
            row.kind,
            shown,
            retry_at=retry_at(line.retry_after, self._clock()) if row.what == "too fast" else None,
            endpoint=row.endpoint,
            channel=row.channel,
            counts_attempt=row.counts_attempt,
        )


def _accepted(line: FencedHttpClient, sid: object, segments: object) -> Outcome:
    """Judge a 2xx by its sid."""
    if not isinstance(sid, str) or not SID.fullmatch(sid):
        return Outcome("unknown", f"http {line.status} without a sid", channel="failure")
    # A messaging service has not chosen its number yet, and says 0.
    told = re.fullmatch(r"[1-9][0-9]?", str(segments))
    return Outcome("sent", f"http {line.status}", provider_id=sid, segments=int(told[0]) if told else None)


def _text(message: Message) -> str:
    return message.body if isinstance(message.body, str) else message.body.decode()


def _is_text(body: object, text: str) -> bool:
    before = body.removesuffix(text) if isinstance(body, str) and body.endswith(text) else None
    return before is not None and (not before or _TRIAL.fullmatch(before) is not None)
