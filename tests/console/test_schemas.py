"""``schema``: printed as shipped, or written into the home with the names that the owner has made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.vocabulary.schema import SCHEMAS, schema_text

from .conftest import Regulars


def examples(file: Path, *path: str) -> Any:
    part = json.loads(file.read_text("utf-8"))
    for key in path:
        part = part[key]
    return part.get("examples")


STEP = ("definitions", "step", "properties")


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_schema_is_the_one_that_is_shipped(regulars: Regulars, file: str):
    assert regulars("schema", file.removesuffix(".json")).stdout == schema_text(file)


def test_a_schema_that_is_none(regulars: Regulars):
    result = regulars("schema", "rulle")
    assert (result.exit_code, result.stderr) == (2, 'There is no schema "rulle" - did you mean "rule"?\n')


def test_the_homes_own_names_are_offered_where_they_may_stand(at_home: Regulars, home: Path):
    (home / "templates" / "autumn").mkdir()
    (home / "templates" / "autumn" / "sms.txt").write_text("Hello", "utf-8")
    result = at_home("schema", "--write")
    assert (result.exit_code, "config/schema/rule.json is written.\n" in result.stdout) == (0, True)
    rule = home / "config" / "schema" / "rule.json"
    assert "autumn" in examples(rule, *STEP, "sms", "properties", "template")
    assert examples(rule, *STEP, "coupon", "properties", "offer")
    assert "store" in examples(rule, *STEP, "alert", "properties", "to")
    assert examples(rule, "properties", "topic") == ["news", "offers", "surveys"]
    assert at_home("schema", "--write").stdout == "The schemas know all of your names already.\n"


def test_a_folder_that_is_no_home_stays_as_it_is(regulars: Regulars, tmp_path: Path):
    result = regulars("--home", str(tmp_path), "schema", "--write")
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_sees_schemas_of_another_version(at_home: Regulars, home: Path):
    at_home("schema", "--write")
    assert "regulars schema --write" not in at_home("doctor").stdout
    (home / "config" / "schema" / "rule.json").write_text("{}", "utf-8")
    assert "`regulars schema --write` renews them" in at_home("doctor").stdout
