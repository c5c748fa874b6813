"""What carries messages out, as ``config/regulars.yaml`` says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal

from engine.language.bounces import BouncesConfig
from engine.language.formats import Mailbox
from engine.language.secret import Secret
from engine.language.signing import DkimConfig


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """The mail server. ``user`` and ``password`` are both given or both None.

    ``ca_file`` holds the certificates of those who may vouch for it, instead of the system's; None: the system's.
    """

    host: str
    port: int
    tls: Literal["starttls", "tls", "none"]
    user: str | None
    password: Secret | None
    ca_file: Path | None = None
    connections: int = 4  #: at once, of each process that sends


@dataclass(frozen=True, slots=True)
class EmailConfig:
    """How email goes out. ``smtp`` is given where the connector is smtp, ``bounces`` where mail may come back.

    ``per_minute`` None: as many as there are.
    """

    connector: Literal["file", "smtp"]
    sender: Mailbox
    smtp: SmtpConfig | None
    bounces: BouncesConfig | None = None
    per_minute: int | None = None
    dkim: tuple[DkimConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class TwilioConfig:
    """The account at Twilio. ``sender`` is E.164, or the SID of a messaging service."""

    account_sid: Secret
    auth_token: Secret
    sender: str
    base_url: str | None


@dataclass(frozen=True, slots=True)
class SmsConfig:
    """How SMS go out. ``twilio`` is given where the connector is twilio.

    ``prices`` of one segment, in the home's currency, by country; ``default`` is for all others. Empty: nobody said.
    """

    connector: Literal["file", "twilio"]
    twilio: TwilioConfig | None
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """One system of the owner's own. ``url`` and ``secret`` are given where the connector is http."""

    connector: Literal["file", "http"]
    url: str | None
    secret: Secret | None
