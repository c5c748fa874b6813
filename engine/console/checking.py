"""``validate``: what is wrong in the owner's files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

from engine.console.exits import MistypedError
from engine.console.in_the_data import names_not_in_the_data
from engine.console.page import colored
from engine.console.watching import changes, ended, heading, state, watching
from engine.dispatch.trial import try_out
from engine.intake.mapping import mappings
from engine.language.config import CONFIG_FILE
from engine.language.phrases import Phrase, phrase, said
from engine.language.problems import Problem, errors, ordered, to_github, to_json, to_text, whole_file
from engine.language.yamlfile import find
from engine.vocabulary.home import Checked, checked_home

#: Folders of a home whose files are checked.
CHECKED: Final = ("config", "rules", "templates")


def check(
    root: Path, files: Sequence[str], environ: Mapping[str, str], today: date, *, cost_at: datetime | None = None
) -> list[Problem]:
    """Give the problems of the whole home, or of ``files``: paths from here or from the home, files or folders.

    ``cost_at``: with what rules would cost at that moment, by the home's own data.

    Raises ``MistypedError`` for a path that is not there or not in the home.
    """
    checked = checked_home(root, environ, today)
    found = [*checked.problems, *mappings(root)[1], *names_not_in_the_data(checked)]
    if cost_at is not None:
        from engine.console.efforts import costs  # only here: it needs the whole engine

        found += costs(root, environ, cost_at)
    problems = ordered([*found, *_without_rules(root), *_templates_on_trial(checked)])
    if not files:
        return problems
    wanted = [_in_home(root, name) for name in files]
    chosen = [each for each in problems if any(Path(each.path).is_relative_to(path) for path in wanted)]
    if not chosen and any(each.code == "missing-file" for each in problems):
        return problems
    return chosen


def _without_rules(root: Path) -> list[Problem]:
    """Warn of a home that has no rule: every run would be fine and nothing would ever go out."""
    if not (root / CONFIG_FILE).exists() or any(find(root / "rules", "rules")):
        return []
    said = phrase("there is no rule, so nothing will ever go out")
    cure = phrase("`regulars init DIR` makes another home with examples: copy one of its rules.")
    return [whole_file("rules", said, "no-rules", hint=cure, severity="warning")]


def _templates_on_trial(checked: Checked) -> list[Problem]:
    """Render every sound template; the messages would fail when a run makes them, each for its own guest."""
    return [] if checked.config is None else try_out(checked.templates, checked.config)


def _in_home(root: Path, name: str) -> Path:
    """Give the path inside the home that is meant: from here where that is in the home, else from the home."""
    there = [place.resolve() for place in (Path.cwd() / name, root.absolute() / name) if place.exists()]
    if not there:
        raise MistypedError(f"the file {name} is not there")
    inside = [place.relative_to(root.resolve()) for place in there if place.is_relative_to(root.resolve())]
    if not inside:
        raise MistypedError(f"the file {name} is not in the home {root.absolute()}")
    if inside[0].parts and inside[0].parts[0] not in CHECKED:
        raise MistypedError(f"the file {name} is nothing that is checked: that are {', '.join(CHECKED)}")
    return inside[0]


def watch(
    root: Path,
    files: Sequence[str],
    environ: Mapping[str, str],
    language: str,
    *,
    clock: Callable[[], datetime],
    say: Callable[..., None],
    sleep: Callable[[float], object],
) -> None:
    """Check and print, again whenever a file has changed, until the person ends it; ``say`` takes text and ``err``."""
    try:
        for changed in changes(lambda: state(root, CHECKED), sleep):
            if changed:
                say(f"\n{said(heading(changed), language)}\n")
            say(printed(check(root, files, environ, clock().date()), "text", language))
            say(f"{said(watching(), language)}\n", err=True)
    except KeyboardInterrupt:
        say(f"\n{said(ended(), language)}\n", err=True)


def printed(problems: Sequence[Problem], shape: str, language: str = "en") -> str:
    """Give the problems as text with carets, as JSON or GitHub's commands one a line, in an owner's language."""
    if shape == "json":
        return "".join(json.dumps(to_json(each, language), ensure_ascii=False) + "\n" for each in problems)
    if shape == "github":
        return "".join(f"{to_github(each, language)}\n" for each in problems)
    wrong = len(errors(problems))
    ending = said(_ending(wrong, len(problems) - wrong), language)
    return f"{to_text(problems, color=colored(), language=language)}{ending}\n"


def _ending(wrong: int, odd: int) -> Phrase:
    """Count what was found."""
    if not wrong and not odd:
        return phrase("No problem found.")
    problems = phrase("1 problem") if wrong == 1 else phrase("{n:,} problems", n=wrong)
    warnings = phrase("1 warning") if odd == 1 else phrase("{n:,} warnings", n=odd)
    if wrong and odd:
        return phrase("\n{problems} and {warnings}.", problems=problems, warnings=warnings)
    return phrase("\n{counted}.", counted=problems if wrong else warnings)
