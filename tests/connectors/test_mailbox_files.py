"""Letters in files: a maildir, from which what is settled moves, and an mbox, which stays as it is."""

from __future__ import annotations

import errno
import mailbox
import os
from pathlib import Path

import pytest

from connectors.mailbox import LARGEST, Letter, MailboxError
from connectors.mailbox_files import Maildir, Mbox

RAWS = [b"From: a@example.com\nSubject: one\n\nfirst\n", b"From: b@example.com\nSubject: two\n\nsecond\n"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = mailbox.Maildir(tmp_path / "mail")
    for raw in RAWS:
        made.add(raw)
    return tmp_path / "mail"


def names(folder: Path) -> tuple[int, list[str]]:
    return len(list((folder / "new").iterdir())), [each.name.partition(":")[2] for each in (folder / "cur").iterdir()]


def test_what_is_settled_moves_and_what_was_not_understood_stays_unseen(folder: Path):
    box = Maildir(folder)
    letters = list(box.letters())
    assert sorted(each.raw for each in letters) == sorted(RAWS)
    assert names(folder) == (2, [])
    box.settle(letters[0], understood=True)
    box.settle(letters[1], understood=False)
    assert names(folder)[0] == 0
    assert sorted(names(folder)[1]) == ["2,", "2,S"]
    assert list(Maildir(folder).letters()) == []
    assert {each.get_flags() for each in mailbox.Maildir(folder)} == {"", "S"}


def test_a_letter_that_another_reader_took_is_no_problem(folder: Path):
    box = Maildir(folder)
    letters = box.letters()
    first = next(letters)
    for each in (folder / "new").iterdir():
        each.unlink()
    box.settle(first, understood=True)
    assert list(letters) == []


@pytest.fixture(params=["links", "no links"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("disk")
def test_no_letter_takes_the_place_of_another(tmp_path: Path):
    for name in ("new", "cur", "tmp"):
        (tmp_path / name).mkdir()
    given = {"new/13.x": b"newer", "new/14:2,a": b"one", "new/14:2,b": b"two", "cur/13.x:2,S": b"older"}
    for name, raw in given.items():
        (tmp_path / name).write_bytes(raw)
    box = Maildir(tmp_path)
    for letter in box.letters():
        box.settle(letter, understood=True)
    assert list((tmp_path / "new").iterdir()) == []
    kept = {each.name: each.read_bytes() for each in (tmp_path / "cur").iterdir()}
    assert kept == {"13.x:2,S": b"older", "13.R1x:2,S": b"newer", "14:2,S": b"one", "14.R1:2,S": b"two"}


def test_a_move_that_was_cut_off_in_the_middle_is_ended(folder: Path):
    letter = next(Maildir(folder).letters())
    os.link(folder / "new" / letter.name, folder / "cur" / f"{letter.name}:2,S")
    Maildir(folder).settle(letter, understood=True)
    assert names(folder) == (1, ["2,S"])


def test_a_letter_that_cannot_be_read_keeps_back_no_other_and_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    real, bad = os.open, {"0.ours\n\udcff", "1.too"}
    for name in bad:
        (folder / "new" / name).write_bytes(b"x")

    def refuse(path: Path, flags: int) -> int:
        if path.name in bad:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    letters = Maildir(folder).letters()
    assert {next(letters).raw, next(letters).raw} == set(RAWS)
    with pytest.raises(MailboxError) as told:
        next(letters)
    assert str(told.value) == f"{folder}/new/0.ours?? cannot be read: Permission denied. So it is with 1 more there."


def test_of_a_huge_letter_the_beginning_is_read(folder: Path):
    (folder / "new" / "0.huge").write_bytes(b"x" * (LARGEST + 5))
    assert max(len(each.raw) for each in Maildir(folder).letters()) == LARGEST


def test_only_plain_files_are_read(folder: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("geheim")
    (folder / "new" / "1.link").symlink_to(tmp_path / "secret")
    (folder / "new" / "2.folder").mkdir()
    (folder / "new" / ".hidden").write_text("no")
    os.mkfifo(folder / "new" / "3.pipe")
    assert sorted(each.raw for each in Maildir(folder).letters()) == sorted(RAWS)


def test_the_oldest_are_read_first_and_the_others_wait(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.mailbox_files.MOST", 1)
    box = Maildir(folder)
    for letter in box.letters():
        box.settle(letter, understood=True)
    assert (box.left, names(folder)[0]) == (1, 1)


def test_what_is_no_maildir_is_told(tmp_path: Path):
    with pytest.raises(MailboxError, match="is no maildir"):
        list(Maildir(tmp_path).letters())
    with pytest.raises(MailboxError, match="is no maildir"):
        list(Maildir(tmp_path / "nowhere").letters())
    (tmp_path / "cur").mkdir()
    with pytest.raises(MailboxError, match="cannot be read"):
        list(Maildir(tmp_path).letters())


def an_mbox(file: Path, raws: list[bytes]) -> Path:
    file.write_bytes(b"".join(b"From MAILER-DAEMON Mon May  4 10:00:00 2026\n" + raw + b"\n" for raw in raws))
    return file


def test_an_mbox_is_read_and_left_as_it_is(tmp_path: Path):
    file = an_mbox(tmp_path / "mbox", RAWS)
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    box = Mbox(file)
    letters = list(box.letters())
    assert [each.raw for each in letters] == RAWS
    for each in letters:
        box.settle(each, understood=True)
    box.close()
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert len(list(Mbox(file).letters())) == 2


def test_a_long_mbox_is_read_whole_as_none_of_it_is_ever_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("connectors.mailbox_files.MOST", 1)
    box = Mbox(an_mbox(tmp_path / "mbox", RAWS))
    assert [each.raw for each in box.letters()] == RAWS
    assert box.left == 0


@pytest.mark.parametrize("content", [b"Subject: a saved letter\n\nHi\n", b"\xff\x00" * 1000])
def test_what_is_no_mbox_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "mbox").write_bytes(content)
    with pytest.raises(MailboxError, match='is no mbox: no line in it begins with "From "'):
        list(Mbox(tmp_path / "mbox").letters())


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_mbox_without_letters_has_none(tmp_path: Path, content: bytes):
    (tmp_path / "mbox").write_bytes(content)
    assert list(Mbox(tmp_path / "mbox").letters()) == []


def test_an_mbox_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(MailboxError, match="is no mbox: it is no plain file"):
        list(Mbox(tmp_path).letters())
    with pytest.raises(MailboxError, match="is no mbox"):
        list(Mbox(tmp_path / "nowhere").letters())


def test_a_letter_says_nothing_of_itself():
    assert "geheim" not in repr(Letter("1", b"geheim"))
