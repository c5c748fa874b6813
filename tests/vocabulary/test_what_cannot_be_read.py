"""What has an error never runs, not even in the part that could be read: a lost condition would match everybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_owner_mistakes import HOME, NAMES, place_of, problems_of

from engine.language.keys import make_key
from engine.language.problems import ProblemsError, errors
from engine.vocabulary.home import check_home, load_home

RULE = "id: r\ntrigger:\n  joined:\nactions:\n  - email: hello\n"


def loaded(root: Path, files: dict[str, str]):
    for shown, text in {**HOME, **files}.items():
        (root / shown).parent.mkdir(parents=True, exist_ok=True)
        (root / shown).write_text(text, encoding="utf-8")
    make_key(root)
    return load_home(root, {})


@pytest.mark.parametrize("name", [name for name in NAMES if place_of(name).startswith("rules/")])
def test_a_rule_with_an_error_is_broken_and_not_among_those_that_run(name: str, tmp_path: Path) -> None:
    problems = problems_of(name, tmp_path)
    make_key(tmp_path)
    home = load_home(tmp_path, {})
    assert home.broken == {problem.path for problem in errors(problems) if problem.path.startswith("rules/")}
    assert not {rule.path for rule in home.rules} & home.broken


@pytest.mark.parametrize(
    "lines",
    [
        "conditions:\n  none:\n    - tag: *staff\n",
        "priority: !!int 3\n",
        "conditions:\n  tag: vip\nconditions:\n  tag: staff\n",
        "limits:\n  again_after: *a\n",
        "conditions: &a\n  tag: vip\n",
    ],
)
def test_a_file_that_is_wrong_in_part_is_wrong(lines: str, tmp_path: Path) -> None:
    home = loaded(tmp_path, {"rules/r.yaml": RULE + lines})
    assert home.broken == {"rules/r.yaml"}
    assert [rule.id for rule in home.rules] == ["welcome"]


def test_a_segment_with_a_word_twice_holds_nobody(tmp_path: Path) -> None:
    segments = "vips:\n  conditions:\n    city: Paris\n    city: London\nregulars:\n  conditions:\n    visits: 4\n"
    uses = RULE + "conditions:\n  none:\n    - segment: vips\n"
    home = loaded(tmp_path, {"config/segments.yaml": segments, "rules/r.yaml": uses})
    assert "rules/r.yaml" in home.broken
    assert set(home.segments) == {"regulars"}


def test_an_offer_with_a_word_twice_is_no_offer(tmp_path: Path) -> None:
    offers = "treat:\n  name: A treat\n  percent: 10%\n  percent: 90%\n  valid: 14 days\n"
    home = loaded(tmp_path, {"config/offers.yaml": offers})
    assert "treat" not in home.offers


def test_how_long_an_sms_becomes_is_told_to_who_checks_the_files_and_to_no_run(tmp_path: Path) -> None:
    long = {"templates/long/sms.txt": "x" * 161, "rules/r.yaml": RULE}
    home = loaded(tmp_path, long)
    assert "long" in home.templates
    assert "sms-length" not in {problem.code for problem in home.problems}
    assert "sms-length" in {problem.code for problem in check_home(tmp_path, {})}
    (tmp_path / "config/regulars.yaml").write_text("business: nothing\n", encoding="utf-8")
    with pytest.raises(ProblemsError) as told:
        load_home(tmp_path, {})
    assert list(told.value.problems) == check_home(tmp_path, {})
