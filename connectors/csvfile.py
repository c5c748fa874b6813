"""Reading a CSV file as tills and spreadsheets write them: encoding and delimiter are found out, rows are streamed.

Nothing is asked of the owner: UTF-8 (with or without a mark), UTF-16, GBK and Windows-1252 are told apart by their
bytes, comma, semicolon, tab and bar by the first line.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from connectors.csvblocks import Block, blocks

DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_BLOCK: Final = 1 << 20
_SAMPLE: Final = 4 << 20
#: What Excel may write above the header to say what separates the cells.
_SEPARATOR_LINE: Final = re.compile(r"sep=.?")
#: A cell longer than this is a quote that never closes, not a comment of a guest.
_LONGEST_CELL: Final = 128 * 1024


class FileError(Exception):
    """The file as a whole cannot be read; the text says why and what to do, in plain words."""


@dataclass(frozen=True)
class CsvFile:
    """A CSV file with a header. ``header`` is as written, outer blanks dropped."""

    path: Path
    encoding: str  #: a codec of Python's
    delimiter: str
    header: tuple[str, ...]
    size: int  #: bytes
    changed_at: int  #: by the file system's clock, in nanoseconds
    sha256: bytes
    header_line: int = 1
    _place: list[int] = field(default_factory=lambda: [0], repr=False, compare=False)

    @property
    def encoding_name(self) -> str:
        """What to call the encoding to an owner."""
        names = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "gb18030": "GBK"}
        return names.get(self.encoding, "UTF-16")

    @property
    def delimiter_name(self) -> str:
        """What to call the delimiter to an owner."""
        return DELIMITERS[self.delimiter]

    @property
    def bytes_read(self) -> int:
        """How far ``rows`` has come, in bytes of the file."""
        return self._place[0]

    @property
    def is_as_found(self) -> bool:
        """Tell whether nobody has written to the file since it was opened; while it is copied it is not whole."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.size, self.changed_at)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) of every row below the header that is not blank; ``line`` is where the row begins.

        Raises:
            FileError: from some line on the file is no CSV any more.
        """
        try:
            with self.path.open("rb") as raw:
                for line, cells in _parsed(raw, self.encoding, self.delimiter, self._place):
                    if line > self.header_line and any(cells):
                        yield line, cells
        except OSError as error:
            raise FileError(f"the file cannot be read: {error.strerror or type(error).__name__}") from None
        self._place[0] = self.size

    def blocks(self) -> Iterator[Block]:
        """Yield the same rows by the block. Raises as ``rows`` does."""
        try:
            with self.path.open("rb") as raw:
                stream = io.TextIOWrapper(raw, encoding=self.encoding, newline="")
                try:
                    for block in blocks(stream, self.delimiter, len(self.header), self.header_line, _LONGEST_CELL):
                        self._place[0] = raw.tell()
                        yield block
                finally:
                    stream.detach()
        except OSError as error:
            raise FileError(f"the file cannot be read: {error.strerror or type(error).__name__}") from None
        except (csv.Error, UnicodeDecodeError):
            for _ in self.rows():  # tells in which line
                pass
            raise FileError("the file changed while it was read: import it again") from None
        self._place[0] = self.size


def open_csv(path: Path) -> CsvFile:
    """Find out how the file is written and read its header.

    Raises:
        FileError: there is no such file, it is empty, it is a spreadsheet or another kind of file, or has no header.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(4)
            _refuse_other_kinds(start)
            changed_at = os.fstat(raw.fileno()).st_mtime_ns
            raw.seek(0)
            encoding, size, digest = _encoding(raw)
            raw.seek(0)
            delimiter, line, header = _header(raw, encoding)
            return CsvFile(path, encoding, delimiter, header, size, changed_at, digest, line)
    except FileNotFoundError:
        raise FileError("there is no such file") from None
    except IsADirectoryError:
        raise FileError("this is a folder; name a CSV file in it") from None
    except OSError as error:
        raise FileError(f"the file cannot be read: {error.strerror or type(error).__name__}") from None


def _refuse_other_kinds(start: bytes) -> None:
    if not start:
        raise FileError("the file is empty")
    if start.startswith(b"PK"):
        raise FileError("this is an Excel workbook or a ZIP file; save or export it as CSV")
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise FileError("this is an old Excel workbook; save it as CSV")
    if start.startswith((b"%PDF", b"\x1f\x8b", b"SQLi")):
        raise FileError("this is not a CSV file")


def _header(raw: BinaryIO, encoding: str) -> tuple[str, int, tuple[str, ...]]:
    """The delimiter, and the line of the header with its names."""
    text = _first_line(raw, encoding)
    counts = {mark: text.count(mark) for mark in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda mark: counts[mark])  # a tie, as in a file of one column, is the comma
    raw.seek(0)
    for line, cells in _parsed(raw, encoding, delimiter, [0]):
        header = tuple(cell.strip() for cell in cells)
        if any(header) and not _SEPARATOR_LINE.fullmatch(delimiter.join(cells)):
            while header and not header[-1]:
                header = header[:-1]
            return delimiter, line, header
    raise FileError("the file has no line with the names of its columns")


def _first_line(raw: BinaryIO, encoding: str) -> str:
    """The first line that is not blank, without what stands in quotes."""
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline=None)
    try:
        for _ in range(100):
            line = stream.readline(_LONGEST_CELL)
            if (line.strip() and not _SEPARATOR_LINE.fullmatch(line.strip())) or not line:
                return re.sub(r'"[^"]*"', "", line)
    finally:
        stream.detach()
    return ""


def _parsed(raw: BinaryIO, encoding: str, delimiter: str, place: list[int]) -> Iterator[tuple[int, list[str]]]:
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(stream, delimiter=delimiter)
    begins = 1
    try:
        for number, cells in enumerate(reader):
            yield begins, cells
            begins = reader.line_num + 1
            if not number % 256:
                place[0] = raw.tell()
    except csv.Error:
        raise FileError(
            f"from line {begins} on the file is no CSV any more; mostly a quotation mark is opened there and never "
            "closed"
        ) from None
    except UnicodeDecodeError:
        raise FileError(
            f"somewhere below line {begins} stands a sign that is damaged: save the file as UTF-8 and import it again"
        ) from None
    finally:
        stream.detach()


def _encoding(raw: BinaryIO) -> tuple[str, int, bytes]:
    """The encoding, the size and the SHA-256 of the whole file, read once."""
    digest, size = hashlib.sha256(), 0
    utf8 = codecs.getincrementaldecoder("utf-8")()
    sample = b""
    valid = True
    while block := raw.read(_BLOCK):
        digest.update(block)
        size += len(block)
        if len(sample) < _SAMPLE:
            sample += block
        if valid:
            try:
                utf8.decode(block)
            except UnicodeDecodeError:
                valid = False
    if valid:
        try:
            utf8.decode(b"", final=True)
        except UnicodeDecodeError:
            valid = False
    return _named(raw, sample, valid_utf8=valid), size, digest.digest()


def _named(raw: BinaryIO, sample: bytes, *, valid_utf8: bool) -> str:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if sample.startswith(codecs.BOM_UTF8) and valid_utf8:
        return "utf-8-sig"
    zeros = sample[:4096].count(0)
    if zeros * 4 > len(sample[:4096]):  # UTF-16 without its mark: every other byte of Latin text is zero
        return "utf-16-le" if sample[1:2] == b"\0" else "utf-16-be"
    if zeros:
        raise FileError("this is not a text file")
    if valid_utf8:
        return "utf-8"
    return "gb18030" if _looks_like_gbk(sample) and _decodes(raw, "gb18030") else "cp1252"


def _looks_like_gbk(sample: bytes) -> bool:
    """In Chinese text both bytes of a character are high; in Western text a high byte stands among plain letters."""
    pairs = len(re.findall(rb"[\x81-\xfe][\x40-\xfe]", sample))
    both_high = len(re.findall(rb"[\xa1-\xfe][\xa1-\xfe]", sample))
    return both_high * 10 > pairs * 7


def _decodes(raw: BinaryIO, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    raw.seek(0)
    try:
        while block := raw.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
