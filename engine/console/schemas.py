"""``schema``: what may stand in the owner's files, for editors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.console.exits import unknown
from engine.language.phrases import phrase, said
from engine.vocabulary.home import names
from engine.vocabulary.schema import SCHEMAS, schema_text

FOLDER: Final = Path("config", "schema")


def shown(name: str) -> str:
    """Give a schema of this version, with nobody's own names. Raises ``MistypedError`` for an unknown one."""
    if f"{name}.json" not in SCHEMAS:
        raise unknown("schema", name, [file.removesuffix(".json") for file in SCHEMAS])
    return schema_text(f"{name}.json")


def of_another_version(root: Path) -> bool:
    """Tell whether an editor goes by the words of another Regulars; the home's own names do not count."""
    return any(
        not (root / FOLDER / file).exists()
        or _words((root / FOLDER / file).read_text("utf-8")) != _words(schema_text(file))
        for file in SCHEMAS
    )


def _words(text: str) -> object:
    try:
        return json.loads(text, object_hook=lambda part: {key: part[key] for key in part if key != "examples"})
    except ValueError:
        return None


def _stale(root: Path, environ: Mapping[str, str]) -> dict[Path, str]:
    """Give the schema files of the home that this version would write otherwise, with the text they should have."""
    own = names(root, environ)
    wanted = {root / FOLDER / file: schema_text(file, own) for file in SCHEMAS}
    return {file: text for file, text in wanted.items() if not file.exists() or file.read_text("utf-8") != text}


def written(root: Path, environ: Mapping[str, str], language: str) -> str:
    """Write the home's schemas anew, with its templates, offers, segments, topics and contacts in them; say which.

    Raises ``ProblemsError`` where there is no home.
    """
    changed = _stale(root, environ)
    for file, text in changed.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    if not changed:
        return f"{said(phrase('The schemas know all of your names already.'), language)}\n"
    lines = [said(phrase("{file} is written.", file=file.relative_to(root).as_posix()), language) for file in changed]
    return "".join(f"{line}\n" for line in lines)
