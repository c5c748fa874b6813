"""The planted mistakes can still be planted: each place stands once in its file, and the tests that it names are there."""

import pytest

from tests.seeded.__main__ import ROOT
from tests.seeded.bugs import BUGS


def test_there_are_thirty_and_each_is_another():
    assert len({bug.what for bug in BUGS}) == len(BUGS) >= 30


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.what)
def test_each_can_be_planted(bug):
    assert (ROOT / bug.file).read_text(encoding="utf-8").count(bug.old) == 1
    assert bug.new != bug.old
    assert bug.tests
    assert all((ROOT / test).exists() for test in bug.tests)
