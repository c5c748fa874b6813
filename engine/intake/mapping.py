"""``config/mappings/NAME.yaml``: how the columns of a till that Regulars does not know are called, and how it writes.

A mapping named as a till (``csv``, ``square``, ``loyverse``, ``toast``, ``shopify``) is used for that till's files by
itself, and one whose columns a file has, all of them, for a file that is otherwise not known.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from connectors.dates import DateOrder
from connectors.numbers import DecimalSign
from engine.intake.kinds import KINDS
from engine.language.check import check
from engine.language.phrases import listed, phrase
from engine.language.problems import Problem, errors, whole_file
from engine.language.yamlfile import load

FOLDER: Final = "config/mappings"
#: Files in Regulars' own columns, and those of a mapping that names no other family, share their ids.
CSV: Final = "csv"

MAPPING_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "A mapping of Regulars",
    "x-name": phrase("a mapping"),
    "type": "object",
    "description": phrase("How to read the files of a till that Regulars does not know."),
    "additionalProperties": False,
    "properties": {
        "kind": {
            "enum": list(KINDS),
            "description": phrase("What the files are about; found by the columns if left out."),
        },
        "source": {
            "type": "string",
            "format": "slug",
            "description": phrase("The family of files: ids are told apart by it. csv if left out."),
        },
        "dates": {
            "enum": ["day-first", "month-first"],
            "description": phrase("Whether 03/04/2026 is 3 April or 4 March."),
        },
        "decimals": {
            "enum": ["point", "comma"],
            "description": phrase("What stands before decimals: whether 1,234 is a thousand or one and a bit."),
        },
        "columns": {
            "type": "object",
            "description": phrase("Our name of a column, and what the file calls it."),
            "additionalProperties": {
                "type": "string",
                "minLength": 1,
                "description": phrase("As in the file's first line."),
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping. ``columns``: our name to the file's."""

    name: str
    kind: str | None = None
    source: str = CSV
    dates: DateOrder | None = None
    columns: MappingOf[str, str] = field(default_factory=dict)
    decimals: DecimalSign | None = None


def load_mapping(root: Path, name: str) -> tuple[Mapping | None, list[Problem]]:
    """Read the mapping of that name; None and the problems where it is missing or wrong."""
    shown = f"{FOLDER}/{name}.yaml"
    file = root / shown
    if not file.exists():
        others = sorted(each.stem for each in (root / FOLDER).glob("*.yaml"))
        cure = phrase("Mappings are files in {folder}/.", folder=FOLDER)
        if others:
            cure = phrase("There are: {names}.", names=listed(others))
        return None, [whole_file(shown, phrase('there is no mapping "{name}"', name=name), "missing-file", hint=cure)]
    document, problems = load(file, shown)
    if document is None:
        return None, problems
    problems.extend(check(document, MAPPING_SCHEMA))
    if errors(problems):
        return None, problems
    data = document.data
    mapping = Mapping(
        name,
        data.get("kind"),
        data.get("source") or CSV,
        data.get("dates"),
        dict(data.get("columns") or {}),
        data.get("decimals"),
    )
    return mapping, problems


def mapping_of(root: Path, till: str) -> tuple[Mapping | None, list[Problem]]:
    """Read the mapping that is named as the till, if there is one."""
    if not (root / FOLDER / f"{till}.yaml").exists():
        return None, []
    return load_mapping(root, till)


def mappings(root: Path) -> tuple[list[Mapping], list[Problem]]:
    """Read every mapping of the home, by name, and what is wrong with others."""
    found: list[Mapping] = []
    problems: list[Problem] = []
    for file in sorted((root / FOLDER).glob("*.yaml")):
        mapping, wrong = load_mapping(root, file.stem)
        problems.extend(wrong)
        if mapping is not None:
            found.append(mapping)
    return found, problems
