"""The connectors of a home, opened when the first message needs them; secrets are looked up only here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from connectors import CONNECTORS
from connectors.base import Connector, Message, Setup
from engine.language.config import Config, WebhookConfig
from engine.language.secret import Secret, SecretError

#: What carries a message: ``email``, ``sms``, or of the webhooks each its own, such as ``webhook:loyalty-app``.
Transport = str
WEBHOOK = "webhook:"

#: Where a new home's messages go: nothing leaves by accident.
OUTBOX = "outbox"
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class CannotSendError(Exception):
    """A channel cannot be used now. The text is one plain sentence with the cure; dispatches stay pending."""


class Carriers(Protocol):
    """What the stages need of the channels."""

    def connector(self, channel: Transport) -> Connector:
        """Give the open connector of a channel, or raise ``CannotSendError``."""
        ...

    def sender(self, channel: Transport) -> str:
        """Give the envelope sender: an address or a number."""
        ...

    def expect(self, key: str, seconds: int | None) -> None:
        """Note for how long the message of that key may still be delivered."""
        ...

    def close(self) -> None:
        """End what is kept open."""
        ...


@dataclass
class Channels:
    """A home's channels. ``rehearsal`` (a run with another time than the clock's) leaves this machine alone."""

    root: Path
    config: Config
    clock: Callable[[], datetime]
    rehearsal: bool = False
    _open: dict[Transport, Connector] = field(default_factory=dict, init=False, repr=False)
    _valid_for: dict[str, int | None] = field(default_factory=dict, init=False, repr=False)

    def connector(self, channel: Transport) -> Connector:
        """Give the channel's connector, the same each time. Raises ``CannotSendError`` with a plain sentence."""
        if channel not in self._open:
            try:
                self._open[channel] = self._opened(channel)
            except SecretError as error:
                raise CannotSendError(f"No {channel.replace(':', ' ')} goes out: {error}") from None
        return self._open[channel]

    def sender(self, channel: Transport) -> str:
        """Give the address or the number that messages come from."""
        if channel == "email":
            return self.config.email.sender.address
        if channel.startswith(WEBHOOK):
            return self.config.business.name
        return self.config.sms.twilio.sender if self.config.sms.twilio is not None else self.config.business.name

    def expect(self, key: str, seconds: int | None) -> None:
        """Note for how long the provider may still try; one message at a time is under way."""
        self._valid_for = {key: seconds}

    def close(self) -> None:
        """End what the connectors keep open."""
        for connector in self._open.values():
            connector.close()
        self._open.clear()

    def _opened(self, channel: Transport) -> Connector:
        if channel.startswith(WEBHOOK):
            return self._webhook(self.config.webhooks[channel.removeprefix(WEBHOOK)])
        chosen = self.config.email if channel == "email" else self.config.sms
        settings = _plain(getattr(chosen, chosen.connector, None))
        if settings:
            self._stay_here(channel, settings.get("host") or urlsplit(settings.get("base_url", "")).hostname or "")
        return CONNECTORS[chosen.connector](Setup(self.root / OUTBOX, self.clock, self._validity, settings))

    def _webhook(self, chosen: WebhookConfig) -> Connector:
        settings = {"url": chosen.url, "secret": chosen.secret.reveal()} if chosen.url and chosen.secret else {}
        if chosen.connector == "http":
            self._stay_here("webhook", urlsplit(chosen.url or "").hostname or "")
        return CONNECTORS[chosen.connector](Setup(self.root / OUTBOX, self.clock, self._validity, settings))

    def _validity(self, message: Message) -> int | None:
        return self._valid_for.get(message.key)

    def _stay_here(self, channel: Transport, host: str) -> None:
        if self.rehearsal and host not in _THIS_MACHINE:
            raise CannotSendError(
                f"No {channel} goes out: a run at another time than the clock's sends only into files, or to a server "
                "on this machine. Leave --as-of out, or set the connector to file in config/regulars.yaml."
            )


def _plain(section: Any) -> dict[str, Any]:
    """Give the settings of a connector's section of the config: those that are set, the secrets among them revealed."""
    if section is None:
        return {}
    given = {each.name: getattr(section, each.name) for each in fields(section)}
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in given.items()
        if value is not None
    }
