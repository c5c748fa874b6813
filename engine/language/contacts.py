"""Email addresses and phone numbers in the one form in which they are stored, looked for and written to.

One inbox is one endpoint however a file, a till or a person at the keyboard writes it: everybody asks here. Errors are
``ValueError`` and say what is wrong without repeating the contact, which may be a guest's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from engine.language.phrases import phrase, told

Channel = Literal["email", "sms"]
#: What may stand before the @ without a further question, in an address of this length.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_+-]{1,64}|(?=.{1,64}$)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)+", re.ASCII)
_PLAIN_LENGTH: Final = 200
#: A domain that is itself in small letters: labels of letters and digits, single hyphens in them, and so no Punycode.
_PLAIN_LABEL: Final = r"(?=[^.]{1,63}(?:\.|$))[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*"
_PLAIN_DOMAIN: Final = re.compile(rf"(?:{_PLAIN_LABEL}\.)+{_PLAIN_LABEL}", re.ASCII)
#: Where the library may say no: domains that end so are for other uses than mail.
OTHER_USES: Final = frozenset({"arpa", "invalid", "local", "localhost", "onion", "test"})


def channel_of(text: str) -> Channel:
    """Tell whether a contact is meant as an email address or as a phone number."""
    return "email" if "@" in text else "sms"


def normalise(channel: Channel, text: str, country: str | None = None) -> str:
    """Give the contact as it is stored: ``li@example.com``, ``+13125550100``.

    ``country`` (``US``) is that of numbers without ``+``; None: they must have one. Raises ``ValueError``.
    """
    return mail_address(text).lower() if channel == "email" else phone_number(text, country)


def mail_address(text: str) -> str:
    """Give an email address with its letters as they are, its domain normalised; nothing is asked of the network."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    if "." not in domain:
        raise ValueError(phrase("is not an email address such as hello@corner.example"))
    if len(text) <= _PLAIN_LENGTH and _PLAIN.fullmatch(local) and _PLAIN_DOMAIN.fullmatch(domain):
        plain = domain.lower()
        if plain.rpartition(".")[2] not in OTHER_USES:
            return f"{local}@{plain}"  # without the library, which takes longer to load than `--help` takes
    from email_validator import EmailNotValidError, validate_email

    try:
        if _PLAIN.fullmatch(local) and len(text) <= _PLAIN_LENGTH:
            return f"{local}@{_domain(domain)}"
        return validate_email(text, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as error:
        raise ValueError(phrase("is not an email address: {why}", why=str(error).rstrip("."))) from None


@lru_cache(10_000)
def _domain(text: str) -> str:
    """Give the domain of a plain address normalised. Most guests share few; each takes as long as twenty addresses."""
    from email_validator import validate_email

    return validate_email(f"a@{text}", check_deliverability=False, globally_deliverable=False).domain


def phone_number(text: str, country: str | None = None) -> str:
    """Give a phone number as E.164. One that is whole only for a caller of the same town belongs to nobody: refused."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise ValueError(phrase("is not a phone number")) from None
    match phonenumbers.is_possible_number_with_reason(number):
        case phonenumbers.ValidationResult.IS_POSSIBLE:
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        case phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            raise ValueError(phrase("lacks the area code"))
        case _:
            raise ValueError(phrase("is too short or too long for a number of its country"))


def parse_phone(text: str) -> str:
    """Read a phone number with ``+`` and country code and give it as E.164."""
    if not text.strip().startswith("+"):
        raise ValueError(
            phrase(
                '"{text}" is not a phone number with + and the country\'s code, such as "+1 500 555 0100"', text=text
            )
        )
    try:
        return phone_number(text)
    except ValueError as error:
        raise ValueError(
            phrase('"{text}" {why}; write it as in "+1 500 555 0100"', text=text, why=told(error))
        ) from None


def parse_sms_sender(text: str) -> str:
    """Read what SMS come from: a phone number, given as E.164, or the SID of a messaging service at Twilio."""
    return messaging_service(text) if text.startswith("MG") else parse_phone(text)


def messaging_service(sid: str) -> str:
    """Give the SID of a messaging service at Twilio, which chooses the number itself."""
    if not re.fullmatch(r"MG[0-9a-fA-F]{32}", sid):
        raise ValueError(
            phrase('"{text}" is not the SID of a messaging service: MG and 32 digits and letters a to f', text=sid)
        )
    return sid


def country_of_number(number: str) -> str | None:
    """Give the country of an E.164 number, two letters; None where it is of no one country (or no real number)."""
    import phonenumbers

    region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    return region if region and region.isalpha() else None
