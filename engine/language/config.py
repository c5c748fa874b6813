"""``config/regulars.yaml`` as the engine uses it: every setting with its type, and every default filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from zoneinfo import ZoneInfo

from engine.language import config_meaning, config_schema, signing
from engine.language.bounces import bounces_of
from engine.language.budgets import KINDS, Budget, Kind
from engine.language.check import check
from engine.language.compliance import Compliance, ImpliedTerms, load_compliance
from engine.language.config_channels import EmailConfig, SmsConfig, SmtpConfig, TwilioConfig, WebhookConfig
from engine.language.config_schema import CONFIG_SCHEMA
from engine.language.contacts import Channel, parse_phone, parse_sms_sender
from engine.language.durations import Duration, parse_clock, parse_share
from engine.language.formats import (
    Mailbox,
    currency_digits,
    parse_email_address,
    parse_endpoint,
    parse_freshness,
    parse_host,
    parse_keeping,
    parse_mailbox,
    parse_secret,
    parse_url,
)
from engine.language.hours import Hours
from engine.language.locales import parse_country, parse_currency, parse_language
from engine.language.phrases import phrase
from engine.language.problems import Problem, errors, ordered, whole_file
from engine.language.schedules import Schedule
from engine.language.secret import Secret, SecretError
from engine.language.yamlfile import Document, load
from engine.language.zones import business_day, parse_zone, start_of

__all__ = [
    "CONFIG_FILE",
    "CONFIG_SCHEMA",
    "Business",
    "Config",
    "Contact",
    "EmailConfig",
    "LimitsConfig",
    "LinksConfig",
    "Secret",
    "SecretError",
    "SmsConfig",
    "SmtpConfig",
    "TwilioConfig",
    "WebhookConfig",
    "load_config",
]

CONFIG_FILE: Final = "config/regulars.yaml"
AttributeType = Literal["text", "number", "date", "yes_no"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Business:
    """Who writes to the guests. ``address`` is empty where none is given."""

    name: str
    address: str
    country: str
    language: str
    timezone: ZoneInfo
    currency: str

    @property
    def minor_units(self) -> int:
        """How many of the smallest unit make one of the currency: 100 for USD, 1 for JPY."""
        return int(10 ** currency_digits(self.currency))


@dataclass(frozen=True, slots=True)
class Contact:
    """One of the staff. ``email`` is normalised, ``phone`` is E.164; at least one is given."""

    name: str | None
    email: str | None
    phone: str | None


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Caps, for each guest and each endpoint, at least 1; ``blast_bp`` is a share in hundredths of a percent."""

    marketing_per_day: int
    marketing_per_week: int
    blast_bp: int
    budget: Mapping[Kind, Budget] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinksConfig:
    """Where links lead; None: there is no page, and messages carry no links of ours."""

    base_url: str | None
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class Config:
    """A home's settings. ``sound`` is false where a wrong value was replaced by its default: check, but do not run."""

    root: Path
    business: Business
    contacts: Mapping[str, Contact]
    database_url: str = field(repr=False)
    schedule: Schedule
    day_starts: time
    email: EmailConfig
    sms: SmsConfig
    webhooks: Mapping[str, WebhookConfig]
    limits: LimitsConfig
    hours: Mapping[str, Hours]  #: "email" and "sms"
    links: LinksConfig
    fresh: Duration | None  #: None: rules of absence never wait
    inbox: Path
    keep: Duration | None  #: how long the ledger is; None: for ever
    approvals: Literal["first", "always", "two"]
    holdout: int  #: hundredths of a percent of the guests who get no marketing at all
    exclude: Mapping[str, Any] | None  #: conditions as written; the vocabulary reads them
    topics: tuple[str, ...]
    attributes: Mapping[str, AttributeType]
    sound: bool = True
    law: Compliance = field(default_factory=Compliance, repr=False)

    def implied(self, channel: Channel, at: datetime) -> ImpliedTerms:
        """Give what implied consent to a channel is worth at a moment, by the home's calendar."""
        zone, starts = self.business.timezone, self.day_starts
        today = business_day(at, zone, starts)
        return self.law.implied(channel, today, lambda day: int(start_of(day, zone, starts).timestamp()))


def load_config(root: Path, environ: Mapping[str, str]) -> tuple[Config | None, Document | None, list[Problem]]:
    """Read ``config/regulars.yaml`` of the home at ``root``.

    Returns:
        The config (None where the file cannot be read at all), the document, and all problems. Where some are errors
        the config stands in with defaults, so that rules can still be checked against it, and is not ``sound``.
    """
    root = root.absolute()
    file = root / CONFIG_FILE
    if not file.exists() and not file.with_name(file.name + ".txt").exists():
        said = phrase("{root} is not a home of Regulars: this file is missing", root=root)
        cure = phrase("`regulars init` makes a home; `regulars --home DIR ...` names another one.")
        return None, None, [whole_file(CONFIG_FILE, said, "missing-file", hint=cure)]
    document, problems = load(file, CONFIG_FILE)
    if document is None:
        return None, None, problems
    problems.extend(check(document, CONFIG_SCHEMA))
    problems.extend(config_meaning.problems_of(document, root))
    database_url, found = config_meaning.database_url(document, root, environ)
    problems.extend(found)
    config = _Settings(document, root, environ).config(database_url, sound=False)
    problems.extend(signing.problems_of(document, config.email.dkim, config.email.sender.address))
    law, found = load_compliance(root, config.business.country, config.business.name)
    problems.extend([*found, *config_meaning.hours_and_law(document, config.hours, law)])
    return replace(config, law=law, sound=not errors(problems)), document, ordered(problems)


class _Settings:
    """Takes settings out of a document; whatever is wrong has been told and becomes its default."""

    def __init__(self, document: Document, root: Path, environ: Mapping[str, str]) -> None:
        self.document, self.root, self.environ = document, root, environ

    def config(self, database_url: str, sound: bool) -> Config:
        data = self.document.data
        name = self.text("business", "name", default="")
        exclude = data.get("exclude")
        topics = data.get("topics")
        return Config(
            root=self.root,
            business=Business(
                name=name,
                address=self.text("business", "address", default=""),
                country=self.parsed(parse_country, "US", "business", "country"),
                language=self.parsed(parse_language, config_schema.LANGUAGE, "business", "language"),
                timezone=self.parsed(parse_zone, ZoneInfo("UTC"), "business", "timezone"),
                currency=self.parsed(parse_currency, "USD", "business", "currency"),
            ),
            contacts=self.contacts(),
            database_url=database_url,
            schedule=self.parsed(Schedule.parse, Schedule.parse(config_schema.SCHEDULE), "schedule"),
            day_starts=self.parsed(_time, _time(config_schema.DAY_STARTS), "day_starts"),
            email=self.email(name),
            sms=self.sms(),
            webhooks=self.webhooks(),
            limits=LimitsConfig(
                marketing_per_day=self.number(config_schema.PER_DAY, "limits", "marketing_per_day"),
                marketing_per_week=self.number(config_schema.PER_WEEK, "limits", "marketing_per_week"),
                blast_bp=self.parsed(parse_share, parse_share(config_schema.BLAST), "limits", "blast"),
                budget=self.budget(),
            ),
            hours={
                "email": self.opening(config_schema.EMAIL_HOURS, "email"),
                "sms": self.opening(config_schema.SMS_HOURS, "sms"),
            },
            links=LinksConfig(self.parsed(parse_url, None, "links", "base_url"), self.secret("links", "secret")),
            fresh=self.parsed(parse_freshness, parse_freshness(config_schema.FRESH), "data", "fresh"),
            inbox=self.root / self.text("data", "inbox", default=config_schema.INBOX),
            keep=self.parsed(parse_keeping, parse_keeping(config_schema.KEEP), "data", "keep"),
            approvals=self.chosen("first", "always", "two", at=("approvals",)),
            holdout=self.parsed(parse_share, parse_share(config_schema.HOLDOUT), "holdout"),
            exclude=exclude if isinstance(exclude, dict) else None,
            topics=tuple(topics) if isinstance(topics, list) else config_schema.TOPICS,
            attributes=self.attributes(),
            sound=sound,
        )

    def at(self, *path: str) -> Any:
        """Give what stands at a path, or None."""
        value: Any = self.document.data
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def text(self, *path: str, default: str) -> str:
        value = self.at(*path)
        return value if isinstance(value, str) and value else default

    def number(self, default: int, *path: str) -> int:
        value = self.at(*path)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default

    def chosen(self, default: Any, *others: Any, at: tuple[str, ...]) -> Any:
        value = self.at(*at)
        return value if value in (default, *others) else default

    def parsed(self, parse: Callable[[str], _T], default: _T, *path: str) -> _T:
        value = self.at(*path)
        if not isinstance(value, str):
            return default
        try:
            return parse(value)
        except ValueError:
            return default

    def secret(self, *path: str) -> Secret | None:
        reference = self.parsed(parse_secret, "", *path)
        return Secret(reference, self.root, self.environ) if reference else None

    def inside(self, *path: str) -> Path | None:
        """Give a file that is named from the home."""
        name = self.text(*path, default="")
        return self.root / name if name else None

    def opening(self, default: Any, channel: str) -> Hours:
        value = self.at("hours", channel)
        try:
            return Hours.parse(value if isinstance(value, (str, dict)) else default)
        except (ValueError, AttributeError):
            return Hours.parse(default)

    def contacts(self) -> dict[str, Contact]:
        section = self.at("contacts")
        return {
            name: Contact(
                name=self.text("contacts", name, "name", default="") or None,
                email=self.parsed(parse_email_address, None, "contacts", name, "email"),
                phone=self.parsed(parse_phone, None, "contacts", name, "phone"),
            )
            for name in (section if isinstance(section, dict) else ())
        }

    def budget(self) -> dict[Kind, Budget]:
        found = {kind: self.parsed(Budget.parse, None, "limits", "budget", kind) for kind in KINDS}
        return {kind: budget for kind, budget in found.items() if budget is not None}

    def prices(self) -> dict[str, Decimal]:
        section = self.at("sms", "prices")
        given = section if isinstance(section, dict) else {}
        return {
            country: Decimal(str(price))
            for country, price in given.items()
            if isinstance(price, (int, float)) and not isinstance(price, bool) and price >= 0
        }

    def webhooks(self) -> dict[str, WebhookConfig]:
        section = self.at("webhooks")
        return {
            name: WebhookConfig(
                connector=self.chosen("file", "http", at=("webhooks", name, "connector")),
                url=self.parsed(parse_endpoint, None, "webhooks", name, "url"),
                secret=self.secret("webhooks", name, "secret"),
            )
            for name in (section if isinstance(section, dict) else ())
        }

    def attributes(self) -> dict[str, AttributeType]:
        section = self.at("attributes")
        named = section if isinstance(section, dict) else {}
        return {name: kind for name, kind in named.items() if kind in {"text", "number", "date", "yes_no"}}

    def email(self, name: str) -> EmailConfig:
        sender = self.parsed(parse_mailbox, Mailbox(name, "no-reply@regulars.invalid"), "email", "from")
        return EmailConfig(
            connector=self.chosen("file", "smtp", at=("email", "connector")),
            sender=sender,
            smtp=self.smtp(),
            bounces=bounces_of(self),
            per_minute=self.number(0, "email", "per_minute") or None,
            dkim=signing.keys_of(self.at("email", "dkim"), sender.address, self.root, self.environ),
        )

    def sms(self) -> SmsConfig:
        return SmsConfig(
            connector=self.chosen("file", "twilio", at=("sms", "connector")),
            twilio=self.twilio(),
            prices=self.prices(),
            per_minute=self.number(0, "sms", "per_minute") or None,
        )

    def smtp(self) -> SmtpConfig | None:
        host = self.parsed(parse_host, None, "email", "smtp", "host")
        if host is None:
            return None
        user = self.text("email", "smtp", "user", default="") or None
        return SmtpConfig(
            host=host,
            port=self.number(config_schema.PORT, "email", "smtp", "port"),
            tls=self.chosen("starttls", "tls", "none", at=("email", "smtp", "tls")),
            user=user,
            password=self.secret("email", "smtp", "password"),
            ca_file=self.inside("email", "smtp", "ca_file"),
            connections=self.number(config_schema.CONNECTIONS, "email", "smtp", "connections"),
        )

    def twilio(self) -> TwilioConfig | None:
        account_sid, auth_token = (
            self.secret("sms", "twilio", "account_sid"),
            self.secret("sms", "twilio", "auth_token"),
        )
        sender = self.parsed(parse_sms_sender, "", "sms", "twilio", "from")
        if account_sid is None or auth_token is None or not sender:
            return None
        base_url = self.parsed(parse_url, None, "sms", "twilio", "base_url")
        return TwilioConfig(account_sid, auth_token, sender, base_url)


def _time(text: str) -> time:
    minutes = parse_clock(text)
    return time(minutes // 60, minutes % 60)
