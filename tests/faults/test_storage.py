"""A sample of full and failing disks: a sentence, nothing twice, and the next run finishes the day."""

from .storage import FAULTS, MOMENTS


def test_a_disk_that_finds_no_room_for_a_write(sample):
    row = sample(FAULTS["disk full at the k-th write"])
    assert not row.note.startswith("0 ")  # it was met, and told


def test_a_disk_that_finds_no_room_for_a_name(sample):
    assert sample(FAULTS["disk full at the k-th new name"]).tries == 1


def test_a_disk_filled_to_the_brim(sample):
    row = sample(FAULTS["disk filled to the brim"])
    assert row.note.startswith(f"{len(MOMENTS)} of {len(MOMENTS)} said so")
    assert row.uncertain == 1  # the one that was full after the dot


def test_a_disk_that_fails_to_sync(sample):
    row = sample(FAULTS["EIO at the k-th sync"])
    assert not row.note.startswith("0 ")
