"""What is damaged, hostile or another's is refused before anything is touched; what is interrupted is done again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sqlite3
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.console import unpacking


def files_of(home: Path) -> dict[str, bytes]:
    chosen = (each for each in home.rglob("*") if each.is_file() and each.name != "regulars.lock")
    return {str(each.relative_to(home)): each.read_bytes() for each in chosen}


def pack(file: Path, members: Mapping[str, bytes], *, listed: bool = True, odd: tarfile.TarInfo | None = None) -> Path:
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    whole = dict(members) | ({"contents.json": json.dumps(sums).encode()} if listed else {})
    with tarfile.open(file, "w:gz") as archive:
        if odd is not None:
            archive.addfile(odd)
        for name, content in whole.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


@pytest.fixture
def kept(home, regulars, tmp_path):
    """A backup of the home, and what it holds."""
    (home / "rules" / "extra.sh").write_text("#!/bin/sh\n")
    (home / "rules" / "extra.sh").chmod(0o755)
    assert regulars("--home", home, "backup", tmp_path / "kept.tar.gz").exit_code == 0
    return tmp_path / "kept.tar.gz"


@pytest.fixture
def held(kept):
    with tarfile.open(kept) as archive:
        found = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}
    found.pop("contents.json")
    return found


def refused(regulars, home, file, *words):
    before = files_of(home)
    said = regulars("--home", home, "restore", file)
    text = said.output.replace("\n", " ")
    assert said.exit_code in {1, 2, 75}, text
    assert "Traceback" not in text
    assert "bug in Regulars" not in text
    for word in words:
        assert word in text
    assert files_of(home) == before
    return text


@pytest.mark.parametrize("packed", [False, True])
def test_a_database_that_is_not_ours_is_refused(home, regulars, tmp_path, held, packed):
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as conn:
        conn.execute("CREATE TABLE t (x)")
    file = pack(tmp_path / "p.tar.gz", held | {"regulars.db": other.read_bytes()}) if packed else other
    refused(regulars, home, file, "none of Regulars")
    assert not refused(regulars, tmp_path / "fresh", file).count("are back")
    assert files_of(tmp_path / "fresh") == {}


def test_an_empty_database_in_a_backup_is_refused(home, regulars, tmp_path, held):
    refused(regulars, home, pack(tmp_path / "p.tar.gz", held | {"regulars.db": b""}), "none of Regulars")


def test_a_database_of_another_identity_is_refused(home, regulars, kept):
    with contextlib.closing(sqlite3.connect(home / "regulars.db")) as live, live:
        live.execute("UPDATE instance SET identity = ?", ("ab" * 16,))
    refused(regulars, home, kept, "not an earlier state of this home's")
    for ending in ("", "-wal", "-shm"):
        (home / f"regulars.db{ending}").unlink(missing_ok=True)
    assert regulars("--home", home, "restore", kept).exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["", ".", "/etc/x", "../x", "config/../../x", "config\\..\\..\\x", "config/..\\..\\x", "C:\\x", "config/C:/../x",
     "config/" + "x" * 300, "config", "rules", "regulars.db/x", "regulars.key/x", "other/x", "config/regulars.yaml/x",
     "config/a\0b"],
)  # fmt: skip
def test_names_that_belong_nowhere_are_refused(home, regulars, tmp_path, held, name):
    odd = tarfile.TarInfo(name)
    file = pack(tmp_path / "p.tar.gz", held, odd=odd)
    refused(regulars, home, file)
    refused(regulars, tmp_path / "fresh", file)
    assert {each.name for each in tmp_path.iterdir()} <= {"home", "fresh", "kept.tar.gz", "p.tar.gz"}
    assert files_of(tmp_path / "fresh") == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_only_files_and_folders_are_unpacked(home, regulars, tmp_path, held, kind):
    odd = tarfile.TarInfo("rules/odd")
    odd.type, odd.linkname = kind, "/etc/hostname"
    refused(regulars, home, pack(tmp_path / "p.tar.gz", held, odd=odd), "rules/odd")


def test_damage_anywhere_is_called_damage(home, regulars, kept, tmp_path):
    whole = kept.read_bytes()
    spoilt = tmp_path / "spoilt.tar.gz"
    for at in range(12, len(whole), len(whole) // 12):
        spoilt.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        refused(regulars, home, spoilt, "damaged")
    for length in range(20, len(whole), len(whole) // 6):
        spoilt.write_bytes(whole[:length])
        refused(regulars, tmp_path / "fresh", spoilt, "damaged")
    assert files_of(tmp_path / "fresh") == {}


def test_each_file_is_compared_with_its_checksum(home, regulars, tmp_path, held):
    with tarfile.open(pack(tmp_path / "a.tar.gz", held)) as archive:
        listed = archive.extractfile("contents.json").read()
    for changed in (
        held | {"config/regulars.yaml": b"changed"},
        {name: each for name, each in held.items() if name != "regulars.db"},
        held | {"rules/more.yaml": b""},
    ):
        file = pack(tmp_path / "p.tar.gz", changed | {"contents.json": listed}, listed=False)
        refused(regulars, home, file, "damaged")
    refused(regulars, home, pack(tmp_path / "p.tar.gz", held, listed=False), "list of contents is missing")
    bad = pack(tmp_path / "p.tar.gz", held | {"contents.json": b"[" * 100_000}, listed=False)
    refused(regulars, home, bad, "cannot be read")


def test_a_backup_without_config_leaves_nothing_behind(regulars, tmp_path, held):
    del held["config/regulars.yaml"]
    refused(regulars, tmp_path / "fresh", pack(tmp_path / "p.tar.gz", held), "take another backup")
    assert files_of(tmp_path / "fresh") == {}


@pytest.mark.parametrize("at", [0, 3])
def test_interrupted_while_moving_in_and_called_again_it_comes_to_the_same(regulars, kept, held, monkeypatch, at):
    fresh, steps, whole = kept.with_name("fresh"), iter(range(1000)), unpacking.sync_file

    def dying(file):
        if next(steps) == at:
            raise KeyboardInterrupt
        whole(file)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(unpacking, "sync_file", dying)
        assert regulars("--home", fresh, "restore", kept).exit_code == 130
    assert not (fresh / "config" / "regulars.yaml").exists()
    assert regulars("--home", fresh, "restore", kept, "--by", "Ana").exit_code == 0
    now = files_of(fresh)
    assert {name: now.get(name) for name in held if name != "regulars.db"} == {
        name: each for name, each in held.items() if name != "regulars.db"
    }
    assert not [name for name in now if "restoring" in name]


def test_files_keep_their_rights_but_not_those_of_strangers(regulars, tmp_path, kept):
    assert regulars("--home", tmp_path / "fresh", "restore", kept).exit_code == 0
    rights = {
        name: stat.S_IMODE((tmp_path / "fresh" / name).stat().st_mode)
        for name in ("rules/extra.sh", "regulars.key", "regulars.db")
    }
    assert rights == {"rules/extra.sh": 0o750, "regulars.key": 0o600, "regulars.db": 0o600}


def test_a_key_that_is_none_is_taken_from_the_backup(home, regulars, kept, held):
    (home / "regulars.key").write_bytes(b"")
    assert regulars("--home", home, "restore", kept, "--by", "Ana").exit_code == 0
    assert (home / "regulars.key").read_bytes() == held["regulars.key"]


def test_the_key_of_another_home_is_refused_before_anything_is_touched(regulars, kept, tmp_path):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "regulars.key").write_text("ab" * 32)
    refused(regulars, fresh, kept, "is not the key")
