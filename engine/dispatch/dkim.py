"""DKIM: signs an email's final bytes, makes keys, and compares a key with its record in the DNS.

RFC 6376 with rsa-sha256, RFC 8463 with ed25519-sha256; relaxed/relaxed. The signature is a function of the message, the
key and the moment: the same arguments give the same bytes. Each attempt is a message of its own moment (its ``Date``),
and is signed anew with that.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.dispatch.channels import CannotSendError
from engine.language.secret import SecretError
from engine.language.signing import DkimConfig

Kind = Literal["rsa", "ed25519"]
PrivateKey = rsa.RSAPrivateKey | Ed25519PrivateKey

#: RFC 8301: receivers need not take a signature of a shorter key, and take none below the second.
SOUND_BITS: Final = 2048
LEAST_BITS: Final = 1024

#: What is signed where it is there. Each is named once more than it occurs: another one added on the way breaks the
#: signature. So are the last three where they are not there at all.
_SIGNED: Final = (
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding",
    "list-id", "list-unsubscribe", "list-unsubscribe-post", "auto-submitted", "reply-to", "cc", "sender",
)  # fmt: skip
_NEVER_ADDED: Final = frozenset({"from", "to", "subject", "reply-to", "cc", "sender"})
_WIDTH: Final = 72
_BLANKS: Final = re.compile(rb"[ \t]+")
_BLANKS_AT_END: Final = re.compile(rb"[ \t]+(?=\r\n|\Z)")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")


class SigningKeyError(Exception):
    """A key cannot be used to sign. A plain clause to be put after its name; never the key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs for a domain."""

    selector: str
    domain: str
    private: PrivateKey

    @property
    def kind(self) -> Kind:
        """RSA or Ed25519."""
        return "rsa" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519"

    def signature(self, signed: bytes) -> bytes:
        """Sign: both kinds give the same signature each time."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(hashlib.sha256(signed).digest())


class Signer:
    """Signs with all keys of a home; they are looked up at the first message."""

    def __init__(self, configs: Sequence[DkimConfig]) -> None:
        self._configs = configs
        self._keys: list[SigningKey] | None = None

    def at(self, moment: datetime) -> Callable[[bytes], bytes]:
        """Give what signs a message of that moment.

        Raises ``CannotSendError`` where a key is not there or is none: what is to be signed never leaves unsigned.
        """
        if self._keys is None:
            self._keys = [self._key(each) for each in self._configs]
        keys = self._keys
        if not keys:
            return bytes
        return lambda data: sign(data, keys, moment)

    @staticmethod
    def _key(config: DkimConfig) -> SigningKey:
        try:
            return SigningKey(config.selector, config.domain, load_key(config.key.reveal()))
        except SecretError as error:
            raise CannotSendError(f"No email goes out: {error}") from None
        except SigningKeyError as error:
            raise CannotSendError(f"No email goes out: {config.key.reference} {error}") from None


def load_key(pem: str) -> PrivateKey:
    """Read a private key, or raise ``SigningKeyError`` with a sentence that says what is wrong with it."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise SigningKeyError("is locked with a password: save it without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError("is not a private key in PEM") from None
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < LEAST_BITS:
            raise SigningKeyError(f"has {key.key_size} bits; receivers want {SOUND_BITS}")
        return key
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise SigningKeyError("is neither RSA nor Ed25519")


def new_key(kind: Kind) -> bytes:
    """Make a private key; gives it in PEM."""
    key: PrivateKey = (
        rsa.generate_private_key(public_exponent=65537, key_size=SOUND_BITS)
        if kind == "rsa"
        else Ed25519PrivateKey.generate()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_part(key: PrivateKey) -> Mapping[str, str]:
    """Give the tags of the record that belongs to a key."""
    if isinstance(key, rsa.RSAPrivateKey):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = key.public_key().public_bytes(serialization.Encoding.DER, form)
        return {"v": "DKIM1", "k": "rsa", "p": base64.b64encode(public).decode()}
    public = key.public_key().public_bytes_raw()
    return {"v": "DKIM1", "k": "ed25519", "p": base64.b64encode(public).decode()}


def record_text(key: PrivateKey) -> str:
    """Give the text of the record in the DNS."""
    return "; ".join(f"{name}={value}" for name, value in public_part(key).items())


def differs(key: PrivateKey, published: Mapping[str, str]) -> str | None:
    """Say in a clause why a signature of this key would not hold by a published record; None: it would."""
    mine = public_part(key)
    if published.get("k", "rsa") != mine["k"]:
        return f"the record is of a key of the kind {published.get('k', 'rsa')}, and this one is {mine['k']}"
    if not _same_key(key, published["p"]):
        return "the record in the DNS belongs to another key"
    if "sha256" not in published.get("h", "sha256").split(":"):
        return "the record (h=) does not allow sha256"
    if not {"*", "email"} & set(published.get("s", "*").split(":")):
        return "the record (s=) is not for email"
    if "y" in published.get("t", "").split(":"):
        return "the record says t=y, only a test: receivers act as if nothing was signed"
    return None


def _same_key(key: PrivateKey, published: str) -> bool:
    given = base64.b64decode(published)
    if given == base64.b64decode(public_part(key)["p"]):
        return True
    if not isinstance(key, rsa.RSAPrivateKey):
        return False
    # Some publish the bare PKCS 1 form, as the letter of RFC 6376 has it.
    public = key.public_key()
    return given == public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)


# ---------------------------------------------------------------------------------------------------------------------
# The signature.


def sign(data: bytes, keys: Sequence[SigningKey], at: datetime) -> bytes:
    """Put one signature for each key before a message (whole, checked, CRLF line ends)."""
    head, _, body = data.partition(b"\r\n\r\n")
    hashed = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest())
    headers = dict(_headers(head))
    names = [name for name in _SIGNED if name in headers]
    listed = [*names, *(name for name in _SIGNED if name in headers or name in _NEVER_ADDED)]
    signed = b"".join(relaxed_header(name, headers[name]) + b"\r\n" for name in names)
    made = [_signature(key, listed, signed, hashed, at) for key in keys]
    return b"".join(made) + data


def _signature(key: SigningKey, listed: Sequence[str], signed: bytes, hashed: bytes, at: datetime) -> bytes:
    parts = (
        f"v=1; a={key.kind}-sha256; c=relaxed/relaxed;",
        f"d={key.domain};",
        f"s={key.selector}; t={int(at.timestamp())};",
        *_wrapped(f"h={':'.join(listed)};"),
        f"bh={hashed.decode()};",
        "b=",
    )
    value = "\r\n\t".join(parts).encode("ascii")
    signature = base64.b64encode(key.signature(signed + relaxed_header("dkim-signature", value))).decode()
    lines = [signature[start : start + _WIDTH] for start in range(0, len(signature), _WIDTH)]
    return b"DKIM-Signature: " + value + "\r\n\t".join(lines).encode("ascii") + b"\r\n"


def _wrapped(names: str) -> Iterator[str]:
    """Break a list of names after its colons."""
    line = ""
    for piece in re.findall(r"[^:]+:?", names):
        if line and len(line) + len(piece) > _WIDTH:
            yield line
            line = ""
        line += piece
    yield line


def _headers(head: bytes) -> Iterator[tuple[str, bytes]]:
    """Give (name in small letters, value) of each header; no name occurs twice in what we make."""
    for line in _FOLD.sub(b"", head).split(b"\r\n"):
        name, _, value = line.partition(b":")
        yield name.decode("ascii").lower(), value


def relaxed_header(name: str, value: bytes) -> bytes:
    """Give a header's canonical form, without a line end."""
    return name.encode("ascii") + b":" + _BLANKS.sub(b" ", _FOLD.sub(b"", value)).strip(b" \t")


def relaxed_body(body: bytes) -> bytes:
    """Give a body's canonical form: blanks made one, none at a line's end, no empty lines at the end."""
    body = _BLANKS.sub(b" ", _BLANKS_AT_END.sub(b"", body)).rstrip(b"\r\n")
    return body + b"\r\n" if body else b""
