"""A signed POST to a system of the owner's own.

The request: ``POST`` with a JSON body, and the headers

- ``Regulars-Signature: t=1767225600,v1=<hex>``: ``v1`` is HMAC-SHA256, with the secret of the config, over the number
  ``t`` (seconds since 1970), a point, and the bytes of the body. A receiver refuses a ``t`` that is old.
- ``Idempotency-Key``: the same on every attempt of one step, so that a receiver can see a second one.

One request a fresh connection, one deadline a phase, no redirect is followed. The reply is judged by its status alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from connectors.base import ChannelVerdict, Handoff, Kind, Message, Outcome
from connectors.httpline import FenceClosedError, LostError, NotReachedError, Reply, post, retry_at


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of replies: the first that fits decides."""

    what: str
    statuses: str  #: regular expression
    kind: Kind
    channel: ChannelVerdict = "ok"
    counts_attempt: bool = True


#: Like Twilio's in ``sms_twilio``, but that a status alone is an answer: nobody sends us an id. What the receiver did
#: before a 5xx nobody knows, so it is not repeated by itself.
TABLE: tuple[Row, ...] = (
    Row("accepted", "2..", "sent"),
    Row("the signature is refused", "401|403", "not_now", channel="stop", counts_attempt=False),
    Row("gave up waiting", "408", "unknown", channel="failure"),
    Row("too fast", "429", "not_now", channel="slow"),
    Row("refused", "3..|4..", "no"),
    Row("trouble", "...", "unknown", channel="failure"),
)


class WebhookConnector:
    """Posts messages to ``url``. ``clock`` gives the present moment, for the signature and for Retry-After."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        clock: Callable[[], datetime],
        connect_seconds: float = 15,
        reply_seconds: float = 30,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._seconds = (connect_seconds, reply_seconds)
        self._context = context

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        """Make one request. The outcome follows ``TABLE``; nothing that the network or the receiver does raises."""
        body = message.body if isinstance(message.body, bytes) else message.body.encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Regulars",
            "Idempotency-Key": message.key,
            "Regulars-Signature": signature(self._secret, body, self._clock()),
        }
        try:
            reply = post(self._url, (body, headers), handoff, self._seconds, self._context)
        except FenceClosedError:
            return Outcome("not_now", "fence", counts_attempt=False)
        except NotReachedError:
            return Outcome("not_now", "not reached", channel="failure")
        except LostError:
            return Outcome("unknown", "no reply", channel="failure")
        return self._judge(reply)

    def close(self) -> None:
        """Nothing is kept open between messages."""

    def _judge(self, reply: Reply) -> Outcome:
        row = next(row for row in TABLE if re.fullmatch(row.statuses, str(reply.status)))
        return Outcome(
            row.kind,
            f"http {reply.status}",
            retry_at=retry_at(reply.retry_after, self._clock()) if row.what == "too fast" else None,
            channel=row.channel,
            counts_attempt=row.counts_attempt,
        )


def signature(secret: bytes, body: bytes, at: datetime) -> str:
    """Give the value of the header ``Regulars-Signature``."""
    seconds = str(int(at.timestamp()))
    mac = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256)
    return f"t={seconds},v1={mac.hexdigest()}"
