"""Keys for signing mail, for an owner: made into a file, shown as records of the DNS, looked at by the doctor."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Final, Literal

from connectors.disk import sync
from connectors.domains import domain_in_ascii
from engine.console.exits import MistypedError, NotNowError, Refusal
from engine.console.page import Page
from engine.dispatch import dkim
from engine.dispatch.dkim import Kind, PrivateKey, SigningKeyError
from engine.language.config import Config
from engine.language.secret import SecretError
from engine.language.signing import DkimConfig, aligned, parse_selector
from engine.vocabulary.home import load_home

RSA: Final[Kind] = "rsa"
ED25519: Final[Kind] = "ed25519"
FOLDER: Final = "secrets"
#: The longest piece of a text in the DNS.
_PIECE: Final = 255


def make(root: Path, environ: Mapping[str, str], today: date, selector: str, kind: Kind) -> str:
    """Make a key in ``secrets/``, readable by its owner alone; give what is to be done with it.

    Raises ``MistypedError`` for a bad selector, ``Refusal`` where there is such a key already.
    """
    try:
        selector = parse_selector(selector)
    except ValueError as error:
        raise MistypedError(f"--new {error}") from None
    config = load_home(root, environ, today).config
    pem = dkim.new_key(kind)
    name = f"{FOLDER}/dkim-{selector}.pem"
    file = root / name
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
            stream.flush()
            sync(stream.fileno())
    except FileExistsError:
        raise Refusal(
            f"the file {name} exists already: choose another selector, mail that is under way needs the old"
        ) from None
    except OSError as error:
        raise NotNowError(f"the file {name} cannot be written: {error.strerror or type(error).__name__}") from None
    page = Page()
    page.line(f"A key for signing mail is in {name}; nobody else on this machine can read it.", "good")
    page.heading("1. Publish this in the DNS, as a record of type TXT")
    record = dkim.record_text(dkim.load_key(pem.decode()))
    place = f"{selector}._domainkey.{domain_in_ascii(config.email.sender.address.rpartition('@')[2])}"
    _show_record(page, place, record)
    page.heading("2. When it can be seen there, write this into config/regulars.yaml")
    known = [f"    - selector: {each.selector}" for each in config.email.dkim]
    lines = ["email:", "  dkim:", *(f"{line} ..." for line in known)]
    lines += [f"    - selector: {selector}", f"      key: file:{name}", f'      dns: "{record}"']
    page.verbatim("".join(f"{line}\n" for line in lines))
    return page.text


def records(root: Path, environ: Mapping[str, str], today: date) -> str:
    """Give the records of the keys in the config, as they belong into the DNS."""
    config = load_home(root, environ, today).config
    page = Page()
    if not config.email.dkim:
        return "The config names no key for signing mail. `regulars dkim --new mail2026` makes one.\n"
    for each in config.email.dkim:
        _show_record(page, each.place, dkim.record_text(_key(each)))
    return page.text


def _key(config: DkimConfig) -> PrivateKey:
    try:
        return dkim.load_key(config.key.reveal())
    except SigningKeyError as error:
        raise Refusal(f"{config.key.reference} {error}") from None


def _show_record(page: Page, place: str, record: str) -> None:
    page.heading(place)
    page.verbatim(f"{record}\n")
    if len(record) > _PIECE:
        pieces = " ".join(f'"{record[start : start + _PIECE]}"' for start in range(0, len(record), _PIECE))
        page.line("For a zone file, in pieces:", "faint")
        page.verbatim(f"{place}. IN TXT ( {pieces} )\n")


def examined(config: Config) -> Iterator[tuple[Literal["good", "care", "bad"], str]]:
    """Look at each key of the config: give (verdict, a clause) of each, and of what is missing."""
    sender = domain_in_ascii(config.email.sender.address.rpartition("@")[2]).lower()
    for each in config.email.dkim:
        try:
            key = dkim.load_key(each.key.reveal())
        except SecretError as error:
            yield "bad", str(error)
            continue
        except SigningKeyError as error:
            yield "bad", f"{each.key.reference} {error}"
            continue
        found = list(_faults(each, key, sender))
        yield from found
        if not found:
            checked = "its record in the DNS fits" if each.dns else "its record in the DNS was not given (dns:)"
            yield "good", f"mail is signed by {each.place}; {checked}"


def _faults(config: DkimConfig, key: PrivateKey, sender: str) -> Iterator[tuple[Literal["care", "bad"], str]]:
    if config.dns is not None and (why := dkim.differs(key, config.dns)) is not None:
        yield (
            "bad",
            f"receivers will refuse the signature of {config.place}: {why}. `regulars dkim` prints the right one",
        )
    if not aligned(config.domain, sender):
        yield "care", f"the signature of {config.domain} says nothing of mail from {sender}: give the sender's domain"
    bits = getattr(key, "key_size", dkim.SOUND_BITS)
    if bits < dkim.SOUND_BITS:
        yield (
            "care",
            f"{config.key.reference} has only {bits} bits: `regulars dkim --new` makes a better one",
        )
    kind, _, where = config.key.reference.partition(":")
    if kind == "file" and os.name == "posix":
        file = config.key.root / where
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield "care", f"{where} can be read by others on this machine: chmod 600 {where}"
