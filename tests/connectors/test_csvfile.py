from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.csvfile import CsvFile, FileError, open_csv

TEXT = "name,city\nZoë,Genève\n"
CHINESE = "姓名,城市\n李伟,上海\n王芳,北京市朝阳区\n"


def written(folder: Path, data: bytes) -> CsvFile:
    file = folder / "data.csv"
    file.write_bytes(data)
    return open_csv(file)


@pytest.mark.parametrize(
    ("data", "name", "city"),
    [
        (TEXT.encode(), "UTF-8", "Genève"),
        (codecs.BOM_UTF8 + TEXT.encode(), "UTF-8", "Genève"),
        (TEXT.encode("utf-16"), "UTF-16", "Genève"),
        (TEXT.encode("utf-16-le"), "UTF-16", "Genève"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "UTF-16", "Genève"),
        (TEXT.encode("utf-16-be"), "UTF-16", "Genève"),
        (TEXT.encode("cp1252"), "Windows-1252", "Genève"),
        ("name,city\nMüller,Köln\nJörg,Łódź\n".encode("cp1252", "replace"), "Windows-1252", "Köln"),
        (CHINESE.encode("gbk"), "GBK", "上海"),
        (CHINESE.encode(), "UTF-8", "上海"),
    ],
    ids=["utf-8", "utf-8 with mark", "utf-16", "utf-16-le bare", "utf-16-be", "utf-16-be bare", "cp1252", "umlauts", "gbk",
         "chinese utf-8"],
)  # fmt: skip
def test_the_encoding_is_told_by_the_bytes(tmp_path: Path, data: bytes, name: str, city: str):
    file = written(tmp_path, data)
    assert file.encoding_name == name
    assert next(cells[1] for _, cells in file.rows()) == city
    assert file.header[0] in {"name", "姓名"}


def test_a_latin_file_that_is_broken_only_at_its_end_is_still_read(tmp_path: Path):
    file = written(tmp_path, b"name,city\n" + b"Ann,Rome\n" * 200_000 + "Zoë,Genève\n".encode("cp1252"))
    *_, last = file.rows()
    assert last == (200_002, ["Zoë", "Genève"])


@pytest.mark.parametrize(
    ("text", "name", "header"),
    [
        ("a,b\n1,2\n", "comma", ("a", "b")),
        ("a;b\n1,5;2,5\n", "semicolon", ("a", "b")),
        ("a\tb\n1\t2\n", "tab", ("a", "b")),
        ("a|b\n1|2\n", "bar", ("a", "b")),
        ('"a, or b";c\n1;2\n', "semicolon", ("a, or b", "c")),
        ("only\n1\n", "comma", ("only",)),
        ("a,b,,\n1,2,,\n", "comma", ("a", "b")),
        ("sep=;\na;b\n1;2\n", "semicolon", ("a", "b")),
        ("sep=,\na,b\n1,2\n", "comma", ("a", "b")),
    ],
)
def test_the_delimiter_is_told_by_the_first_line(tmp_path: Path, text: str, name: str, header: tuple[str, ...]):
    file = written(tmp_path, text.encode())
    assert (file.delimiter_name, file.header) == (name, header)


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path):
    file = written(tmp_path, b'\n\na,b\r\n1,"x\r\ny"\r\n\r\n2,z\r\n,\r\n3,w')
    assert list(file.rows()) == [(4, ["1", "x\r\ny"]), (7, ["2", "z"]), (9, ["3", "w"])]


def test_how_far_it_is_and_what_was_read_are_known(tmp_path: Path):
    data = b"a,b\n" + b"1,2\n" * 5000
    file = written(tmp_path, data)
    rows = file.rows()
    next(rows)
    assert 0 <= file.bytes_read <= len(data)
    assert len(list(rows)) == 4999
    assert (file.bytes_read, file.size, file.sha256) == (len(data), len(data), hashlib.sha256(data).digest())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04rest", "this is an Excel workbook or a ZIP file; save or export it as CSV"),
        (b"\xd0\xcf\x11\xe0rest", "this is an old Excel workbook; save it as CSV"),
        (b"%PDF-1.7", "this is not a CSV file"),
        (b"\n\n  \n", "the file has no line with the names of its columns"),
        (b"a,b\0\0,c\n", "this is not a text file"),
    ],
)
def test_what_is_no_csv_file_is_refused_in_words(tmp_path: Path, data: bytes, said: str):
    with pytest.raises(FileError, match=said):
        written(tmp_path, data)


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,M\xfcller \x81\n",  # Windows-1252 has no sign 81
        "a,b\n".encode("utf-16") + b"\x00\xd8\n\x00",  # half of a pair
        "a,b\n1,2\n".encode("utf-16")[:-1],
    ],
    ids=["cp1252", "half a pair", "cut off"],
)
def test_a_damaged_sign_is_told_in_words(tmp_path: Path, data: bytes):
    with pytest.raises(
        FileError, match=r"somewhere below line \d stands a sign that is damaged: save the file as UTF-8"
    ):
        list(written(tmp_path, data).rows())


def test_a_file_that_is_not_there_is_refused_in_words(tmp_path: Path):
    with pytest.raises(FileError, match="there is no such file"):
        open_csv(tmp_path / "none.csv")
    with pytest.raises(FileError, match="this is a folder"):
        open_csv(tmp_path)


def test_a_quotation_mark_that_never_closes_is_told_with_its_line(tmp_path: Path):
    file = written(tmp_path, b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 60_000)
    with pytest.raises(FileError, match="from line 3 on"):
        list(file.rows())


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8), min_size=3, max_size=3)
    )
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]):
    import csv

    path = tmp_path_factory.mktemp("csv") / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["first", "second", "third"], *rows])
    assert [cells for _, cells in open_csv(path).rows()] == [row for row in rows if any(row)]
