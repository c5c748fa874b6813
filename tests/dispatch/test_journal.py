"""The journal: written before anything leaves, readable after everything, and nothing leaves without it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from sqlalchemy import select

from connectors.base import Outcome
from engine.database.tables import audit, endpoints
from engine.dispatch import journal as journals
from engine.dispatch.instance import identity
from engine.dispatch.journal import KEPT, Journal, JournalError, Record, Spoilt, last, prune, records
from engine.dispatch.stages import send_due, send_until
from engine.language.keys import guest_hash

from .world import NOW, Clock, Sink, a_desk, a_home

SOME = Record("ab" * 16, 7, 2, NOW, "win-back", 1, 0, "email", b"\1" * 32, NOW + timedelta(days=3), b"\2" * 32)


def write(folder: Path, *numbers: int, at: datetime = NOW) -> None:
    book = Journal(folder, SOME.identity, b"k" * 32)
    for number in numbers:
        book.note([(a_claim(number), SOME.content_hash)], at=at)
    book.close()


def a_claim(number: int, **changes: object) -> object:
    class Some:
        id, token, rule, step, part, channel = number, 1, "win-back 回头", 1, 0, "email"
        endpoint_hash, source, external_id, expires_at = SOME.to, "csv", "c1", SOME.expires_at

    for name, value in changes.items():
        setattr(Some, name, value)
    return Some


def numbers(folder: Path, since: datetime | None = None) -> list[int]:
    return [each.dispatch_id for each in records(folder, since) if isinstance(each, Record)]


def test_what_is_sent_stands_in_the_journal_before_it_leaves(cafe, tmp_path):
    home, seen = a_home(tmp_path), []

    class Watching(Sink):
        def send(self, message, handoff):
            passed = handoff()
            seen.extend(records(tmp_path / "journal"))
            return Outcome("sent" if passed else "not_now", f"250 {message.template}")

    guest = cafe.guest()
    number = cafe.message(guest)
    send_due(a_desk(cafe, home, Clock(), email=Watching()))
    (record,) = seen
    row = cafe.row(number)
    with cafe.db.begin() as conn:
        assert record.identity == identity(conn)
        fence = conn.execute(select(audit).where(audit.c.after == "handoff")).one()
        hashed = conn.scalar(select(endpoints.c.hash).where(endpoints.c.id == row.endpoint_id))
    assert (record.dispatch_id, record.token) == (number, 1) == (fence.dispatch_id, fence.token)
    assert (record.step, record.part, record.channel, record.to) == (1, 0, "email", hashed)
    assert record.rule.startswith("rule-")
    assert (record.at, record.expires_at, record.content_hash) == (NOW, row.expires_at, row.content_hash)
    assert cafe.state(number) == "sent"
    (file,) = (tmp_path / "journal").iterdir()
    assert file.name == "2026-05.log"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    text = file.read_text()
    assert "@" not in text
    assert guest.name not in text


def test_a_step_without_an_endpoint_names_its_guest_by_a_hash(tmp_path):
    record = journals.record_of(
        a_claim(1, endpoint_hash=None), SOME.identity, b"k" * 32, at=NOW, content_hash=SOME.content_hash
    )
    assert record.to == guest_hash(b"k" * 32, "csv", "c1") != SOME.to


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_nothing_leaves_without_the_journal(cafe, tmp_path, monkeypatch, call, number):
    home, sink, clock = a_home(tmp_path), Sink(), Clock()
    sent = [cafe.message(cafe.guest()) for _ in range(3)]
    desk = a_desk(cafe, home, clock, email=sink)
    with monkeypatch.context() as broken:

        def fail(*_, **__):
            raise OSError(number, os.strerror(number))

        broken.setattr(journals.os, call, fail)
        with pytest.raises(JournalError, match=r"Nothing is sent: .* the next run sends what waits\."):
            send_due(desk)
    assert sink.accepted == []
    assert [cafe.state(each) for each in sent] == ["pending"] * 3
    tried = cafe.row(sent[0])
    assert (tried.reason, tried.attempts, tried.rescues, tried.handed_at) == ("journal", 0, 0, None)
    send_due(desk)
    assert [cafe.state(each) for each in sent] == ["sent"] * 3
    found = list(records(tmp_path / "journal"))
    assert all(isinstance(each, Record) for each in found)
    assert {each.dispatch_id for each in found} == set(sent)


def test_a_waiting_run_waits_for_the_journal_too(cafe, tmp_path, monkeypatch):
    home, clock = a_home(tmp_path), Clock()
    number = cafe.message(cafe.guest())
    (tmp_path / "journal").write_text("in the way")

    def sleep(seconds):
        clock.sleep(seconds)
        (tmp_path / "journal").unlink(missing_ok=True)

    done = send_until(a_desk(cafe, home, clock), until=NOW + timedelta(hours=1), sleep=sleep)
    assert cafe.state(number) == "sent"
    assert "For a while messages waited. Nothing is sent" in done.problems[0]


def test_a_waiting_run_ends_with_the_day_when_the_journal_stays_away(cafe, tmp_path):
    home, clock = a_home(tmp_path), Clock()
    number = cafe.message(cafe.guest())
    (tmp_path / "journal").write_text("in the way")
    with pytest.raises(JournalError):
        send_until(a_desk(cafe, home, clock), until=NOW + timedelta(hours=1), sleep=clock.sleep)
    assert cafe.state(number) == "pending"


def test_a_short_write_is_a_full_disk_and_spoils_no_later_record(tmp_path, monkeypatch):
    folder = tmp_path / "journal"
    write(folder, 1)
    whole = os.write
    with monkeypatch.context() as full:
        full.setattr(journals.os, "write", lambda handle, text: whole(handle, text[:50]))
        with pytest.raises(JournalError, match="the disk is full"):
            write(folder, 2)
    write(folder, 3)
    assert numbers(folder) == [1, 3]
    assert [each for each in records(folder) if isinstance(each, Spoilt)] == [Spoilt("2026-05.log", 3, torn=True)]


@pytest.mark.parametrize("cut", [1, 9, 40, 200])
def test_what_a_power_loss_tore_is_skipped(tmp_path, cut):
    folder = tmp_path / "journal"
    write(folder, 1, 2)
    file = folder / "2026-05.log"
    file.write_bytes(file.read_bytes()[:-cut])
    write(folder, 3)
    assert numbers(folder) == [1, 3]
    assert [each.dispatch_id for each in last(folder, 5)] == [3, 1]
    (spoilt,) = (each for each in records(folder) if isinstance(each, Spoilt))
    assert spoilt.torn


def test_a_changed_line_is_told_from_a_torn_one(tmp_path):
    folder = tmp_path / "journal"
    write(folder, 1, 2)
    file = folder / "2026-05.log"
    file.write_bytes(file.read_bytes().replace(b" 2 1 ", b" 3 1 "))
    assert list(records(folder))[1] == Spoilt("2026-05.log", 3, torn=False)


def test_a_months_file_follows_another_and_since_leaves_out(tmp_path):
    folder = tmp_path / "journal"
    december = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
    for number, at in enumerate([NOW, december, december + timedelta(seconds=1)]):
        write(folder, number, at=at)
    assert [file.name for file in journals.files(folder)] == ["2026-05.log", "2026-12.log", "2027-01.log"]
    assert numbers(folder) == [0, 1, 2]
    assert numbers(folder, december) == [1, 2]
    assert numbers(folder, december + timedelta(seconds=1)) == [2]
    assert [each.dispatch_id for each in last(folder, 1)] == [2, 1, 0]
    assert last(folder, 9)[-1].rule == "win-back 回头"


def test_the_last_are_read_from_the_end_of_a_long_file(tmp_path, monkeypatch):
    folder = tmp_path / "journal"
    write(folder, *range(40))
    monkeypatch.setattr(journals, "_BLOCK", 97)
    assert [each.dispatch_id for each in last(folder, 40)] == [*reversed(range(40))]


def test_files_are_kept_for_400_days(tmp_path):
    folder = tmp_path / "journal"
    write(folder, 1)
    write(folder, 2, at=NOW + timedelta(days=31))
    ended = datetime(2026, 6, 1, tzinfo=UTC)
    (folder / "notes.txt").touch()
    assert prune(folder, ended + KEPT - timedelta(seconds=1)) == 0
    assert prune(folder, ended + KEPT) == 1
    assert numbers(folder) == [2]
    assert prune(tmp_path / "nowhere", NOW) == 0


def test_a_file_put_in_its_place_is_written_on(tmp_path):
    folder = tmp_path / "journal"
    book = Journal(folder, SOME.identity, b"k" * 32)
    book.note([(a_claim(1), SOME.content_hash)], at=NOW)
    (folder / "2026-05.log").rename(tmp_path / "away")
    book.note([(a_claim(2), SOME.content_hash)], at=NOW)
    assert numbers(folder) == [2]


def test_where_a_write_in_append_mode_is_no_one_step_writers_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "APPENDS", False)
    really, taken = os.write, []

    def write_alone(handle, text):
        with pytest.raises(Timeout):
            FileLock(tmp_path / journals.LOCK, timeout=0).acquire()
        taken.append(len(text))
        return really(handle, text)

    monkeypatch.setattr(os, "write", write_alone)
    write(tmp_path, 1, 2)
    assert len(taken) == 2
    assert len(list(records(tmp_path))) == 2


def test_several_processes_write_into_one_file(tmp_path):
    folder = tmp_path / "journal"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(folder, *range(at, at + 100))) for at in (0, 1000, 2000)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    found = numbers(folder)
    assert len(found) == 300
    assert [each for each in found if each < 1000] == [*range(100)]


def test_each_record_waits_for_the_disk(tmp_path, monkeypatch):
    """Also one of a file that is open already, whose folder is not synced again."""
    book, synced = Journal(tmp_path / "journal", SOME.identity, b"k" * 32), []
    book.note([(a_claim(1), SOME.content_hash)], at=NOW)
    monkeypatch.setattr(journals.os, "fsync", synced.append)
    book.note([(a_claim(2), SOME.content_hash)], at=NOW)
    assert synced == [book._handle]
    book.close()


def spoilt(folder: Path, **changes: str) -> list[Record | Spoilt]:
    """Write one record of which fields are changed, with a checksum that is right."""
    write(folder, 1)
    (file,) = folder.iterdir()
    names = ("version", "identity", "id", "token", "at", "rule", "step", "part", "channel", "to", "expires", "content")
    fields = dict(zip(names, file.read_text().strip().split(" "), strict=False)) | changes
    text = " ".join(fields.values())
    file.write_text(f"\n{text} {zlib.crc32(text.encode()):08x}")
    return list(records(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "2"},
        {"id": "x7"},
        {"id": "9" * 23},
        {"id": str(1 << 43)},
        {"id": "-1"},
        {"id": "1_0"},
        {"token": str(1 << 20)},
        {"at": "99999999999999999"},
        {"expires": "253402300800"},
        {"step": str(1 << 31)},
        {"rule": "a%00b"},
        {"rule": "r" * 101},
        {"channel": "telegraph"},
        {"to": "01" * 31},
        {"content": "zz" * 32},
        {"identity": "ab"},
    ],
)
def test_a_line_whose_checksum_is_right_and_whose_content_is_not_is_changed(tmp_path, changes):
    assert spoilt(tmp_path / "journal", **changes) == [Spoilt("2026-05.log", 2, torn=False)]
    assert last(tmp_path / "journal", 5) == []


def test_the_same_line_unchanged_is_a_record(tmp_path):
    (record,) = spoilt(tmp_path / "journal")
    assert (record.dispatch_id, record.at) == (1, NOW)


def no_file(folder: Path, kind: str) -> None:
    folder.mkdir()
    if kind == "a folder":
        (folder / "2026-05.log").mkdir()
    elif kind == "a pipe":
        os.mkfifo(folder / "2026-05.log")
    else:
        folder.rmdir()
        folder.write_text("") if kind == "no folder" else folder.symlink_to("nowhere")


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "no folder", "a link"])
def test_what_is_no_journal_is_told_in_one_sentence(tmp_path, kind):
    folder = tmp_path / "journal"
    no_file(folder, kind)
    for read in (lambda: last(folder, 5), lambda: list(records(folder))):
        with pytest.raises(JournalError, match=r"cannot be read \(.*Put back what belongs there"):
            read()
    assert prune(folder, NOW) == 0


@pytest.mark.parametrize("kind", ["no folder", "a link", "a folder"])
def test_what_stands_in_the_way_of_the_journal_is_to_be_taken_away(tmp_path, kind):
    no_file(tmp_path / "journal", kind)
    with pytest.raises(JournalError, match="something else stands in its place"):
        write(tmp_path / "journal", 1)
