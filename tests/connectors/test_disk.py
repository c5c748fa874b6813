from __future__ import annotations

import errno
import os
import types

import pytest

from connectors import disk

FULL = 51


class Mac:
    """What a Mac's system calls were asked, with an answer of the disk."""

    def __init__(self, monkeypatch, answer: OSError | None = None):
        self.asked: list[str] = []
        self._answer = answer
        monkeypatch.setattr(disk, "fcntl", types.SimpleNamespace(F_FULLFSYNC=FULL, fcntl=self._fcntl))
        monkeypatch.setattr(disk.os, "fsync", lambda _: self.asked.append("fsync"))

    def _fcntl(self, _: int, what: int) -> int:
        assert what == FULL
        self.asked.append("full")
        if self._answer is not None:
            raise self._answer
        return 0


@pytest.mark.parametrize("what", [disk.sync_folder, disk.sync_file])
def test_on_a_mac_the_cache_of_the_disk_is_waited_for(tmp_path, monkeypatch, what):
    mac, path = Mac(monkeypatch), tmp_path
    if what is disk.sync_file:
        path = tmp_path / "some"
        path.touch()
    what(path)
    assert mac.asked == ["full"] * (2 if what is disk.sync_file else 1)


def test_a_disk_that_does_not_know_the_question_is_asked_as_everywhere(monkeypatch):
    mac = Mac(monkeypatch, OSError(errno.ENOTSUP, "not supported"))
    disk.sync(0)
    assert mac.asked == ["full", "fsync"]


def test_what_the_disk_could_not_take_is_not_asked_a_second_time(monkeypatch):
    """A second fsync after a failed one may say yes of data that is gone."""
    mac = Mac(monkeypatch, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output"):
        disk.sync(0)
    assert mac.asked == ["full"]


@pytest.mark.parametrize("missing", [None, types.SimpleNamespace()])
def test_elsewhere_it_is_an_fsync(tmp_path, monkeypatch, missing):
    synced = []
    monkeypatch.setattr(disk, "fcntl", missing)
    monkeypatch.setattr(disk.os, "fsync", synced.append)
    with (tmp_path / "some").open("wb") as file:
        disk.sync(file.fileno())
        assert synced == [file.fileno()]


def test_a_file_is_synced_with_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(disk.os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    file = tmp_path / "some"
    file.touch()
    disk.sync_file(file)
    assert synced == [file.stat().st_ino, tmp_path.stat().st_ino]
