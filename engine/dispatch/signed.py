"""Requests that Twilio makes to the home's web page: proved by their signature before anything in them is believed.

The signature is compared against the public address in the config, not against what a proxy made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from engine.language.config import Config

#: What goes before a token, or stands for an inbound SMS, in the path below ``links: base_url``.
STATUS, SMS = "/s/", "/sms"
_LONGEST_BODY = 65_536
_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Signed:
    """A request as it came in: its URL as the server saw it, the header ``X-Twilio-Signature``, and the body."""

    url: str = field(repr=False)
    signature: str = field(repr=False)
    body: str = field(repr=False)


class _Form(dict[str, list[str]]):
    """A form in which a name may come more than once, as Twilio's validator wants to read it."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def set_up(config: Config) -> bool:
    """Tell whether requests of Twilio can be proved: there is an account, and a public address."""
    return config.sms.twilio is not None and config.links.base_url is not None


def of_account(config: Config, sid: str) -> bool:
    """Tell whether a request that names this account, or none, is for ours."""
    return config.sms.twilio is not None and sid in {"", config.sms.twilio.account_sid.reveal()}


def status_token(request: Signed) -> str | None:
    """Give the token in the URL of a status callback, of whatever host; None where it has none."""
    path, _ = _place(request)
    _, there, token = path.rpartition(STATUS)
    return token if there and token else None


def read_form(config: Config, request: Signed, path: str) -> dict[str, str] | None:
    """Give the fields of a request to ``path`` below the public address; None where it is not Twilio's, unchanged.

    Of a field that comes twice the first counts. ``SecretError`` when the account's token is not to be found.
    """
    from twilio.request_validator import RequestValidator

    if not set_up(config) or config.sms.twilio is None or config.links.base_url is None:
        return None
    validator = RequestValidator(config.sms.twilio.auth_token.reveal())
    if len(request.body) > _LONGEST_BODY:
        return None
    _, query = _place(request)
    url = f"{config.links.base_url.rstrip('/')}{path}{f'?{query}' if query else ''}"
    try:
        form = _Form(parse_qs(request.body, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
        genuine = validator.validate(url, form, request.signature)
    except ValueError:
        return None
    return {name: values[0] for name, values in form.items()} if genuine else None


def _place(request: Signed) -> tuple[str, str]:
    try:
        parts = urlsplit(request.url)
    except ValueError:
        return "", ""
    return parts.path, parts.query
