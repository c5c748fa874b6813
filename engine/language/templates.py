"""An owner's templates: one folder each under ``templates/``, read and checked before anything is sent.

``templates/<name>/`` holds ``subject.txt``, ``email.mjml`` or ``email.html``, ``email.txt`` and ``sms.txt``, each with
an optional language in its name, such as ``email.zh-Hans.mjml``. ``placeholders.py`` says what a template may use.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from engine.language.compliance import Texts
from engine.language.markup import check_mjml
from engine.language.phrases import listed, phrase
from engine.language.problems import Problem, errors, whole_file
from engine.language.smslength import check_length
from engine.language.templatecheck import check_text
from engine.language.wording import did_you_mean

Word = Literal["email", "sms", "alert"]

FOLDER: Final = "templates"
_LARGEST: Final = 300_000  # bytes; mail programs cut a message off long before
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_FILE = re.compile(
    r"(?P<stem>subject|email|sms)(?:\.(?P<language>[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*))?\.(?P<ending>txt|html|mjml)"
)
_FILES: Final = ("subject.txt", "email.mjml", "email.html", "email.txt", "sms.txt")
_NOTHING: Final = Texts()
#: For providers that take only templates of their own; read by the connectors that need it.
_PROVIDER: Final = "provider.yaml"
_OF_WORD: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("subject", "email"),
    "sms": ("sms",),
    "alert": ("subject", "email", "sms"),
}
#: What editors and file managers leave behind.
_LITTER = re.compile(r"\..*|.*~|Thumbs\.db|desktop\.ini|.*\.(?:swp|bak|orig)", re.IGNORECASE)


@dataclass(frozen=True)
class FileName:
    """A template's file name, taken apart: ``email.zh-Hans.mjml``."""

    stem: Literal["subject", "email", "sms"]
    language: str  #: empty in a plain file
    ending: Literal["txt", "html", "mjml"]


@dataclass(frozen=True)
class Template:
    """One folder of texts. ``files`` is text by file name; ``hash`` tells two versions apart."""

    name: str
    files: Mapping[str, str] = field(repr=False)
    names: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)  #: placeholders' first words by stem
    broken: bool = False  #: its problems have errors: a rule that uses it must not run

    @property
    def hash(self) -> bytes:
        """Give the SHA-256 of all the texts and their names."""
        return content_hash(self.files)

    def serves(self, channel: Literal["email", "sms"]) -> bool:
        """Tell whether it has a text for the channel."""
        return any(name.stem == channel for name in map(file_name, self.files) if name)

    @property
    def has_subject(self) -> bool:
        """Tell whether it has a subject of its own; else the rule's email step must give one."""
        return any(name.stem == "subject" for name in map(file_name, self.files) if name)

    def uses(self, name: str, word: Word, *, own_subject: bool = False) -> bool:
        """Tell whether what ``word`` sends needs ``name``: it is used, and not only behind ``{% if name %}``.

        ``own_subject``: the rule has one, which is sent instead of the template's.
        """
        stems = ("email",) if own_subject else _OF_WORD[word]
        return any(name in self.names.get(stem, ()) for stem in stems)


def content_hash(files: Mapping[str, str]) -> bytes:
    """Give the SHA-256 that stands for a version of a template's files."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True, ensure_ascii=False).encode()).digest()


def file_name(name: str) -> FileName | None:
    """Take a file name apart, or give None where it is none of a template's."""
    found = _FILE.fullmatch(name)
    if found is None or (found["ending"] != "txt" and found["stem"] != "email"):
        return None
    return FileName(found["stem"], found["language"] or "", found["ending"])  # type: ignore[arg-type]  # as in _FILE


def languages(wanted: Iterable[str | None]) -> tuple[str, ...]:
    """Give the languages to look for, best first: ``zh-Hant-HK`` falls to ``zh-Hant``, then ``zh``; last the plain."""
    chain: list[str] = []
    for tag in wanted:
        parts = (tag or "").replace("_", "-").split("-")
        chain.extend("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return tuple(dict.fromkeys([*filter(None, chain), ""]))


def choose(files: Iterable[str], stem: str, endings: tuple[str, ...], chain: Iterable[str]) -> str | None:
    """Give the name of the file of that stem in the first language that has one, the earlier ending first."""
    known: dict[tuple[str, str], str] = {
        (name.language.casefold(), name.ending): file
        for file in files
        if (name := file_name(file)) and name.stem == stem
    }
    for language in chain:
        for ending in endings:
            if (language.casefold(), ending) in known:
                return known[language.casefold(), ending]
    return None


def load_templates(root: Path, required: Texts | None = _NOTHING) -> tuple[dict[str, Template], list[Problem]]:
    """Read every template of the home at ``root``. One with errors is there too, marked ``broken``.

    ``required`` is what the law of the home's country wants to stand in an advertising SMS: it counts for its length.
    None: nobody wants to know how long it becomes.
    """
    templates: dict[str, Template] = {}
    problems: list[Problem] = []
    try:
        entries = sorted((root / FOLDER).iterdir())
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [_unreadable(FOLDER, error)]
    for entry in entries:
        shown = f"{FOLDER}/{entry.name}"
        if _LITTER.fullmatch(entry.name):
            continue
        if not entry.is_dir():
            message = phrase("a template is a folder, not a file")
            hint = phrase("make a folder templates/<name>/ with {files}", files=listed(_FILES))
            problems.append(whole_file(shown, message, "template-file", hint=hint, severity="warning"))
        elif not _NAME.fullmatch(entry.name):
            message = phrase("a template's name has letters, digits, - and _ only")
            problems.append(whole_file(shown, message, "template-name"))
        else:
            template, found = load_template(root, entry.name, required)
            problems.extend(found)
            templates[entry.name] = template
    return templates, problems


def load_template(root: Path, name: str, required: Texts | None = _NOTHING) -> tuple[Template, list[Problem]]:
    """Read the template ``templates/<name>/``: what could be read of it, and every problem."""
    folder = f"{FOLDER}/{name}"
    files: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        entries = sorted((root / FOLDER / name).iterdir())
    except OSError as error:
        return Template(name, {}, broken=True), [_unreadable(folder, error)]
    for entry in entries:
        shown = f"{folder}/{entry.name}"
        if _LITTER.fullmatch(entry.name) or entry.name == _PROVIDER:
            continue
        if file_name(entry.name) is None:
            near = did_you_mean(entry.name, _FILES)
            message = phrase('"{name}" is not a file of a template{meant}', name=entry.name, meant=near)
            hint = phrase(
                "its files are {files}, each with an optional language, such as email.zh.mjml", files=listed(_FILES)
            )
            problems.append(whole_file(shown, message, "template-file", hint=hint))
            continue
        text, found = _read(entry, shown)
        problems.extend(found)
        if text is not None:
            files[entry.name] = text
    names, found = _check(files, folder, required)
    problems.extend(found)
    problems.extend(_check_set(files, folder))
    return Template(name, files, names, broken=bool(errors(problems))), problems


def _read(file: Path, shown: str) -> tuple[str | None, list[Problem]]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        return None, [_unreadable(shown, error)]
    if len(raw) > _LARGEST:
        message = phrase("the file has {n:,} bytes; {most:,} is the most", n=len(raw), most=_LARGEST)
        return None, [whole_file(shown, message, "template-size")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        message = phrase("the file is not UTF-8: save it again as UTF-8")
        return None, [Problem(shown, before.count("\n") + 1, len(before) - before.rfind("\n"), message, "encoding")]
    return text.replace("\r\n", "\n").replace("\r", "\n"), []


def _check(
    files: Mapping[str, str], folder: str, required: Texts | None
) -> tuple[dict[str, frozenset[str]], list[Problem]]:
    names: dict[str, set[str]] = {}
    problems: list[Problem] = []
    for file, text in files.items():
        name, shown = file_name(file), f"{folder}/{file}"
        if name is None:
            continue
        uses = check_text(text, shown)
        names.setdefault(name.stem, set()).update(uses.names)
        problems.extend(uses.problems)
        if uses.problems:
            continue
        if name.ending == "mjml":
            problems.extend(check_mjml(text, shown))
        elif name.stem == "sms" and required is not None:
            problems.extend(check_length(text, shown, required))
        if not text.strip():
            problems.append(whole_file(shown, phrase("the file is empty"), "template-empty"))
    return {stem: frozenset(used) for stem, used in names.items()}, problems


def _check_set(files: Mapping[str, str], folder: str) -> Iterator[Problem]:
    """Find what is wrong with the files together."""
    known = {file: name for file in files if (name := file_name(file))}
    if not known:
        hint = phrase("it needs some of {files}", files=listed(_FILES))
        yield whole_file(folder, phrase("the template is empty"), "template-empty", hint=hint)
    for file, name in known.items():
        twin = file.removesuffix("html") + "mjml"
        if name.ending == "html" and twin in files:
            message = phrase("{file} and {twin} are the same message twice: keep one", file=file, twin=twin)
            yield whole_file(f"{folder}/{file}", message, "template-twice")
    for stem in ("subject", "email", "sms"):
        tagged = sorted({name.language for name in known.values() if name.stem == stem})
        if tagged and "" not in tagged:
            plain = next(one for one in _FILES if one.startswith(stem))
            message = phrase(
                "the template has {stem} for {languages}, and nothing for guests of another language",
                stem=stem,
                languages=listed(tagged),
            )
            hint = phrase("add {file}", file=plain)
            yield whole_file(folder, message, "template-language", hint=hint, severity="warning")


def _unreadable(shown: str, error: OSError) -> Problem:
    why = error.strerror.lower() if error.strerror else phrase("no reason given")
    return whole_file(shown, phrase("cannot be read: {why}", why=why), "unreadable")
