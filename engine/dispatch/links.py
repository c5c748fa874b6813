"""What a message points back with: tokens in links and addresses, the Message-ID. All are MACs with our keys.

A token is bound to a purpose, so that a rating link cannot unsubscribe anybody, and says nothing but a number that
means nothing outside the database.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from base64 import b32decode, b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from connectors.domains import domain_in_ascii
from engine.language.config import Config
from engine.language.secret import SecretError

Purpose = Literal["unsubscribe", "rating", "redemption", "bounce", "status"]

_MAC_BYTES: Final = 10  # 80 bits: short enough for a line of mail, and every guess costs a request
_LARGEST_ID: Final = 2**63 - 1  # no database has a greater one
_MAIL_TOKEN: Final = re.compile(r"[a-z2-7]{18,29}")
#: Where a token may stand in what somebody hands in: the end of a link's path, or after an address's plus.
_IN_A_LINK: Final = re.compile(r"(?:^|[/+])([A-Za-z0-9_-]{15,29})(?:@[^/@]+)?$")

#: What may stand around a link where somebody has copied it.
_AROUND: Final = " \t\r\n<>()[]\"'.,;:!"


def token(key: bytes, purpose: Purpose, number: int) -> str:
    """Give the token of ``number`` (an internal id, at least 0) for that purpose: 15 to 24 letters fit for a URL."""
    body = number.to_bytes(max(1, (number.bit_length() + 7) // 8))
    return urlsafe_b64encode(_mac(key, purpose, body) + body).rstrip(b"=").decode("ascii")


def read_token(key: bytes, purpose: Purpose, text: str) -> int | None:
    """Give the number of a token that we made with that key for that purpose; None for anything else."""
    try:
        raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:  # not ASCII, or not base64
        return None
    mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    number = int.from_bytes(body)
    genuine = hmac.compare_digest(mac, _mac(key, purpose, body)) and bool(body)
    if not genuine or number > _LARGEST_ID or token(key, purpose, number) != text:  # one number, one spelling
        return None
    return number


def mail_token(key: bytes, purpose: Purpose, number: int) -> str:
    """Give the token of ``number`` as it stands in an address: 18 to 29 small letters and digits.

    Mail servers may write an address in letters of one size; base32 survives that.
    """
    body = number.to_bytes(max(1, (number.bit_length() + 7) // 8))
    return b32encode(_mac(key, purpose, body) + body).rstrip(b"=").decode("ascii").lower()


def read_mail_token(key: bytes, purpose: Purpose, text: str) -> int | None:
    """Give the number of a token of an address, in letters of any size; None for anything else."""
    text = text.lower()
    if not _MAIL_TOKEN.fullmatch(text):
        return None
    try:
        raw = b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:  # a length that base32 does not have
        return None
    number = int.from_bytes(raw[_MAC_BYTES:])
    if number > _LARGEST_ID:
        return None
    return number if hmac.compare_digest(mail_token(key, purpose, number), text) else None


def unsubscribe_token(keys: Sequence[bytes], text: str) -> int | None:
    """Give the endpoint's id of an unsubscribe token as anybody may hand it in; None where it is none of ours.

    ``text`` is the token of a link or of an address, or the link, the address or the mailto: around it, also as people
    paste one. Every key is tried, whether one before it fits or not.
    """
    pasted = unquote(text.strip(_AROUND)).partition("#")[0]  # some mail programs write a plus as %2B
    bare = pasted.partition("?")[0].rstrip("/" + _AROUND)
    found = _IN_A_LINK.search(bare)
    if found is None and bare.lower().startswith("mailto:"):
        found = _IN_A_LINK.search(bare[len("mailto:") :])
    if found is None:
        return None
    read = [each(key, "unsubscribe", found[1]) for key in keys for each in (read_token, read_mail_token)]
    return next((number for number in read if number is not None), None)


def link_keys(config: Config, key: bytes) -> tuple[bytes, ...]:
    """Give the keys of unsubscribe tokens: the one of today, and the home's own, with which older ones may be made.

    A secret that is not there now makes no token, and no older one worthless.
    """
    try:
        return tuple(dict.fromkeys((link_key(config, key), key)))
    except SecretError:
        return (key,)


def link_key(config: Config, key: bytes) -> bytes:
    """Give the key of tokens in links: the secret shared with the page that reads them, else the home's own.

    ``SecretError`` when the config names a secret that is not there.
    """
    secret = config.links.secret
    return key if secret is None else hashlib.sha256(secret.reveal().encode()).digest()


def unsubscribe_url(config: Config, key: bytes, endpoint_id: int) -> str:
    """Give the unsubscribe link of an endpoint: our page, else a mail to us. It never expires.

    Without a page the mail goes to the address of bounces with the endpoint's token, which `regulars bounces` acts on,
    else to the sender. ``SecretError`` when the config names a secret that is not there.
    """
    if config.links.base_url is None:
        if config.email.bounces is None:
            return f"mailto:{config.email.sender.address}?subject=unsubscribe"
        own = mail_token(link_key(config, key), "unsubscribe", endpoint_id)
        return f"mailto:{_with_token(config.email.bounces.address, own)}?subject=unsubscribe"
    return f"{config.links.base_url.rstrip('/')}/u/{token(link_key(config, key), 'unsubscribe', endpoint_id)}"


def bounce_address(config: Config, key: bytes, dispatch_id: int) -> str | None:
    """Give the envelope sender of a dispatch: what comes back to it names it. None: the config has no such address."""
    if config.email.bounces is None:
        return None
    return _with_token(config.email.bounces.address, mail_token(key, "bounce", dispatch_id))


def status_url(config: Config, key: bytes, dispatch_id: int) -> str:
    """Give where a provider tells what became of a dispatch; empty where none could reach us there.

    ``SecretError`` when the config names a secret that is not there.
    """
    base = config.links.base_url
    if base is None or not _public(urlsplit(base).hostname or ""):
        return ""
    return f"{base.rstrip('/')}/s/{token(link_key(config, key), 'status', dispatch_id)}"


def _public(host: str) -> bool:
    """Tell whether a host is one of the open network, as Twilio wants it: another address has the message refused."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and "_" not in host and not host.endswith((".localhost", ".local", ".internal"))


def message_id(key: bytes, dispatch_id: int, sender: str) -> str:
    """Give the Message-ID of a dispatch at the sender's domain: the same on every attempt, with angle brackets."""
    mac = hmac.digest(key, b"regulars message-id\0" + str(dispatch_id).encode("ascii"), "sha256")
    domain = domain_in_ascii(sender.rpartition("@")[2])
    return f"<{b32encode(mac[:15]).decode('ascii').lower()}@{domain}>"


def message_key(key: bytes, dispatch_id: int) -> str:
    """Give the connectors' key of a dispatch: opaque, the same on every attempt, fit for a file's name."""
    return hmac.digest(key, b"regulars message\0" + str(dispatch_id).encode("ascii"), "sha256")[:12].hex()


def _with_token(address: str, token: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}+{token}@{domain if domain.isascii() else domain.encode('idna').decode('ascii')}"


def _mac(key: bytes, purpose: Purpose, body: bytes) -> bytes:
    return hmac.digest(key, b"regulars token 1\0" + purpose.encode("ascii") + b"\0" + body, "sha256")[:_MAC_BYTES]
