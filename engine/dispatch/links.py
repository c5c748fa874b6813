"""What a message points back with: tokens in links, the unsubscribe link, the Message-ID. All are MACs with our keys.

A token is bound to a purpose, so that a rating link cannot unsubscribe anybody, and says nothing but a number that
means nothing outside the database.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Literal

from engine.language.config import Config

Purpose = Literal["unsubscribe", "rating", "redemption"]

_MAC_BYTES: Final = 10  # 80 bits: short enough for a line of mail, and every guess costs a request


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
    genuine = hmac.compare_digest(mac, _mac(key, purpose, body)) and bool(body)
    if not genuine or token(key, purpose, int.from_bytes(body)) != text:  # one number, one spelling
        return None
    return int.from_bytes(body)


def link_key(config: Config, key: bytes) -> bytes:
    """Give the key of tokens in links: the secret shared with the page that reads them, else the home's own.

    ``SecretError`` when the config names a secret that is not there.
    """
    secret = config.links.secret
    return key if secret is None else hashlib.sha256(secret.reveal().encode()).digest()


def unsubscribe_url(config: Config, key: bytes, endpoint_id: int) -> str:
    """Give the unsubscribe link of an endpoint: our page, else a mail to the sender. It never expires.

    ``SecretError`` when the config names a secret that is not there.
    """
    if config.links.base_url is None:
        return f"mailto:{config.email.sender.address}?subject=unsubscribe"
    return f"{config.links.base_url.rstrip('/')}/u/{token(link_key(config, key), 'unsubscribe', endpoint_id)}"


def message_id(key: bytes, dispatch_id: int, sender: str) -> str:
    """Give the Message-ID of a dispatch at the sender's domain: the same on every attempt, with angle brackets."""
    mac = hmac.digest(key, b"regulars message-id\0" + str(dispatch_id).encode("ascii"), "sha256")
    domain = sender.rpartition("@")[2].encode("idna").decode("ascii")
    return f"<{b32encode(mac[:15]).decode('ascii').lower()}@{domain}>"


def message_key(key: bytes, dispatch_id: int) -> str:
    """Give the connectors' key of a dispatch: opaque, the same on every attempt, fit for a file's name."""
    return hmac.digest(key, b"regulars message\0" + str(dispatch_id).encode("ascii"), "sha256")[:12].hex()


def _mac(key: bytes, purpose: Purpose, body: bytes) -> bytes:
    return hmac.digest(key, b"regulars token 1\0" + purpose.encode("ascii") + b"\0" + body, "sha256")[:_MAC_BYTES]
