"""What a schema cannot say of ``config/regulars.yaml``: settings that need each other, samples, the database."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, Final
from urllib.parse import urlsplit

from engine.language.bounces import problems_of_bounces
from engine.language.check import did_you_mean
from engine.language.compliance import CHANNELS, Compliance
from engine.language.config_schema import DATABASE, EMAIL_HOURS, PER_DAY, PER_WEEK, SAMPLE_ADDRESS, SMS_HOURS
from engine.language.document import Document
from engine.language.hours import Hours, Opening, goes_beyond, windows_meet
from engine.language.phrases import phrase, told
from engine.language.problems import Problem, Severity

# RFC 2606: names that belong to nobody. Twilio's magic numbers and the numbers of films are the same for phones.
_RESERVED_DOMAIN = re.compile(r"(?:^|\.)(?:example|invalid|test|localhost|example\.(?:com|org|net))$", re.IGNORECASE)
_RESERVED_PHONE = re.compile(r"\+1500555\d{4}|\+1\d{3}55501\d\d")
_RESERVED_CONTACTS: Final = {
    "store": phrase("the store's own manager, from the stores' file"),
    "guest": phrase("the guest, to whom an email goes anyway"),
}
_NAMES: Final = {"email": "email", "sms": "SMS"}
_OWN_FOLDERS: Final = ("config", "rules", "templates", "outbox")
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+psycopg")


def problems_of(document: Document, root: Path) -> list[Problem]:
    """Give all problems of meaning."""
    return [
        *_business(document),
        *_contacts(document),
        *_limits(document),
        *_smtp(document),
        *problems_of_bounces(document, _is_this_machine),
        *_ca_file(document, root),
        *_twilio(document),
        *_webhooks(document),
        *_holdout(document),
        *_samples(document),
        *_inbox(document, root),
    ]


def hours_and_law(document: Document, hours: Mapping[str, Hours], law: Compliance) -> list[Problem]:
    """Compare the hours with those of the home's country, but for the default ones: the stricter wins anyway."""
    problems = []
    home = law.countries.get(law.home)
    defaults = {"email": Hours.parse(EMAIL_HOURS), "sms": Hours.parse(SMS_HOURS)}
    for channel in CHANNELS:
        if home is None or channel not in home.hours or hours[channel] == defaults[channel]:
            continue
        legal = home.hours[channel].open
        values = {"country": home.country, "channel": _NAMES[channel], "legal": legal}
        never = not windows_meet(Opening((hours[channel], legal)))
        if never:
            said = phrase(
                "the law of {country} allows advertising by {channel} at {legal} only, and these hours never meet that",
                **values,
            )
        elif goes_beyond(hours[channel], legal):
            said = phrase(
                "these hours go beyond what the law of {country} allows for advertising by {channel}: {legal}", **values
            )
        else:
            continue
        cure = phrase("Advertising goes out where both are open; {file} says where that is from.", file=home.path)
        severity: Severity = "error" if never else "warning"
        problems.append(
            document.problem(("hours", channel), said, "outside-law", on="key", hint=cure, severity=severity)
        )
    return problems


def database_url(document: Document, root: Path, environ: Mapping[str, str]) -> tuple[str, list[Problem]]:
    """Give the database's URL as SQLAlchemy takes it; a file's path is made absolute from the home.

    A URL may hold a password, so no message repeats it.
    """
    default = _address(DATABASE, root)
    setting: object = document.data.get("database", DATABASE)
    if not isinstance(setting, str) or not setting:
        return default, []
    address: str = setting
    if setting.startswith("env:"):
        variable = setting.removeprefix("env:").strip()
        address = environ.get(variable, "").strip()
        if not address:
            said = phrase('"database": the environment variable {variable} is not set', variable=variable)
            cure = phrase("Set it in the environment of the account that runs Regulars.")
            return default, [document.problem(("database",), said, "missing-variable", hint=cure)]
    try:
        return _address(address, root), []
    except ValueError as error:
        cure = phrase(
            "sqlite:///regulars.db, postgresql://USER:PASSWORD@HOST/NAME, or env:NAME with one of them in the variable."
        )
        said = phrase('"{word}": {said}', word="database", said=told(error))
        return default, [document.problem(("database",), said, "bad-database", hint=cure)]


def _address(text: str, root: Path) -> str:
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z0-9+]+", scheme):
        raise ValueError(phrase("this is not the address of a database"))
    if scheme == "sqlite":
        if not rest.strip("/") or not rest.startswith("/") or ":memory:" in rest or "?" in rest:
            raise ValueError(phrase("a SQLite database is a file in the home: sqlite:///regulars.db"))
        return f"sqlite:///{(root / rest[1:]).as_posix()}"
    if scheme not in _POSTGRES:
        near = did_you_mean(scheme.split("+")[0], ("sqlite", "postgresql"))
        raise ValueError(phrase('"{scheme}" is no database that Regulars can use{meant}', scheme=scheme, meant=near))
    try:
        parts = urlsplit(text)
        complete = parts.port != 0 and len(parts.path) > 1
    except ValueError:
        complete = False
    if not complete:
        raise ValueError(phrase("the address of a PostgreSQL database lacks its name, or its port is no number"))
    return f"postgresql+psycopg://{rest}"


def _at(document: Document, *path: str) -> Any:
    value: Any = document.data
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _sends(document: Document, section: str, connector: str) -> bool:
    """Whether real messages leave this machine by a connector."""
    if _at(document, section, "connector") != connector:
        return False
    server = (
        _at(document, "email", "smtp", "host") if connector == "smtp" else _at(document, "sms", "twilio", "base_url")
    )
    return not _is_this_machine(server)


def _is_this_machine(server: object) -> bool:
    if not isinstance(server, str):
        return False
    host = urlsplit(server).hostname or "" if "://" in server else server
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _business(document: Document) -> list[Problem]:
    business = _at(document, "business")
    if not isinstance(business, dict) or business.get("address"):
        return []
    sends = _sends(document, "email", "smtp")
    said = phrase('without "address" no advertising email goes out: the law wants it at the foot of each')
    return [
        document.problem(
            ("business", "address"),
            said,
            "missing-address",
            hint=phrase("address: such as {sample}", sample=SAMPLE_ADDRESS),
            severity="error" if sends else "warning",
        )
    ]


def _contacts(document: Document) -> list[Problem]:
    problems = []
    contacts = _at(document, "contacts")
    for name, contact in contacts.items() if isinstance(contacts, dict) else ():
        at = ("contacts", name)
        if name in _RESERVED_CONTACTS:
            means = _RESERVED_CONTACTS[name]
            said = phrase('"{name}" cannot be the name of a contact: it means {means}', name=name, means=means)
            problems.append(document.problem(at, said, "reserved-name", on="key"))
        if isinstance(contact, dict) and not contact.get("email") and not contact.get("phone"):
            said = phrase('"{name}" has neither email nor phone, so no alert can reach them', name=name)
            problems.append(document.problem(at, said, "missing-key", on="key"))
    return problems


def _limits(document: Document) -> list[Problem]:
    problems = []
    day, week = _at(document, "limits", "marketing_per_day"), _at(document, "limits", "marketing_per_week")
    day, week = PER_DAY if day is None else day, PER_WEEK if week is None else week
    if isinstance(day, int) and isinstance(week, int) and 1 <= week < day:
        said = phrase("{day} a day are never reached: the limit of a week is {week}", day=day, week=week)
        at = ("limits", "marketing_per_day") if _at(document, "limits", "marketing_per_day") else ("limits",)
        problems.append(document.problem(at, said, "useless-limit", severity="warning"))
    blast = _at(document, "limits", "blast")
    if isinstance(blast, str) and re.fullmatch(r"0+(\.0+)? ?%", blast.strip()):
        said = phrase('"blast" is 0%, so every run would wait; 1% is the least')
        problems.append(document.problem(("limits", "blast"), said, "too-small"))
    return problems


def _inbox(document: Document, root: Path) -> list[Problem]:
    """Refuse a folder whose other files a run would take in and put away; ask where a path leads out unawares."""
    setting, at = _at(document, "data", "inbox"), ("data", "inbox")
    if not isinstance(setting, str) or not setting:
        return []
    home, folder = Path(os.path.normpath(root)), Path(os.path.normpath(root / setting))
    if home.is_relative_to(folder):
        said = phrase('"inbox" is {folder}: a run would take in files that are none of a till\'s', folder=folder)
        cure = phrase("Name a folder that holds nothing else, such as inbox.")
        return [document.problem(at, said, "dangerous-inbox", hint=cure)]
    if folder.is_relative_to(home) and folder.relative_to(home).parts[0] in _OWN_FOLDERS:
        said = phrase('"inbox" lies in {folder}/, which has files of its own', folder=folder.relative_to(home).parts[0])
        cure = phrase("Name a folder that holds nothing else, such as inbox.")
        return [document.problem(at, said, "dangerous-inbox", hint=cure)]
    if not Path(setting).is_absolute() and not folder.is_relative_to(home):
        said = phrase('"inbox" leads out of the home, to {folder}', folder=folder)
        cure = phrase("If it is meant, write the whole path.")
        return [document.problem(at, said, "inbox-outside", hint=cure, severity="warning")]
    return []


def _smtp(document: Document) -> list[Problem]:
    problems = []
    at, smtp = ("email", "smtp"), _at(document, "email", "smtp")
    settings = smtp if isinstance(smtp, dict) else {}
    if _at(document, "email", "connector") == "smtp":
        if not settings.get("host"):
            said = phrase('connector smtp needs "smtp" with "host": the name of your mail server')
            problems.append(document.problem((*at, "host"), said, "missing-key"))
        if not _at(document, "email", "from"):
            said = phrase('connector smtp needs "from": who the emails come from')
            problems.append(document.problem(("email", "from"), said, "missing-key"))
    for given, needed in (("user", "password"), ("password", "user")):
        if settings.get(given) and not settings.get(needed):
            said = phrase('"{given}" without "{needed}": to log in the server wants both', given=given, needed=needed)
            problems.append(document.problem((*at, given), said, "missing-key", on="key"))
    if settings.get("tls") == "none" and settings.get("password") and not _is_this_machine(settings.get("host")):
        said = phrase("with tls none the password travels readable for everyone on the way")
        problems.append(document.problem((*at, "tls"), said, "open-password", hint="tls: starttls", severity="warning"))
    return problems


def _ca_file(document: Document, root: Path) -> list[Problem]:
    at = ("email", "smtp", "ca_file")
    name = _at(document, *at)
    if not isinstance(name, str) or not name:
        return []
    try:
        SSLContext(PROTOCOL_TLS_CLIENT).load_verify_locations(root / name)
    except FileNotFoundError:
        said = phrase('"ca_file": there is no file {file}', file=name)
    except OSError:  # an error of the certificate is one too
        said = phrase('"ca_file": {file} holds no certificate in PEM that can be read', file=name)
    else:
        return []
    cure = phrase("Ask whoever runs the mail server for the certificate of its authority, or leave ca_file out.")
    return [document.problem(at, said, "bad-ca-file", hint=cure)]


def _twilio(document: Document) -> list[Problem]:
    if _at(document, "sms", "connector") != "twilio":
        return []
    twilio = _at(document, "sms", "twilio")
    settings = twilio if isinstance(twilio, dict) else {}
    return [
        document.problem(
            ("sms", "twilio", name),
            phrase('connector twilio needs "{name}": {what}', name=name, what=what),
            "missing-key",
        )
        for name, what in (
            ("account_sid", "env:TWILIO_ACCOUNT_SID"),
            ("auth_token", "env:TWILIO_AUTH_TOKEN"),
            ("from", phrase("the number that you rent there")),
        )
        if not settings.get(name)
    ]


def _webhooks(document: Document) -> list[Problem]:
    problems = []
    webhooks = _at(document, "webhooks")
    for name, given in webhooks.items() if isinstance(webhooks, dict) else ():
        if not isinstance(given, dict) or given.get("connector") != "http":
            continue
        at: tuple[str, ...] = ("webhooks", name)
        wanted = (
            ("url", phrase('connector http needs "url": where it is posted to')),
            ("secret", phrase('connector http needs "secret": env:LOYALTY_APP_SECRET, which the receiver knows too')),
        )
        problems += [document.problem((*at, key), said, "missing-key") for key, said in wanted if not given.get(key)]
        url = given.get("url")
        if isinstance(url, str) and url.startswith("http://") and not _is_this_machine(url):
            said = phrase("without https:// what is posted about guests travels readable for everyone on the way")
            problems.append(document.problem((*at, "url"), said, "open-url"))
    return problems


def _holdout(document: Document) -> list[Problem]:
    holdout = _at(document, "holdout")
    if not isinstance(holdout, str) or not re.fullmatch(r"100(\.0+)? ?%", holdout.strip()):
        return []
    return [
        document.problem(("holdout",), phrase('"holdout" is 100%: no guest would get any advertising'), "too-large")
    ]


def _samples(document: Document) -> list[Problem]:
    """Refuse the shipped examples where real messages would go out with them."""
    email, sms = _sends(document, "email", "smtp"), _sends(document, "sms", "twilio")
    contacts = _at(document, "contacts")
    names = list(contacts) if isinstance(contacts, dict) else []
    asked: list[tuple[str, ...]] = []
    if email:
        asked += [("business", "address"), ("email", "from"), ("email", "smtp", "host"), ("email", "smtp", "user")]
        asked += [("email", "bounces", "address"), ("email", "bounces", "from", "imap", "host")]
        asked += [("contacts", name, "email") for name in names]
    if sms:
        asked += [("sms", "twilio", "from"), *(("contacts", name, "phone") for name in names)]
    if email or sms:
        asked.append(("links", "base_url"))
    webhooks = _at(document, "webhooks")
    for name, given in webhooks.items() if isinstance(webhooks, dict) else ():
        if isinstance(given, dict) and given.get("connector") == "http" and not _is_this_machine(given.get("url")):
            asked.append(("webhooks", name, "url"))
    cure = phrase("Put in your own, or keep the connector on file until you know it.")
    return [
        document.problem(
            path,
            phrase('"{word}" is still the sample value, and real messages would go out with it', word=path[-1]),
            "sample-value",
            hint=cure,
        )
        for path in asked
        if _is_sample(_at(document, *path))
    ]


def _is_sample(value: object) -> bool:
    if not isinstance(value, str):
        return False
    if value.startswith("+"):
        return bool(_RESERVED_PHONE.fullmatch(re.sub(r"[^\d+]", "", value)))
    host = urlsplit(value).hostname or "" if "://" in value else value.strip(" >").rpartition("@")[2]
    return value == SAMPLE_ADDRESS or bool(_RESERVED_DOMAIN.search(host))
