"""``email: bounces:`` of the config: the address to which undelivered mail comes back, and where a run reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from engine.language.document import Document
from engine.language.formats import parse_email_address, parse_host, parse_mailbox
from engine.language.phrases import phrase
from engine.language.problems import Problem
from engine.language.secret import Secret

JsonSchema = dict[str, Any]
Kind = Literal["maildir", "mbox", "imap"]

KINDS: Final[tuple[Kind, ...]] = ("maildir", "mbox", "imap")
FOLDER: Final = "INBOX"
TLS: Final = "tls"
PORTS: Final = {"tls": 993, "starttls": 143, "none": 143}
#: Before the @ stand at most 64 letters (RFC 5321); a plus and the longest token are 30 of them.
LONGEST_LOCAL: Final = 34

_AT: Final = ("email", "bounces")


def _text(description: str, **more: Any) -> JsonSchema:
    return {"type": "string", "minLength": 1, "description": description, **more}


def _section(description: str, required: tuple[str, ...], properties: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
        "properties": properties,
    }


_IMAP: Final = _section(
    phrase("A mailbox at a provider, read by IMAP."),
    ("host", "user", "password"),
    {
        "host": _text(phrase("The server's name."), format="host"),
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "description": phrase("993 for tls, 143 for starttls; left out, it is the usual one."),
        },
        "tls": _text(
            phrase("tls (usual), starttls, none (only on this machine)."),
            enum=["tls", "starttls", "none"],
            default=TLS,
        ),
        "user": _text(phrase("Name to log in with.")),
        "password": _text(
            phrase(
                "{what} Never the secret itself: env:NAME (a variable of the environment) or file:PATH.",
                what=phrase("Password to log in with."),
            ),
            format="secret",
            **{"x-secret": True},
        ),
        "folder": _text(phrase("The folder of the mailbox."), maxLength=200, default=FOLDER),
    },
)

BOUNCES_SCHEMA: Final = _section(
    phrase("What comes back: addresses that are gone, full mailboxes, complaints, and mails that say unsubscribe."),
    ("address",),
    {
        "address": _text(
            phrase(
                "An address of your own for nothing else, such as bounces@corner.example. Emails leave with "
                "bounces+TOKEN@corner.example as the envelope's sender, so your mailbox must accept what follows a "
                "plus."
            ),
            format="email-address",
        ),
        "from": _section(
            phrase("Where a run reads what came back; left out, `regulars bounces` reads what you name."),
            (),
            {
                "maildir": _text(phrase("A maildir: the folder that has new, cur and tmp in it.")),
                "mbox": _text(phrase("An mbox: one file with all messages. It is left as it is.")),
                "imap": _IMAP,
            },
        )
        | {"minProperties": 1, "maxProperties": 1},
    },
)


@dataclass(frozen=True, slots=True)
class ImapConfig:
    """A mailbox at a provider."""

    host: str
    port: int
    tls: Literal["tls", "starttls", "none"]
    user: str
    password: Secret
    folder: str


@dataclass(frozen=True, slots=True)
class BouncesConfig:
    """Where mail comes back to; at most one of the three places where it is read is given."""

    address: str
    maildir: Path | None = None
    mbox: Path | None = None
    imap: ImapConfig | None = None

    @property
    def read(self) -> bool:
        """Tell whether a run takes in by itself what came back."""
        return self.maildir is not None or self.mbox is not None or self.imap is not None


class Settings(Protocol):
    """How settings are taken out of a document: what is wrong has been told, and becomes its default."""

    root: Path

    def at(self, *path: str) -> Any:
        """Give what stands at a path, or None."""
        ...

    def text(self, *path: str, default: str) -> str:
        """Give a text."""
        ...

    def number(self, default: int, *path: str) -> int:
        """Give a positive number."""
        ...

    def chosen(self, default: Any, *others: Any, at: tuple[str, ...]) -> Any:
        """Give one of several."""
        ...

    def parsed(self, parse: Callable[[str], Any], default: Any, *path: str) -> Any:
        """Give what a format makes of a text."""
        ...

    def secret(self, *path: str) -> Secret | None:
        """Give a secret, not looked up."""
        ...


def bounces_of(settings: Settings) -> BouncesConfig | None:
    """Read the section; None where it, or its address, is not given."""
    address = settings.parsed(parse_email_address, None, *_AT, "address")
    if address is None:
        return None
    maildir, mbox = (settings.text(*_AT, "from", kind, default="") for kind in ("maildir", "mbox"))
    return BouncesConfig(
        address=address,
        maildir=settings.root / maildir if maildir else None,
        mbox=settings.root / mbox if mbox else None,
        imap=_imap(settings),
    )


def _imap(settings: Settings) -> ImapConfig | None:
    at = (*_AT, "from", "imap")
    host, password = settings.parsed(parse_host, None, *at, "host"), settings.secret(*at, "password")
    user = settings.text(*at, "user", default="")
    if host is None or password is None or not user:
        return None
    tls: Literal["tls", "starttls", "none"] = settings.chosen(TLS, "starttls", "none", at=(*at, "tls"))
    return ImapConfig(
        host=host,
        port=settings.number(PORTS[tls], *at, "port"),
        tls=tls,
        user=user,
        password=password,
        folder=settings.text(*at, "folder", default=FOLDER),
    )


def problems_of_bounces(document: Document, is_this_machine: Callable[[object], bool]) -> Iterator[Problem]:
    """Give what the schema cannot say: room for the token, the domain of the sender, an open password."""
    email = document.data.get("email")
    section = email.get("bounces") if isinstance(email, dict) else None
    if not isinstance(email, dict) or not isinstance(section, dict):
        return
    yield from _address(document, section.get("address"), email.get("from"))
    source = section.get("from")
    imap = source.get("imap") if isinstance(source, dict) else None
    if isinstance(imap, dict) and imap.get("tls") == "none" and not is_this_machine(imap.get("host")):
        said = phrase("with tls none the password travels readable for everyone on the way")
        at = (*_AT, "from", "imap", "tls")
        yield document.problem(at, said, "open-password", hint="tls: tls", severity="warning")


def _address(document: Document, written: object, sender: object) -> Iterator[Problem]:
    at = (*_AT, "address")
    try:
        address = parse_email_address(written) if isinstance(written, str) else ""
    except ValueError:
        return
    if not address:
        return
    local, _, domain = address.rpartition("@")
    if not local.isascii() or "+" in local:
        said = phrase('before the @ of "{address}" may stand no plus, and nothing but plain letters', address=address)
        yield document.problem(at, said, "bad-bounce-address", hint=phrase("address: such as bounces@corner.example"))
    elif len(local) > LONGEST_LOCAL:
        said = phrase(
            '"{address}" leaves no room: before the @ may stand {n} letters', address=address, n=LONGEST_LOCAL
        )
        yield document.problem(at, said, "bad-bounce-address", hint=phrase("address: such as bounces@corner.example"))
    try:
        own = parse_mailbox(sender).address.rpartition("@")[2].lower() if isinstance(sender, str) else ""
    except ValueError:
        return
    other = domain.lower()
    if own and own != other and not own.endswith(f".{other}") and not other.endswith(f".{own}"):
        said = phrase('"{domain}" is another domain than that of "from", {own}', domain=other, own=own)
        cure = phrase(
            "SPF then vouches for a domain that readers do not see, and your emails may be taken for spam. Use one at "
            "{own}, or sign with DKIM.",
            own=own,
        )
        yield document.problem(at, said, "foreign-bounce-domain", hint=cure, severity="warning")
