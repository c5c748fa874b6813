"""``docs/commands.md`` documents the keys of every JSON output; this is what makes it true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import AT, Regulars, lines

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")


def documented(row: str) -> list[str]:
    """The keys in the table's row that begins so, up to the first explanation."""
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {row} |") and line.count("|") == 4)
    return re.findall(r"`(\w+)`", line.split("|")[3].split(";")[0])


@pytest.fixture
def ran(at_home: Regulars) -> Regulars:
    at_home("approve", "--all", "--by", "Dana")
    return at_home


def test_run(ran: Regulars):
    shown = json.loads(ran("run", "--dry-run", "--as-of", AT, "--format", "json").stdout)
    done = json.loads(ran("run", "--as-of", AT, "--format", "json").stdout)
    assert list(done) == documented("`regulars run --format json`")
    assert set(done) - set(shown) == {"sent"}
    assert [list(rule) for rule in done["rules"]] == [documented("each of its `rules`")] * 3


def test_lists(ran: Regulars, home: Path):
    ran("run", "--as-of", AT)
    (home / "rules" / "broken.yaml").write_text("id: x\n", encoding="utf-8")
    for command in ("log", "validate", "schedule", "doctor", "words"):
        rows = lines(ran(command, "--format", "json"))
        assert rows
        assert {tuple(row) for row in rows} == {tuple(documented(f"`regulars {command} --format json`"))}


def test_single_objects(ran: Regulars):
    ran("run", "--as-of", AT)
    code = next(row["coupon"] for row in lines(ran("log", "--format", "json")) if row["coupon"])
    for words, row in (
        (("coupon", "show", code), "`regulars coupon show CODE --format json`"),
        (("customer", "show", "G1"), "`regulars customer show ID --format json`"),
    ):
        (shown,) = lines(ran(*words, "--format", "json"))
        assert list(shown) == documented(row)
