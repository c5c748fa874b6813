"""The home's key, ``regulars.key``: what endpoint hashes and links are made with. It is part of a backup."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import Final, Literal

from connectors.disk import sync

KEY_FILE: Final = "regulars.key"
_BYTES: Final = 32


class KeyFileError(Exception):
    """The key cannot be read or made; the text says why and what to do."""


def make_key(root: Path) -> bytes:
    """Make the key of a new home, readable only by its owner, whole or not at all.

    Raises:
        KeyFileError: there is a key already (another would orphan every suppression), or the folder is not writable.
    """
    file = root / KEY_FILE
    key = secrets.token_bytes(_BYTES)
    draft = root / f".{KEY_FILE}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(f"{key.hex()}\n")
                stream.flush()
                sync(stream.fileno())
            _publish(draft, file)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise KeyFileError(f"{file} exists already; another key would forget who has unsubscribed") from None
    except OSError as error:
        raise KeyFileError(f"{file} cannot be written: {error.strerror or type(error).__name__}") from None
    return key


def load_key(root: Path) -> bytes:
    """Give the home's key, 32 bytes.

    Raises:
        KeyFileError: the file is missing, unreadable or not a key.
    """
    file = root / KEY_FILE
    try:
        text = file.read_bytes()[:200].decode("ascii").strip()
    except FileNotFoundError:
        raise KeyFileError(
            f"{file} is missing. It belongs to this home's database: take it from the backup. "
            "Without it nobody's unsubscription is recognised."
        ) from None
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise KeyFileError(f"{file} cannot be read: {error.strerror or type(error).__name__}") from None
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise KeyFileError(f"{file} is damaged: it should hold 64 digits and letters. Take it from the backup.")
    return bytes.fromhex(text)


def endpoint_hash(key: bytes, channel: Literal["email", "sms"], address: str) -> bytes:
    """Give the 32 bytes under which an endpoint is known, also after its address was erased.

    ``address`` is normalised: an email address as stored, or E.164.
    """
    return hmac.new(key, f"endpoint\0{channel}\0{address}".encode(), hashlib.sha256).digest()


def guest_hash(key: bytes, source: str, external_id: str) -> bytes:
    """Give the 32 bytes under which a guest is known to the journal, where a step has no endpoint."""
    return hmac.new(key, f"guest\0{source}\0{external_id}".encode(), hashlib.sha256).digest()


def _publish(draft: Path, file: Path) -> None:
    """Give the finished draft its name, unless the name is taken."""
    try:
        os.link(draft, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: FAT, some network drives
        if file.exists():
            raise FileExistsError from None
        draft.replace(file)
