"""What the code says to an owner, and what of it the Chinese catalogue lacks: ``make translations`` prints it.

The templates are found in the source: the first argument of every ``phrase(...)`` and the mark of every
``listed(...)``. A template that is put together at run time could never be translated, so it is an error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "engine" / "language" / "translations" / "zh.po"
#: Where phrases are made of what is given, not of templates in the code.
_MACHINE = "engine/language/phrases.py"
#: What ``listed`` may join by.
MARKS = (", ", " or ", " and ", " nor ")
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def sources() -> list[Path]:
    return [ROOT / "cli.py", *sorted((ROOT / "engine").rglob("*.py"))]


def templates() -> dict[str, str]:
    """Give every template and the first place where it stands."""
    found: dict[str, str] = dict.fromkeys(MARKS, _MACHINE)
    for place, template in phrases():
        if template is not None:
            found.setdefault(template, place)
    return found


def put_together() -> list[str]:
    """Give the places of templates that are put together at run time: no catalogue can hold those."""
    return [place for place, template in phrases() if template is None and not place.startswith(_MACHINE)]


def phrases() -> Iterator[tuple[str, str | None]]:
    """Give place and template of every phrase in the code."""
    for file in sources():
        for line, template in templates_in(ast.parse(file.read_text(encoding="utf-8"))):
            yield f"{file.relative_to(ROOT).as_posix()}:{line}", template


def templates_in(tree: ast.AST) -> Iterator[tuple[int, str | None]]:
    """Give line and template of every phrase; None where it is not a plain text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name == "phrase":
            # A phrase that is filled later stands in the code elsewhere: phrase(_SAID[kind].template, ...).
            if not (node.args and isinstance(node.args[0], ast.Attribute) and node.args[0].attr == "template"):
                yield node.lineno, _text(node.args[0]) if node.args else None
        elif name == "listed":
            marks = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mark")]
            mark = _text(marks[0]) if marks else ", "
            if mark:  # one that stands elsewhere is among MARKS
                yield node.lineno, mark


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def catalogue() -> dict[str, str]:
    """Give the Chinese of every template that has some."""
    with CATALOGUE.open("rb") as opened:
        return {str(each.id): str(each.string) for each in read_po(opened, locale="zh") if each.id}


def fields(template: str) -> list[str]:
    """Give the names and forms of a template's values, sorted: ``n:,``."""
    return sorted({each[1] for each in _FIELD.finditer(template) if each[1] is not None})


def quoted(text: str) -> str:
    """Write a text as a catalogue holds it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def main() -> None:
    known, used = catalogue(), templates()
    for template, place in used.items():
        if not known.get(template):
            print(f"#: {place}\nmsgid {quoted(template)}\nmsgstr {quoted('')}\n")  # noqa: T201
    for place in put_together():
        print(f"# put together at run time: {place}")  # noqa: T201
    for template in sorted(known.keys() - used.keys()):
        print(f"# not said any more: {quoted(template)}")  # noqa: T201


if __name__ == "__main__":
    main()
