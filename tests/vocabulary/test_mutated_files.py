"""Spoilt files of every kind: never an exception, every problem inside the file, printed in both languages, in time.

Without anything set a fixed number of them is looked at. ``REGULARS_FUZZ_SECONDS=300`` goes on that long instead and
watches time and memory too; ``REGULARS_FUZZ_SEED`` begins elsewhere, and with the number that a failure names it begins
with that file. ``make fuzz`` sets both.
"""

from __future__ import annotations

import os
import re
import time
import tracemalloc
from collections.abc import Iterator
from itertools import count
from random import Random

import pytest
from mutations import mutated
from test_owner_mistakes import FILES, HOME, NAMES, place_of

from engine.language.phrases import LANGUAGES, said
from engine.language.problems import Problem, errors, to_github, to_json, to_text
from engine.language.yamlfile import load
from engine.starter.home import starter_files
from engine.vocabulary.home import Home, check_home, load_home
from engine.vocabulary.validate import rule_from

SECONDS = float(os.environ.get("REGULARS_FUZZ_SECONDS", "0"))
FIRST = int(os.environ.get("REGULARS_FUZZ_SEED", "0"))
#: Bytes of a spoilt file: sixteen times what is read. A larger one would only measure the test.
MOST = 4 * 1024 * 1024
SHARES, LOOKS = 2, 350
#: What the issue allows a file; a machine that is busy with other tests gets more time than that.
LONGEST, LARGEST = 2.0, 200 * 2**20


def shipped() -> list[tuple[str, str]]:
    """Give the shipped files: where each stands in a home, and its text."""
    root = starter_files()
    files = [file for folder in ("rules", "config") for file in sorted((root / folder).rglob("*.yaml"))]
    return [(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def mistakes() -> list[tuple[str, str]]:
    """Give the owners' mistakes: where each stands in a home, and its text."""
    return [(place_of(name), FILES[name].read_bytes().decode("utf-8", "replace")) for name in NAMES]


SHIPPED, MISTAKEN = shipped(), mistakes()
TEXTS = [text for _, text in (*SHIPPED, *MISTAKEN)]


def spoilt(seed: int, originals: list[tuple[str, str]] | None = None) -> tuple[str, bytes]:
    """Give the place and the bytes of the spoilt file of that number."""
    dice = Random(seed)
    place, text = dice.choice(originals or (SHIPPED if dice.random() < 0.6 else MISTAKEN))
    return place, mutated(dice, text, TEXTS)[:MOST]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    root, starter = tmp_path_factory.mktemp("mutated"), starter_files()
    files = {**HOME, "regulars.key": "0" * 64}
    for name in ("offers", "segments"):
        text = (starter / f"config/{name}.yaml").read_text(encoding="utf-8")
        files[f"config/{name}.yaml"] = text if "\nregulars:" in text else f"{files[f'config/{name}.yaml']}\n{text}"
    for folder in (starter / "templates").iterdir():  # short ones: every spoilt config reads them all
        files |= {f"templates/{folder.name}/{name}.txt": "Hello" for name in ("subject", "email", "sms")}
    for shown, text in files.items():
        (root / shown).parent.mkdir(parents=True, exist_ok=True)
        (root / shown).write_text(text, encoding="utf-8")
    return load_home(root, {})


def problems_of(home: Home, place: str, raw: bytes) -> list[Problem]:
    """Check one spoilt file: a rule beside the home's other files, or one of the config in the home itself."""
    file = home.root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = file.read_bytes() if file.exists() else None
    file.write_bytes(raw)
    try:
        if not place.startswith("rules/"):
            return check_home(home.root, {})
        document, problems = load(file, place)
        if document is not None:
            rule, found = rule_from(document, home.around)
            problems = [*problems, *found]
            assert rule is not None or errors(problems), "a rule that cannot be read has an error"
        return problems
    finally:
        if kept is None:
            file.unlink()
        else:
            file.write_bytes(kept)


def judge(problems: list[Problem], place: str, raw: bytes) -> None:
    """Every problem of the file lies inside it, and can be printed for a person and for programs in each language."""
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", raw.decode("utf-8-sig", "replace"))
    for problem in problems:
        assert problem.code
        assert re.search("[\u4e00-\u9fff]", said(problem.message, "zh")), problem.message
        if problem.path == place and len(raw) < 256 * 1024:
            assert 1 <= problem.line <= max(len(lines), 1), problem
            if problem.excerpt:
                assert 1 <= problem.column <= len(problem.excerpt) + 1, problem
                assert problem.width >= 1
    for language in LANGUAGES:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", to_text(problems, language=language))
        for problem in problems:
            assert to_json(problem, language)["code"] == problem.code
            assert "\n" not in to_github(problem, language)


def seeds(share: int) -> Iterator[int]:
    """Give the numbers of the files to look at: so many, or as long as there is time."""
    end = time.monotonic() + SECONDS / SHARES
    for number in count(FIRST * SHARES + share, SHARES):
        if (time.monotonic() >= end) if SECONDS else number >= (FIRST * SHARES) + LOOKS * SHARES:
            return
        yield number


@pytest.mark.parametrize("share", range(SHARES))
def test_a_spoilt_file_is_answered_with_problems_inside_it(share: int, home: Home) -> None:
    looked_at = 0
    for seed in seeds(share):
        place, raw = spoilt(seed)
        watched = bool(SECONDS) and seed % 20 < SHARES
        if watched:
            tracemalloc.start()
        began = time.process_time()
        try:
            judge(problems_of(home, place, raw), place, raw)
        except Exception as error:
            seen = raw[:2000].decode("utf-8", "backslashreplace")
            raise AssertionError(f"REGULARS_FUZZ_SEED={seed // SHARES}, {place}:\n{seen}") from error
        finally:
            took, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if SECONDS and not watched:
            assert took < LONGEST, f"REGULARS_FUZZ_SEED={seed // SHARES}, {place}: {took:.1f} seconds"
        assert peak < LARGEST, f"REGULARS_FUZZ_SEED={seed // SHARES}, {place}: {peak / 2**20:.0f} MB"
        looked_at += 1
    assert looked_at > 0


def test_the_mutations_spoil_most_files_but_not_all(home: Home) -> None:
    """Were all of them unreadable, only the YAML reader would be tested."""
    rules = [each for each in SHIPPED if each[0].startswith("rules/")]
    told = [{problem.code for problem in problems_of(home, *spoilt(seed, rules))} for seed in range(100)]
    assert 2 <= sum(not codes for codes in told) <= 40
    assert len(set().union(*told)) > 20
