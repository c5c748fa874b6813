"""A folder of owners' mistakes, each with exactly what is printed about it, in English and in Chinese.

A file is a rule, or, by the beginning of its name, the home's config, offers, segments or loyalty. After a change of messages:
``REGULARS_WRITE_MISTAKES=1 pytest tests/vocabulary/test_owner_mistakes.py``, and read the difference as an owner would.
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path

import pytest

from engine.language.phrases import said
from engine.language.problems import Problem, to_text
from engine.vocabulary.home import check_home

TODAY = date(2026, 5, 4)
FOLDER = Path(__file__).parents[1] / "mistakes"
PLACES = {
    "config": "config/regulars.yaml",
    "offers": "config/offers.yaml",
    "segments": "config/segments.yaml",
    "loyalty": "config/loyalty.yaml",
    "calendar": "config/calendar.yaml",
}
#: Where the mistake is the file's name.
OTHER_NAMES = {"saved-as-txt": "rules/saved-as-txt.yaml.txt"}
HOME = {
    "config/regulars.yaml": """\
business:
  name: Corner Café
  address: 1 Elm Street
  country: US
  language: en
  timezone: America/Chicago
  currency: USD
contacts:
  manager:
    email: manager@corner.example
topics:
  - news
  - offers
""",
    "config/offers.yaml": """\
treat:
  name: A treat
  item: a treat
  valid: 14 days
endless:
  name: A treat
  item: a treat
""",
    "config/loyalty.yaml": "ledgers:\n  points:\n    expires: 1 year\n  stamps: {}\n",
    "config/segments.yaml": "regulars:\n  conditions:\n    visits:\n      at_least: 4\n",
    "rules/welcome.yaml": "id: welcome\ntrigger:\n  joined:\nactions:\n  - email: hello\n",
    "templates/hello/subject.txt": "Hello",
    "templates/hello/email.txt": "Hello",
    "templates/hello/sms.txt": "Hello",
    "templates/letter/subject.txt": "A letter",
    "templates/letter/email.txt": "A letter",
    "templates/note/email.txt": "A note",
    "templates/gift/subject.txt": "A gift",
    "templates/gift/email.txt": "Your code is {{ coupon.code }}",
    "templates/gift/sms.txt": "Your code is {{ coupon.code }}",
    "templates/last-call/subject.txt": "Last call",
    "templates/last-call/email.txt": "{{ expiring.total }} until {{ expiring.day }}",
    "templates/friends/subject.txt": "Thanks",
    "templates/friends/email.txt": "{{ friend.first_name }} was here",
    "templates/receipt/subject.txt": "Thanks",
    "templates/receipt/email.txt": "You paid {{ order.total }}",
}
ENDINGS = {"en": ".txt", "zh": ".zh.txt"}
FILES = {file.stem: file for ending in ("yaml", "html") for file in FOLDER.glob(f"*.{ending}")}
NAMES = sorted(FILES)


def place_of(name: str) -> str:
    """Give the place in a home where a mistake stands."""
    kind, _, rest = name.partition("-")
    if FILES[name].suffix == ".html":
        return "templates/letter/email.html"
    if kind == "country":
        return f"config/compliance/{rest}.yaml"
    return PLACES.get(kind, OTHER_NAMES.get(name, f"rules/{name}.yaml"))


def problems_of(name: str, root: Path) -> list[Problem]:
    files = {shown: text.encode() for shown, text in HOME.items()} | {place_of(name): FILES[name].read_bytes()}
    for shown, raw in files.items():
        (root / shown).parent.mkdir(parents=True, exist_ok=True)
        (root / shown).write_bytes(raw)
    return check_home(root, {}, TODAY)


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_told_in_exactly_these_words(name: str, tmp_path: Path) -> None:
    problems = problems_of(name, tmp_path)
    for language, ending in ENDINGS.items():
        told, file = to_text(problems, language=language) + "\n", FOLDER / f"{name}{ending}"
        if os.environ.get("REGULARS_WRITE_MISTAKES"):
            file.write_text(told, encoding="utf-8")
        assert told == file.read_text(encoding="utf-8")


def test_the_home_itself_has_no_problem_and_no_text_is_left_over(tmp_path: Path) -> None:
    for shown, text in HOME.items():
        (tmp_path / shown).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / shown).write_text(text, encoding="utf-8")
    assert check_home(tmp_path, {}, TODAY) == []
    texts = {f"{name}{ending}" for name in NAMES for ending in ENDINGS.values()}
    assert {file.name for file in FOLDER.glob("*.txt")} == texts


def test_ten_mistakes_in_one_file_are_ten_problems_at_ten_places(tmp_path: Path) -> None:
    problems = problems_of("ten-mistakes", tmp_path)
    assert len(problems) == 10
    assert [(problem.line, problem.column) for problem in problems] == sorted(
        {(problem.line, problem.column) for problem in problems}
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_is_placed_and_coded(name: str, tmp_path: Path) -> None:
    for problem in problems_of(name, tmp_path):
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.code
        assert "Traceback" not in problem.message
        assert re.search("[\u4e00-\u9fff]", said(problem.message, "zh")), problem.message
        assert not problem.message.endswith(".")
