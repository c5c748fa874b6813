"""The schema of ``config/regulars.yaml``: for the check, for the owner's editor and for the reference page.

``default`` stands wherever leaving a setting out means something; ``config.py`` reads the same constants.
"""

from __future__ import annotations

from typing import Any, Final

from engine.language.bounces import BOUNCES_SCHEMA
from engine.language.hours import DAYS, GROUPS
from engine.language.phrases import Phrase, listed, phrase

JsonSchema = dict[str, Any]

DATABASE: Final = "sqlite:///regulars.db"
SCHEDULE: Final = "daily at 10:00"
DAY_STARTS: Final = "04:00"
LANGUAGE: Final = "en"
PORT: Final = 587
CONNECTIONS: Final = 4
TLS: Final = "starttls"
PER_DAY: Final = 1
PER_WEEK: Final = 2
BLAST: Final = "20%"
EMAIL_HOURS: Final = "08:00-21:00"
SMS_HOURS: Final = {"weekdays": "10:00-18:00", "sat": "10:00-17:00", "sun": "12:00-17:00"}
FRESH: Final = "2 days"
INBOX: Final = "inbox"
KEEP: Final = "4 years"
APPROVALS: Final = "first"
HOLDOUT: Final = "0%"
TOPICS: Final = ("news", "offers", "surveys")

#: The sample address of the shipped config: with it no real mail goes out.
SAMPLE_ADDRESS: Final = "12 Mill Lane, Springfield, IL 62701"


def _section(description: Phrase, properties: JsonSchema, *, required: tuple[str, ...] = (), **more: Any) -> JsonSchema:
    schema: JsonSchema = {"type": "object", "description": description, "additionalProperties": False, **more}
    return {**schema, **({"required": list(required)} if required else {}), "properties": properties}


def _text(description: Phrase, **more: Any) -> JsonSchema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _secret(what: Phrase) -> JsonSchema:
    where = phrase("{what} Never the secret itself: env:NAME (a variable of the environment) or file:PATH.", what=what)
    return {"type": "string", "format": "secret", "x-secret": True, "description": where}


def _per_minute(what: Phrase) -> JsonSchema:
    return {"type": "integer", "minimum": 1, "maximum": 100_000, "description": what}


def _hours(what: Phrase, default: Any) -> JsonSchema:
    day = {"type": "string", "format": "day-hours"}
    several, single = phrase("The hours of these days."), phrase("The hours of this day alone.")
    names = {**dict.fromkeys(GROUPS, several), **dict.fromkeys(DAYS, single)}
    return {
        "type": ["string", "object"],
        "format": "hours",
        "description": phrase(
            "{what} One range for all days, or a section with {days}; a day that is not named is closed.",
            what=what,
            days=listed((*GROUPS, *DAYS)),
        ),
        "default": default,
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {name: {**day, "description": about} for name, about in names.items()},
    }


_BUSINESS: Final = _section(
    phrase("Who writes to the guests."),
    {
        "name": _text(phrase("The name that guests know."), maxLength=100),
        "address": _text(phrase("Postal address: it stands at the foot of every advertising email, as the law asks.")),
        "country": _text(
            phrase("Two letters, such as US. Phone numbers without + are read as numbers of this country."),
            format="country",
        ),
        "language": _text(
            phrase("Language of guests whose own is not known, such as en or zh-Hans."),
            format="language",
            default=LANGUAGE,
        ),
        "timezone": _text(phrase("Time zone of the business, such as America/Chicago."), format="zone"),
        "currency": _text(phrase("The one currency of all stores, such as USD."), format="currency"),
    },
    required=("name", "country", "timezone", "currency"),
)

_CONTACTS: Final[JsonSchema] = {
    "type": "object",
    "description": phrase("Staff who get alerts, by a name that rules use: alert: to: manager."),
    "propertyNames": {"format": "slug"},
    "additionalProperties": _section(
        phrase("One person, or one shared inbox."),
        {
            "name": _text(phrase("How to address them.")),
            "email": _text(phrase("Where alerts go by email."), format="email-address"),
            "phone": _text(phrase("Where alerts go by SMS, with + and the country's code."), format="phone"),
        },
    ),
}

_DKIM: Final[JsonSchema] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 4,
    "description": phrase("The keys that every email is signed with; `regulars dkim --new mail2026` makes one."),
    "items": _section(
        phrase("One key: its public half stands in the DNS at SELECTOR._domainkey.DOMAIN."),
        {
            "selector": _text(phrase("Its name in the DNS, such as mail2026."), format="dkim-selector"),
            "key": _secret(phrase("The private key, in PEM: RSA, or Ed25519.")),
            "domain": _text(phrase("Whose signature it is; the domain of `from` if left out."), format="host"),
            "dns": _text(
                phrase("The text that you published in the DNS: `regulars doctor` compares it with the key."),
                format="dkim-record",
            ),
        },
        required=("selector", "key"),
    ),
}

_EMAIL: Final = _section(
    phrase("How email goes out."),
    {
        "connector": _text(
            phrase("file writes .eml files into the home and sends nothing; smtp sends."),
            enum=["file", "smtp"],
            default="file",
        ),
        "from": _text(phrase("Who emails come from: Corner Café <hello@corner.example>"), format="mailbox"),
        "smtp": _section(
            phrase("The mail server, for connector smtp."),
            {
                "host": _text(phrase("Its name."), format="host"),
                "port": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 65535,
                    "description": phrase("587 for starttls, 465 for tls."),
                    "default": PORT,
                },
                "tls": _text(
                    phrase("starttls (usual), tls (from the first byte), none (only on this machine)."),
                    enum=["starttls", "tls", "none"],
                    default=TLS,
                ),
                "user": _text(phrase("Name to log in with; none: no login.")),
                "password": _secret(phrase("Password to log in with.")),
                "connections": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 50,
                    "description": phrase(
                        "So many emails at once, each on a connection of its own; fewer where the server allows fewer. "
                        "Each worker has its own."
                    ),
                    "default": CONNECTIONS,
                },
                "ca_file": _text(
                    phrase(
                        "A file with the certificate of whoever vouches for the server, where that is not one that "
                        "this machine trusts: relative to the home."
                    )
                ),
            },
        ),
        "bounces": BOUNCES_SCHEMA,
        "per_minute": _per_minute(phrase("At most so many emails a minute, by all workers together.")),
        "dkim": _DKIM,
    },
)

_PRICES: Final[JsonSchema] = {
    "type": "object",
    "minProperties": 1,
    "description": phrase(
        "What one segment of an SMS costs you, by the guest's country, in your currency; default is for all others."
    ),
    "propertyNames": {"format": "country-or-default"},
    "additionalProperties": {"type": "number", "minimum": 0, "description": phrase("Such as 0.0079.")},
}

_SMS: Final = _section(
    phrase("How SMS go out."),
    {
        "connector": _text(
            phrase("file writes .txt files into the home and sends nothing; twilio sends."),
            enum=["file", "twilio"],
            default="file",
        ),
        "prices": _PRICES,
        "per_minute": _per_minute(phrase("At most so many SMS a minute, by all workers together.")),
        "twilio": _section(
            phrase("The account at Twilio, for connector twilio."),
            {
                "account_sid": _secret(phrase("The account's SID.")),
                "auth_token": _secret(phrase("The account's token.")),
                "from": _text(
                    phrase("The number that you rent there, with +, or the SID of a messaging service."),
                    format="sms-sender",
                ),
                "base_url": {
                    "type": ["string", "null"],
                    "format": "url",
                    "description": phrase("Only for tests against a server on this machine."),
                    "default": None,
                },
            },
        ),
    },
)

#: For the whole home here, for one rule in its file.
BUDGET_SCHEMA: Final[JsonSchema] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "description": phrase("At most so much a day or a month, on the home's calendar; what is over waits for the next."),
    "properties": {
        kind: {"type": "string", "format": "budget", "description": about}
        for kind, about in (
            ("email", phrase("Emails to guests: 1000 a day.")),
            ("sms", phrase("SMS to guests: 500 a month.")),
            ("messages", phrase("Emails and SMS to guests together.")),
            ("sms_segments", phrase("Segments of SMS to guests: the provider bills each as one SMS.")),
            ("coupons", phrase("Coupons that are issued: 200 a month.")),
            ("coupon_value", phrase("What the issued coupons are worth, in your currency: 300 a month.")),
        )
    },
}

_LIMITS: Final = _section(
    phrase("How much advertising a guest gets. A limit moves a message to a later day; it does not lose it."),
    {
        "marketing_per_day": {
            "type": "integer",
            "minimum": 1,
            "description": phrase("For each guest, and for each address that guests share."),
            "default": PER_DAY,
        },
        "marketing_per_week": {
            "type": "integer",
            "minimum": 1,
            "description": phrase("The same in any seven days."),
            "default": PER_WEEK,
        },
        "blast": _text(
            phrase(
                "A run that would write to more than this share of the reachable guests waits for `regulars approve`."
            ),
            format="share",
            default=BLAST,
        ),
        "budget": BUDGET_SCHEMA,
    },
)

_WEBHOOKS: Final[JsonSchema] = {
    "type": "object",
    "description": phrase("Systems of your own that rules tell something, by a name: webhook: to: loyalty-app."),
    "propertyNames": {"format": "slug"},
    "additionalProperties": _section(
        phrase("One of them: what is posted there is signed with the secret."),
        {
            "connector": _text(
                phrase("file writes .json files into the home and sends nothing; http posts to url."),
                enum=["file", "http"],
                default="file",
            ),
            "url": _text(phrase("Where it is posted to, with https://."), format="endpoint"),
            "secret": _secret(phrase("The secret of the signature, known to the receiver too.")),
        },
    ),
}

CONFIG_SCHEMA: Final[JsonSchema] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Settings of a home of Regulars",
    "x-name": phrase("the config"),
    "x-also": {"company": "business", "cafe": "business", "mail": "email", "text": "sms", "timezone": "business"},
    "type": "object",
    "additionalProperties": False,
    "required": ["business"],
    "properties": {
        "business": _BUSINESS,
        "contacts": _CONTACTS,
        "database": _text(
            phrase("sqlite:///FILE (relative to the home), postgresql://USER@HOST/NAME, or env:NAME."), default=DATABASE
        ),
        "schedule": _text(phrase("When rules are checked that name no schedule."), format="schedule", default=SCHEDULE),
        "day_starts": _text(
            phrase("When a business day begins, in quotes: an order at 01:30 belongs to the evening before."),
            format="clock",
            default=DAY_STARTS,
        ),
        "email": _EMAIL,
        "sms": _SMS,
        "webhooks": _WEBHOOKS,
        "limits": _LIMITS,
        "hours": _section(
            phrase("When guests may be written to, on their own clock. What falls outside waits for the next opening."),
            {
                "email": _hours(phrase("Hours for email."), EMAIL_HOURS),
                "sms": _hours(phrase("Hours for SMS."), SMS_HOURS),
            },
        ),
        "links": _section(
            phrase("Where links in messages lead."),
            {
                "base_url": {
                    "type": ["string", "null"],
                    "format": "url",
                    "description": phrase("Where unsubscribe links lead; empty: the link writes an email to you."),
                    "default": None,
                },
                "secret": _secret(phrase("Signs the links where that page is on another machine."))
                | {"type": ["string", "null"]},
            },
        ),
        "data": _section(
            phrase("What the rules know."),
            {
                "fresh": _text(
                    phrase("Rules of absence wait while the newest order is older than this; off: they never wait."),
                    format="freshness",
                    default=FRESH,
                ),
                "inbox": _text(phrase("The folder whose files a run imports, relative to the home."), default=INBOX),
                "keep": _text(
                    phrase("How long the log is kept: months that ended before are forgotten; or forever."),
                    format="keeping",
                    default=KEEP,
                ),
            },
        ),
        "approvals": _text(
            phrase("first: a new rule waits for you once; always: after each change too; two: two people must agree."),
            enum=["first", "always", "two"],
            default=APPROVALS,
        ),
        "holdout": _text(
            phrase("This share of your guests gets no advertising at all: all your rules are compared with none."),
            format="share",
            default=HOLDOUT,
        ),
        "exclude": {"type": "object", "description": phrase("Conditions: guests who meet them never get advertising.")},
        "topics": {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "string", "format": "slug"},
            "description": phrase("What a guest can agree to or refuse separately."),
            "default": list(TOPICS),
        },
        "attributes": {
            "type": "object",
            "description": phrase(
                "Columns of your own in the customers' file, and what is in them; text if not named here."
            ),
            "propertyNames": {"minLength": 1, "maxLength": 100},
            "additionalProperties": _text(
                phrase("text, number, date or yes_no."),
                enum=["text", "number", "date", "yes_no"],
                **{"x-also": {"boolean": "yes_no", "bool": "yes_no", "string": "text", "integer": "number"}},
            ),
        },
    },
}
