"""The contract of everything that carries a message out.

A connector sends *one* message to *one* recipient and says what became of it. Retrying, caps, consent, de-duplication
and the log are not its business. It calls ``handoff()`` exactly once, immediately before the first byte that could make
the provider accept the message (SMTP: the final dot; HTTP: the first byte of the request). ``False`` means that the
permission is gone: stop, send nothing, and return ``Outcome("not_now", "fence")``; the fence has recorded why.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol, runtime_checkable

Kind = Literal["sent", "not_now", "no", "unknown"]
EndpointVerdict = Literal["ok", "hard", "soft", "unusable", "opted_out"]
ChannelVerdict = Literal["ok", "slow", "failure", "breaker", "stop"]

Handoff = Callable[[], bool]
#: Is given the places (in a list of messages) of those that stand just before leaving; gives those that may leave.
Handoffs = Callable[[Sequence[int]], Container[int]]


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one recipient, rendered.

    ``body`` is the bytes of a whole RFC 5322 message for email (checked, CRLF line ends), the text for SMS, and the
    bytes of a JSON object for a webhook.
    ``template`` and ``values`` are for providers that take only approved templates: each placeholder's name, such as
    ``customer.first_name``, with its text as this guest reads it.
    """

    key: str  #: opaque and stable: the same on every attempt of one dispatch
    channel: Literal["email", "sms", "webhook"]
    sender: str  #: envelope sender: an address, or an E.164 number
    recipient: str  #: envelope recipient: an address, an E.164 number, or a webhook's name
    body: bytes | str = field(repr=False)
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    test: bool = False  #: a preview sent to the owner, marked TEST
    status_url: str = ""  #: where a provider may tell later what became of it; empty: nowhere


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one ``send``. ``code`` is for staff and logs and never holds an address.

    ``kind``: ``sent`` accepted; ``not_now`` provably not delivered, try later; ``no`` refused for good;
    ``unknown`` may have been delivered, never retried by itself.
    ``channel``: ``slow`` the provider wants fewer messages, and no attempt is used up; ``failure`` counts towards the
    breaker, ``breaker`` opens it; ``stop`` waits for a person.
    ``counts_attempt`` is false where nothing was tried (bad password, the fence said no).
    ``segments`` is as how many SMS the provider bills it, where it says so.
    """

    kind: Kind
    code: str
    provider_id: str | None = None
    retry_at: datetime | None = None
    endpoint: EndpointVerdict = "ok"
    channel: ChannelVerdict = "ok"
    counts_attempt: bool = True
    segments: int | None = None


#: Of a message that others of its group did not wait for any longer: nothing is known against it or its channel.
BEHIND: Final = Outcome("not_now", "behind its group", counts_attempt=False)


@dataclass(frozen=True, slots=True)
class Setup:
    """What a connector may be opened with. ``settings`` are the owner's for it: plain data, secrets looked up."""

    folder: Path  #: for what is written on this machine
    clock: Callable[[], datetime]  #: gives the present moment, aware UTC
    validity: Callable[[Message], int | None]  #: for how many seconds a provider may go on trying
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Connector(Protocol):
    """Carries messages of one channel out. Used by one worker at a time; ``close`` ends kept connections."""

    def send(self, message: Message, handoff: Handoff) -> Outcome:
        """Send one message. Never raises for what a network or a provider does."""
        ...

    def close(self) -> None:
        """End what is kept open. Never raises."""
        ...


def nothing() -> None:
    """Do nothing meanwhile."""


@runtime_checkable
class Grouping(Protocol):
    """A connector that can bring several messages to just before their leaving, and let them go together."""

    most: int  #: so many at once, at least 1; it may change from group to group

    def send_group(
        self,
        messages: Sequence[Message],
        handoff: Handoffs,
        upcoming: Sequence[Message] = (),
        meanwhile: Callable[[], None] = nothing,
    ) -> list[Outcome]:
        """Send up to ``most`` messages; give what became of each, in their order.

        ``handoff`` is called at most once, when all that can be ready are; not at all where none is. Those that it does
        not give end with ``Outcome("not_now", "fence")``; one that is
        ``BEHIND`` should go alone. What it raises passes through, and nothing has left.
        ``upcoming`` may be the messages of the next group, as the same objects, for what can be said of them already.
        ``meanwhile`` does what there is to do while the other side's answers are waited for; it may be called once.
        It must not raise. One message that fails harms no other. Never raises for what a network or a provider does.
        """
        ...
