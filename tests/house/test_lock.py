from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip()]


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(each) for group in [PROJECT["dependencies"], *extras] for each in group]


def test_every_line_is_a_pin_and_none_names_a_host():
    """`make lock` writes names and versions only: a registry's address would fail everywhere else."""
    odd = [line for line in PINS if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[\w.]+( ; [\w .'<>=!]+)?", line)]
    assert odd == []


def test_every_dependency_is_pinned_to_a_version_that_the_project_allows():
    pinned: dict[str, list[Version]] = {}
    for line in PINS:
        pin = Requirement(line)
        (only,) = pin.specifier
        pinned.setdefault(canonicalize_name(pin.name), []).append(Version(only.version))
    missing = [each.name for each in requirements() if canonicalize_name(each.name) not in pinned]
    assert missing == []
    for each in requirements():
        assert all(version in each.specifier for version in pinned[canonicalize_name(each.name)]), each


def test_the_program_imports_nothing_that_the_project_does_not_name():
    """A package that is here only because another one brings it can go at any time."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]]
    named = {canonicalize_name(Requirement(each).name) for each in wanted}
    owners = packages_distributions()
    unnamed = set()
    for file in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "connectors").rglob("*.py"), ROOT / "cli.py"]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            for top in {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names):
                if top in {"engine", "connectors", "cli"}:
                    continue
                if not {canonicalize_name(owner) for owner in owners.get(top, [])} & named:
                    unnamed.add(f"{file.relative_to(ROOT)}: {top}")
    assert sorted(unnamed) == []
