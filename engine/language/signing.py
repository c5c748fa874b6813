"""How mail is signed (DKIM): what the config says of each key, and how a record of the DNS reads."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connectors.domains import domain_in_ascii
from engine.language.document import Document
from engine.language.phrases import phrase
from engine.language.problems import Problem
from engine.language.secret import Secret

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SELECTOR: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL}){{0,3}}")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class DkimConfig:
    """One key that mail is signed with. ``domain`` is in ASCII; ``dns`` are the tags of the record as published."""

    selector: str
    key: Secret
    domain: str
    dns: Mapping[str, str] | None = None

    @property
    def place(self) -> str:
        """The name in the DNS under which receivers look for the public key."""
        return f"{self.selector}._domainkey.{self.domain}"


def parse_selector(text: str) -> str:
    """Read a selector: the part before ``._domainkey`` in the DNS."""
    if _SELECTOR.fullmatch(text) and "_domainkey" not in text:
        return text.lower()
    raise ValueError(
        phrase('"{text}" is not a selector such as mail2026: the part that stands before ._domainkey', text=text)
    )


def parse_record(text: str) -> Mapping[str, str]:
    """Read the text of a DKIM record, also as a zone file has it, in quoted pieces; gives its tags."""
    joined = "".join(_QUOTED.findall(text)) if '"' in text else text
    tags: dict[str, str] = {}
    for each in joined.replace("\\;", ";").split(";"):
        name, equals, value = each.partition("=")
        if equals:
            tags.setdefault(name.strip(), "".join(value.split()))
    if "p" not in tags or tags.get("v", "DKIM1") != "DKIM1":
        raise ValueError(phrase("this is not the text of a DKIM record, such as v=DKIM1; k=rsa; p=MIIB..."))
    if not tags["p"]:
        raise ValueError(phrase("this record has an empty p=, which says that the key is no longer good"))
    try:
        base64.b64decode(tags["p"], validate=True)
    except binascii.Error:
        raise ValueError(phrase("the key after p= is not whole: copy the record again, all of it")) from None
    return tags


def aligned(domain: str, sender: str) -> bool:
    """Tell whether a signature of ``domain`` speaks for mail from ``sender``, by DMARC's relaxed rule. Both in ASCII.

    One must lie in the other. Two that have only an owner in common are not told apart from strangers.
    """
    return domain == sender or sender.endswith(f".{domain}") or domain.endswith(f".{sender}")


def keys_of(entries: object, sender: str, root: Path, environ: Mapping[str, str]) -> tuple[DkimConfig, ...]:
    """Give the keys that the section ``dkim`` names; what is wrong there has been told and is left out."""
    found = []
    for entry in entries if isinstance(entries, list) else ():
        given: dict[str, Any] = entry if isinstance(entry, dict) else {}
        try:
            selector = parse_selector(str(given["selector"]))
            domain = domain_in_ascii(str(given.get("domain") or sender.rpartition("@")[2])).lower()
            dns = parse_record(given["dns"]) if isinstance(given.get("dns"), str) else None
            found.append(DkimConfig(selector, Secret(given["key"], root, environ), domain, dns))
        except (KeyError, ValueError):
            continue
    return tuple(found)


def problems_of(document: Document, keys: tuple[DkimConfig, ...], sender: str) -> list[Problem]:
    """Give what no schema can say of the section ``dkim``: a place that is named twice, a domain of somebody else."""
    problems: list[Problem] = []
    if not keys or len(keys) != len(document.data["email"]["dkim"]):
        return problems  # an entry is wrong in itself: that is told already
    home = domain_in_ascii(sender.rpartition("@")[2]).lower()
    seen: set[str] = set()
    for number, key in enumerate(keys):
        at = ("email", "dkim", number)
        if key.place in seen:
            said = phrase("{place} is named twice: each key needs a selector of its own", place=key.place)
            problems.append(document.problem((*at, "selector"), said, "repeated"))
        seen.add(key.place)
        if not aligned(key.domain, home):
            said = phrase(
                "a signature of {domain} says nothing of mail from {sender}: receivers (DMARC) want the same domain",
                domain=key.domain,
                sender=home,
            )
            cure = phrase("Leave domain out, or give {sender} or the domain above it.", sender=home)
            problems.append(document.problem((*at, "domain"), said, "foreign-domain", hint=cure, severity="warning"))
    return problems
