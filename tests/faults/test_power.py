"""A sample of power cuts; and the building of a disk itself, for one that always keeps everything would prove nothing."""

from random import Random

import pytest

from .power import Disk, Inode, power_cut


def test_no_power_cut_makes_the_database_forget_what_went_out(sample):
    row = sample(power_cut)
    assert row.uncertain  # the cuts at the dots
    assert "synchronous=NORMAL 3 of 3 forget" in row.note
    assert not row.note.startswith("in 0 ")


class TestADiskAfterAPowerCut:
    @pytest.fixture
    def disk(self, tmp_path):
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "old").write_bytes(b"old")
        return Disk.of(tmp_path / "home")

    def did(self, disk, *calls):
        for each in calls:
            disk.happened(each)

    @pytest.fixture
    def path(self, disk):
        def shown(name):
            return '"' + "".join(f"\\x{each:02x}" for each in str(disk.root / name).encode()) + '"'

        return shown

    def test_what_was_not_synced_is_gone_and_what_was_stays(self, disk, path):
        self.did(
            disk,
            f"openat(AT_FDCWD, {path('old')}, O_RDWR) = 3<x>",
            'pwrite64(3<x>, "\\x6e\\x65\\x77", 3, 0) = 3',
            "fdatasync(3<x>) = 0",
            'pwrite64(3<x>, "\\x21", 1, 3) = 1',
        )
        disk.cut(Random(0), 0.0)
        assert (disk.root / "old").read_bytes() == b"new"

    def test_a_new_name_needs_its_folder_to_be_synced(self, disk, path):
        calls = [
            f"openat(AT_FDCWD, {path('draft')}, O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3<x>",
            'write(3<x>, "\\x68\\x69", 2) = 2',
            "fsync(3<x>) = 0",
            f"rename({path('draft')}, {path('letter')}) = 0",
        ]
        self.did(disk, *calls)
        disk.cut(Random(0), 0.0)
        assert [each.name for each in disk.root.iterdir()] == ["old"]
        folder = path("x").removesuffix('\\x2f\\x78"') + '"'
        self.did(disk, f"openat(AT_FDCWD, {folder}, O_RDONLY|O_CLOEXEC) = 4<x>", "fsync(4<x>) = 0")
        disk.cut(Random(0), 0.0)
        assert sorted(each.name for each in disk.root.iterdir()) == ["letter", "old"]
        assert (disk.root / "letter").read_bytes() == b"hi"

    def test_a_call_that_failed_did_nothing(self, disk, path):
        self.did(
            disk,
            f"openat(AT_FDCWD, {path('old')}, O_RDWR) = 3<x>",
            'pwrite64(3<x>, "\\x6e", 1, 0) = -1 ENOSPC (No space left on device)',
        )
        disk.cut(Random(0), 1.0)
        assert (disk.root / "old").read_bytes() == b"old"

    def test_of_a_long_write_any_sectors_may_be_missing(self):
        inode = Inode(b"-" * 2048, [(100, b"x" * 1500)])
        seen = {inode.after_a_cut(Random(seed), 0.5) for seed in range(50)}
        assert len(seen) > 8
        assert all(each[:100] == b"-" * 100 and len(each) == 2048 for each in seen)
        assert b"-" * 100 + b"x" * 412 + b"-" * 512 + b"x" * 512 in {each[:1536] for each in seen}

    def test_a_new_length_is_a_change_like_any_other(self):
        inode = Inode(b"abcdef", [2, (4, b"z")])
        assert inode.now == b"ab\0\0z"
        assert inode.after_a_cut(Random(0), 0.0) == b"abcdef"
