"""Where a guest is named in the home's files, and taking them out: messages written as files, and imported files."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from fnmatch import fnmatch
from html import unescape
from pathlib import Path
from typing import Final

from connectors.csvfile import CsvFile, FileError, open_csv
from connectors.disk import sync
from connectors.records import Layout, Record, RowError
from engine.intake.recognise import recognise
from engine.intake.rejects import PATTERN
from engine.language.config import Config

#: Kinds whose rows are about a person; a row of the others names nobody but by an id.
_ABOUT_A_PERSON: Final = frozenset({"customers", "ratings", "events"})
_TABLES: Final = frozenset({".csv", ".tsv", ".txt"})
_LARGEST: Final = 50_000_000  # bytes of a file that is searched whole
_SHORTEST_NUMBER: Final = 6  # digits: less is no phone number


@dataclass(frozen=True)
class Traces:
    """What a guest is known by. Addresses that somebody else shares are left out: they are not only this guest's."""

    source: str
    external_id: str = field(repr=False)
    names: frozenset[str] = field(default_factory=frozenset, repr=False)
    emails: frozenset[str] = field(default_factory=frozenset, repr=False)
    phones: frozenset[str] = field(default_factory=frozenset, repr=False)  #: E.164

    def contact_in(self, text: str) -> bool:
        """Tell whether an address or a number of the guest stands in ``text``, however it is written."""
        lowered = text.casefold()
        if any(email.casefold() in lowered for email in self.emails):
            return True
        runs = ["".join(filter(str.isdigit, run)) for run in re.findall(r"\+?\d[\d\s().\-/]*", text)]
        return any(_same_number(run, phone[1:]) for run in runs for phone in self.phones)

    def name_in(self, text: str) -> bool:
        """Tell whether the guest's name stands in ``text``, as whole words; so may another's of the same name."""
        folded = " ".join(text.split()).casefold()
        return any(
            re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", folded) is not None
            if name.isascii()
            else name.casefold() in folded
            for name in self.names
        )

    def within(self, text: str) -> bool:
        """Tell whether anything of the guest stands in ``text``."""
        return self.contact_in(text) or self.name_in(text)


def _same_number(digits: str, whole: str) -> bool:
    """Compare digits with those of an E.164 number: a national way to write it leaves out the country's code."""
    if len(digits) < _SHORTEST_NUMBER:
        return False
    return digits == whole or (len(whole) - len(digits.lstrip("0")) <= 3 and whole.endswith(digits.lstrip("0")))  # noqa: PLR2004 (no country's code is longer)


def remove_messages(folder: Path, traces: Traces) -> int:
    """Delete what was written to the guest's own addresses, and every message marked TEST; give how many.

    A test shows a guest by first name, comment or order only, and can be sent again. A message to somebody else who
    has the same name stays.
    """
    count = 0
    for file in files_below(folder):
        text = _readable(file)
        if traces.contact_in(text) or re.search(r"^Subject: TEST: |^TEST: ", text, re.MULTILINE) is not None:
            count += _unlinked(file)
    return count


def remove_previews(folder: Path) -> tuple[int, int]:
    """Delete every page of ``folder``, whoever it shows: it can be made again. Give how many went, and how many not."""
    files = list(files_below(folder))
    gone = sum(map(_unlinked, files))
    return gone, len(files) - gone


def _unlinked(file: Path) -> bool:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def remove_rows(config: Config, traces: Traces) -> dict[Path, int]:
    """Take the guest's rows out of the files in the inbox, of those taken in, and of those of refused rows.

    Gives how many rows went from which file. A row is the guest's by id or by contact; sales that name nobody stay.
    """
    taken: dict[Path, int] = {}
    files = [file for file in files_below(config.inbox) if file.suffix.lower() in _TABLES]
    files += [file for file in files_below(config.root) if fnmatch(file.name, PATTERN) and file not in files]
    for file in files:
        try:
            opened = open_csv(file)
            gone = _rewrite(opened, config, traces)
        except FileError:
            continue  # not a table: what stands in it is told
        if gone:
            taken[file] = gone
    return taken


def found_in(root: Path, traces: Traces, *, but: Sequence[Path] = ()) -> Iterator[Path]:
    """Find the files below ``root`` in which the guest is still named. Hidden folders and ``but`` are passed over."""
    for file in files_below(root):
        if file not in but and file.stat().st_size <= _LARGEST and traces.within(_readable(file)):
            yield file


def _rewrite(opened: CsvFile, config: Config, traces: Traces) -> int:
    """Write the file without the guest's rows, in place, in its own encoding; give how many rows went."""
    try:
        layout = recognise(opened.header, None, None, config.attributes)
    except FileError:
        layout = None
    draft = opened.path.with_name(f".{opened.path.name}.{os.getpid()}.draft")
    gone = 0
    try:
        with draft.open("w", encoding=opened.encoding, newline="") as stream:
            writer = csv.writer(stream, delimiter=opened.delimiter, lineterminator="\n")
            writer.writerow(opened.header)
            for _, cells in opened.rows():
                if _is_the_guests(cells, layout, traces):
                    gone += 1
                else:
                    writer.writerow(cells)
            stream.flush()
            sync(stream.fileno())
        if gone:
            draft.replace(opened.path)
    finally:
        draft.unlink(missing_ok=True)
    return gone


def _is_the_guests(cells: list[str], layout: Layout | None, traces: Traces) -> bool:
    text = "\n".join(cells)
    if traces.contact_in(text):
        return True
    records: list[Record] = []
    if layout is not None and layout.till == traces.source:
        try:
            records = layout.records(cells)
        except RowError:
            records = []
    mine = any(record.values.get("customer_id") == traces.external_id for record in records)
    return mine and (traces.name_in(text) or any(record.kind in _ABOUT_A_PERSON for record in records))


def files_below(folder: Path) -> Iterator[Path]:
    """Give every file below ``folder``, but for the database and what lies in hidden folders and environments."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        for name in sorted(names):
            file = Path(path) / name
            if file.is_file() and not file.is_symlink() and ".db" not in file.suffixes and ".db-" not in name:
                yield file


def _readable(file: Path) -> str:
    """Give the text of a file, a mail's parts decoded; what cannot be read as text is read byte by byte."""
    try:
        raw = file.read_bytes()
    except OSError:
        return ""
    if file.suffix in {".eml", ".draft"}:
        return _mail_text(raw)
    for encoding in ("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "gb18030"):
        try:
            return unescape(raw.decode(encoding))
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _mail_text(raw: bytes) -> str:
    mail = message_from_bytes(raw, policy=policy.default)
    said = [f"{name}: {value}" for name, value in mail.items()]
    said += [unescape(str(part.get_content())) for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join(said)
