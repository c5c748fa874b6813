from __future__ import annotations

import dataclasses
import errno
import os
import stat

import pytest

from connectors.base import Outcome
from connectors.file import FileConnector, erase


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_an_email_becomes_one_file_with_exactly_its_bytes(tmp_path, letter):
    folder = tmp_path / "outbox"
    assert FileConnector(folder).send(letter, lambda: True) == Outcome(
        "sent", "written", provider_id="d41d8cd9~win-back.eml"
    )
    assert names(folder) == ["d41d8cd9~win-back.eml"]
    assert (folder / "d41d8cd9~win-back.eml").read_bytes() == letter.body


def test_a_text_says_to_whom_it_would_have_gone(tmp_path, text_message):
    FileConnector(tmp_path).send(text_message, lambda: True)
    assert (
        tmp_path / "a1b2c3~win-back.txt"
    ).read_text() == "From: +15005550006\nTo: +15005550101\n\nSee you soon, Li\n"


def test_nobody_else_on_the_machine_can_read_what_guests_get(tmp_path, letter):
    FileConnector(tmp_path / "outbox").send(letter, lambda: True)
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "outbox" / "d41d8cd9~win-back.eml").stat().st_mode) == 0o600


def test_the_fence_stands_before_the_file_appears(tmp_path, letter):
    seen = []

    def handoff():
        seen.append((tmp_path / "d41d8cd9~win-back.eml").exists())
        return True

    FileConnector(tmp_path).send(letter, handoff)
    assert seen == [False]


def test_a_closed_fence_leaves_no_file_and_no_draft(tmp_path, letter):
    assert FileConnector(tmp_path).send(letter, lambda: False) == Outcome("not_now", "fence", counts_attempt=False)
    assert names(tmp_path) == []


def test_the_same_key_never_makes_a_second_file_nor_changes_the_first(tmp_path, letter):
    carrier = FileConnector(tmp_path)
    carrier.send(letter, lambda: True)
    again = carrier.send(dataclasses.replace(letter, body=b"other\r\n"), lambda: True)
    assert again == Outcome("sent", "already written", provider_id="d41d8cd9~win-back.eml")
    assert (tmp_path / "d41d8cd9~win-back.eml").read_bytes() == letter.body
    assert names(tmp_path) == ["d41d8cd9~win-back.eml"]


def test_a_crash_before_the_rename_leaves_a_draft_that_the_next_try_replaces(tmp_path, letter):
    class KilledError(BaseException):
        pass

    def killed():
        raise KilledError

    with pytest.raises(KilledError):
        FileConnector(tmp_path).send(letter, killed)
    assert names(tmp_path) == [".d41d8cd9~win-back.eml.draft"]
    assert FileConnector(tmp_path).send(letter, lambda: True).kind == "sent"
    assert names(tmp_path) == ["d41d8cd9~win-back.eml"]


@pytest.mark.parametrize(("call", "asked"), [("os.fsync", 0), ("pathlib.Path.replace", 1)])
def test_a_full_disk_is_a_not_now_that_used_no_attempt(tmp_path, letter, monkeypatch, call, asked):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere/li@guest.example")

    monkeypatch.setattr(call, full)
    calls = []
    outcome = FileConnector(tmp_path).send(letter, lambda: not calls.append(1))
    assert outcome == Outcome("not_now", "no space left on device", channel="failure", counts_attempt=False)
    assert len(calls) == asked
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path, letter):
    (tmp_path / "outbox").write_text("a file stands here")
    outcome = FileConnector(tmp_path / "outbox").send(letter, lambda: True)
    assert (outcome.kind, outcome.code) == ("not_now", "file exists")


def test_a_rename_whose_sync_failed_is_unknown(tmp_path, letter, monkeypatch):
    real = os.fsync
    calls = []

    def second_fails(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr("os.fsync", second_fails)
    assert FileConnector(tmp_path).send(letter, lambda: True).kind == "unknown"


@pytest.mark.parametrize("key", ["../../etc/cron.d/x", "a/b", "key with blanks", "a\x00b"])
def test_a_key_cannot_name_a_file_elsewhere(tmp_path, letter, key):
    folder = tmp_path / "deep" / "outbox"
    outcome = FileConnector(folder).send(dataclasses.replace(letter, key=key, template="../x"), lambda: True)
    assert outcome.kind == "sent"
    assert [file.parent for file in tmp_path.rglob("*") if file.is_file()] == [folder]


def test_erasure_deletes_the_files_of_those_keys_only_drafts_too(tmp_path, letter, text_message):
    carrier = FileConnector(tmp_path)
    for key in ("aa", "aab", "ab"):
        carrier.send(dataclasses.replace(letter, key=key), lambda: True)
    carrier.send(dataclasses.replace(text_message, key="aa"), lambda: True)
    (tmp_path / ".aa~win-back.eml.draft").write_text("left by a crash")
    assert erase(tmp_path, ["aa"]) == 3
    assert names(tmp_path) == ["aab~win-back.eml", "ab~win-back.eml"]
    assert erase(tmp_path / "nowhere", ["aa"]) == 0
