"""``validate`` and ``schema``: what is wrong in the owner's files, and what may stand in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from engine.console.exits import MistypedError, unknown
from engine.console.page import colored
from engine.console.words import counted
from engine.language.offers import OFFERS_SCHEMA
from engine.language.problems import Problem, errors, to_github, to_json, to_text
from engine.vocabulary.home import check_home
from engine.vocabulary.schema import config_schema, rule_schema, segments_schema

#: Folders of a home whose files are checked.
_CHECKED: Final = ("config", "rules", "templates")
_SCHEMAS: Final[dict[str, Callable[[], Any]]] = {
    "rule": rule_schema,
    "config": config_schema,
    "segments": segments_schema,
    "offers": lambda: OFFERS_SCHEMA,
}


def check(root: Path, files: Sequence[str], environ: Mapping[str, str]) -> list[Problem]:
    """Give the problems of the whole home, or of ``files``: paths from here or from the home, files or folders.

    Raises ``MistypedError`` for a path that is not there or not in the home.
    """
    problems = check_home(root, environ)
    if not files:
        return problems
    wanted = [_in_home(root, name) for name in files]
    chosen = [each for each in problems if any(Path(each.path).is_relative_to(path) for path in wanted)]
    if not chosen and any(each.code == "missing-file" for each in problems):
        return problems
    return chosen


def _in_home(root: Path, name: str) -> Path:
    """Give the path inside the home that is meant: from here where that is in the home, else from the home."""
    there = [place.resolve() for place in (Path.cwd() / name, root.absolute() / name) if place.exists()]
    if not there:
        raise MistypedError(f"the file {name} is not there")
    inside = [place.relative_to(root.resolve()) for place in there if place.is_relative_to(root.resolve())]
    if not inside:
        raise MistypedError(f"the file {name} is not in the home {root.absolute()}")
    if inside[0].parts and inside[0].parts[0] not in _CHECKED:
        raise MistypedError(f"the file {name} is nothing that is checked: that are {', '.join(_CHECKED)}")
    return inside[0]


def printed(problems: Sequence[Problem], shape: str) -> str:
    """Give the problems as text with carets, as JSON or GitHub's commands one a line."""
    if shape == "json":
        return "".join(json.dumps(to_json(each), ensure_ascii=False) + "\n" for each in problems)
    if shape == "github":
        return "".join(f"{to_github(each)}\n" for each in problems)
    wrong = len(errors(problems))
    odd = len(problems) - wrong
    said = [counted(wrong, "problem")] * bool(wrong) + [counted(odd, "warning")] * bool(odd)
    end = f"\n{' and '.join(said)}.\n" if said else "No problem found.\n"
    return to_text(problems, color=colored()) + end


def schema_text(name: str) -> str:
    """Give a schema as the editor's file has it."""
    if name not in _SCHEMAS:
        raise unknown("schema", name, _SCHEMAS)
    return json.dumps(_SCHEMAS[name](), indent=2, ensure_ascii=False) + "\n"
