"""A new home: the shipped rules, templates and config with the owner's own answers in them."""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

from engine.language.config_schema import SAMPLE_ADDRESS
from engine.language.keys import KeyFileError, make_key
from engine.language.shipped import shipped_files

#: What may lie in a folder that still counts as empty.
HARMLESS: Final = frozenset({".git", ".DS_Store", "desktop.ini", "Thumbs.db"})

GITIGNORE: Final = """\
# The key, the guests and what was written to them belong in your backup, not in a repository.
regulars.key
*.db
*.db-*
*.rejects*.csv
regulars.lock
inbox/
journal/
backups/
outbox/
preview/
secrets/
.env
"""

VSCODE_SETTINGS: Final = """\
{
  "yaml.schemas": {
    "./config/schema/rule.json": "rules/*.yaml",
    "./config/schema/config.json": "config/regulars.yaml",
    "./config/schema/segments.json": "config/segments.yaml",
    "./config/schema/offers.json": "config/offers.yaml",
    "./config/schema/loyalty.json": "config/loyalty.yaml",
    "./config/schema/compliance.json": "config/compliance/*.yaml",
    "./config/schema/calendar.json": "config/calendar.yaml"
  },
  "files.associations": {
    "*.mjml": "html"
  },
  "files.encoding": "utf8",
  "[yaml]": {
    "editor.insertSpaces": true,
    "editor.tabSize": 2,
    "editor.quickSuggestions": { "other": true, "comments": false, "strings": true }
  }
}
"""

VSCODE_EXTENSIONS: Final = """\
{
  "recommendations": ["redhat.vscode-yaml"]
}
"""


class HomeError(Exception):
    """A home could not be made; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class HomeAnswers:
    """What only the owner knows. Left out, it is the sample café's, with which no real message goes out."""

    name: str = "Corner Café"
    address: str = SAMPLE_ADDRESS
    country: str = "US"
    language: str = "en"
    timezone: str = "America/Chicago"
    currency: str = "USD"
    sender: str = "hello@corner.example"  #: the address that guests see and answer to
    manager_email: str = "manager@corner.example"  #: this or the phone may be empty
    manager_phone: str = "+15005550100"  #: with the country's code
    fresh: str | None = None  #: how old the newest order may be for rules of absence; None keeps the shipped value


#: The home of the generated café. Its orders end on a fixed day, so its rules of absence wait for no newer ones.
DEMO_ANSWERS: Final = HomeAnswers(fresh="off")


def starter_files() -> Path:
    """The folder with the shipped ``rules``, ``templates`` and ``config``: in the wheel, else the checkout's."""
    return shipped_files()


def create_home(root: Path, *, answers: HomeAnswers, source: Path | None = None) -> Path:
    """Make a home in ``root`` and give its absolute path; all of it or nothing.

    ``root`` is made where missing; a folder that holds anything is refused with ``HomeError``, as is one that cannot
    be written. ``source`` is where the shipped files lie (``starter_files()``).
    """
    root = root.expanduser().absolute()
    if not (answers.manager_email or answers.manager_phone):
        raise HomeError("Alerts need somebody to go to: give the manager's email address or phone number.")
    source = source or starter_files()
    try:
        existed = _check_empty(root)
        root.mkdir(parents=True, exist_ok=True)
        stage = root / f".making-{uuid.uuid4().hex[:8]}"
        with _undone_on_failure(root, stage, existed=existed):
            _fill(stage, source, answers)
            for entry in sorted(stage.iterdir()):
                entry.rename(root / entry.name)
            stage.rmdir()
    except KeyFileError as error:
        raise HomeError(f"{error}. Nothing was left behind.") from error
    except OSError as error:
        raise HomeError(f"{root} could not be made: {error.strerror or error}. Nothing was left behind.") from error
    return root


def _check_empty(root: Path) -> bool:
    """Tell whether ``root`` is there; ``HomeError`` when something is in it."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise HomeError(f"{root} is a file. Give the name of a folder: regulars init my-cafe")
    if (root / "config" / "regulars.yaml").exists():
        command = f"regulars --home {quote(str(root))} validate"
        raise HomeError(f"{root} is a home already; nothing was changed. Work with it: {command}")
    if any(entry.name not in HARMLESS for entry in root.iterdir()):
        raise HomeError(f"{root} is not empty; nothing in it was changed. Give a new folder: regulars init my-cafe")
    return True


@contextlib.contextmanager
def _undone_on_failure(root: Path, stage: Path, *, existed: bool) -> Iterator[None]:
    """Take away what was made in ``root``, which was empty before, when the block fails for any reason."""
    try:
        yield
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for entry in root.iterdir():
            if entry.name in HARMLESS:
                continue
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        if not existed:
            with contextlib.suppress(OSError):
                root.rmdir()
        raise


def _fill(stage: Path, source: Path, answers: HomeAnswers) -> None:
    stage.mkdir()
    for folder in ("rules", "templates", "config"):
        shutil.copytree(source / folder, stage / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    config = stage / "config" / "regulars.yaml"
    config.write_text(with_answers(config.read_text(encoding="utf-8"), answers), encoding="utf-8")
    (stage / "inbox").mkdir()
    (stage / ".vscode").mkdir()
    (stage / ".vscode" / "settings.json").write_text(VSCODE_SETTINGS, encoding="utf-8")
    (stage / ".vscode" / "extensions.json").write_text(VSCODE_EXTENSIONS, encoding="utf-8")
    (stage / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
    make_key(stage)


def with_answers(text: str, answers: HomeAnswers) -> str:
    """Give the text of ``config/regulars.yaml`` with the owner's answers; comments and everything else stay."""
    values = {
        ("business", "name"): answers.name,
        ("business", "address"): answers.address,
        ("business", "country"): answers.country,
        ("business", "language"): answers.language,
        ("business", "timezone"): answers.timezone,
        ("business", "currency"): answers.currency,
        ("contacts", "manager", "email"): answers.manager_email,
        ("contacts", "manager", "phone"): answers.manager_phone,
        ("email", "from"): _mailbox(answers.name, answers.sender),
    }
    if answers.fresh is not None:
        values["data", "fresh"] = answers.fresh
    text = _set(text, values)
    if answers.address != SAMPLE_ADDRESS:
        text = text.replace(_SAMPLE_NOTE, "  # Stands at the foot of every email, as the law asks.\n")
    return text


_SAMPLE_NOTE = """\
  # Stands at the foot of every email, as the law asks; advertising does not start without it. This one is a sample:
  # with it no real message goes out.
"""

_SETTING = re.compile(
    r"(?P<indent> *)(?P<key>[a-z_]+):"
    r'(?P<value>(?: +(?:"[^"]*"|[^#\s][^#]*?))?)'
    r"(?P<rest> *(?: #.*)?)"
)


def _set(text: str, values: Mapping[tuple[str, ...], str]) -> str:
    """Write ``values`` at their keys; an empty one takes its line away.

    ``KeyError`` names a key that the text has not: the shipped file has changed.
    """
    missing = dict(values)
    path: list[str] = []
    lines = []
    for line in text.splitlines():
        if found := _SETTING.fullmatch(line):
            depth = len(found["indent"]) // 2
            path[depth:] = [found["key"]]
            if (value := missing.pop(tuple(path), None)) is not None:
                if value:
                    lines.append(_line(found, value))
                continue
        lines.append(line)
    if missing:
        raise KeyError(*missing)
    return "\n".join(lines) + "\n"


def _line(found: re.Match[str], value: str) -> str:
    """One line with a new value; its comment keeps its column where there is room."""
    setting = f"{found['indent']}{found['key']}: {_scalar(value)}"
    comment = found["rest"].lstrip()
    if not comment:
        return setting
    column = found.end("rest") - len(comment)
    return f"{setting} ".ljust(column) + comment


def _scalar(value: str) -> str:
    """``value`` as YAML: plain where that is safe, else in double quotes."""
    if re.fullmatch(r"[^\W\d][\w .,'&()/@<>-]*(?<! )", value) and value.lower() not in {"true", "false", "null"}:
        return value
    if re.fullmatch(r"\d+ [\w .,'&()/-]*(?<! )", value):  # an address that begins with its number
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _mailbox(name: str, address: str) -> str:
    """Sender as an email shows it; marks that have a meaning there are left out of the name."""
    shown = re.sub(r'[<>"\x00-\x1f]', "", name).strip()
    return f"{shown} <{address}>"
