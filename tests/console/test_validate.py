"""``validate``: its languages, its formats, what only it looks at, and ``--watch``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.console.checking import CHECKED, watch
from engine.console.watching import PAUSE, changes, state

from .conftest import NOW, Regulars


@pytest.fixture
def home(home: Path) -> Path:
    """The home without the segments that ask for products: its orders have no items, and that would be warned of."""
    file = home / "config" / "segments.yaml"
    file.write_text(file.read_text(encoding="utf-8").partition("\nlunch-crowd:")[0], encoding="utf-8")
    return home


BROKEN = "id: broken\ntrigger:\n  lapsed: 90 dayz\nactions:\n  - coupon: twenty-percent\n  - email: win-back\n"


def test_problems_are_told_in_the_language_that_is_asked_for(at_home: Regulars, home: Path):
    (home / "rules" / "broken.yaml").write_text(BROKEN, encoding="utf-8")
    english = at_home("validate")
    assert english.exit_code == 1
    assert '"lapsed": "90 dayz" is not a duration' in english.stdout
    assert english.stdout.endswith("\n1 problem.\n")
    chinese = at_home("--lang", "zh", "validate")
    assert chinese.exit_code == 1
    assert "“lapsed”：“90 dayz”不是时长" in chinese.stdout
    assert chinese.stdout.endswith("\n1 个问题。\n")
    assert "[bad-duration]" in chinese.stdout


def test_the_language_may_stand_in_the_environment(at_home: Regulars, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REGULARS_LANG", "zh")
    assert at_home("validate").stdout == "没有发现问题。\n"
    assert at_home("--lang", "en", "validate").stdout == "No problem found.\n"


def test_every_command_tells_a_broken_config_in_the_language(at_home: Regulars, home: Path):
    config = home / "config" / "regulars.yaml"
    config.write_text(config.read_text(encoding="utf-8") + "aprovals: first\n", encoding="utf-8")
    for command in (["run"], ["schedule"], ["log"]):
        result = at_home("--lang", "zh", *command)
        assert result.exit_code == 1
        assert "配置文件里没有“aprovals”这个词，是不是想写“approvals”？ [unknown-key]" in result.stderr


def test_a_run_tells_its_broken_rules_in_the_language(at_home: Regulars, home: Path):
    (home / "rules" / "broken.yaml").write_text(BROKEN, encoding="utf-8")
    result = at_home("--lang", "zh", "run", "--dry-run")
    assert "有 1 条规则有错误，没有运行:\n" in result.stderr
    assert "“90 dayz”不是时长" in result.stderr


def test_json_has_the_same_keys_and_codes_in_any_language(at_home: Regulars, home: Path):
    (home / "rules" / "broken.yaml").write_text(BROKEN, encoding="utf-8")
    english, chinese = (
        json.loads(at_home("--lang", language, "validate", "--format", "json").stdout) for language in ("en", "zh")
    )
    said = {"message", "hint"}
    assert english.keys() == chinese.keys()
    assert {key: value for key, value in english.items() if key not in said} == {
        "path": "rules/broken.yaml",
        "line": 3,
        "column": 11,
        "severity": "error",
        "code": "bad-duration",
    }
    assert {**english, "message": "", "hint": ""} == {**chinese, "message": "", "hint": ""}
    assert chinese["message"].startswith("“lapsed”：")


def test_github_shows_it_beside_the_line(at_home: Regulars, home: Path):
    (home / "rules" / "broken.yaml").write_text(BROKEN, encoding="utf-8")
    assert at_home("validate", "--format", "github").stdout == (
        "::error file=rules/broken.yaml,line=3,col=11,endColumn=18,title=bad-duration::"
        '"lapsed": "90 dayz" is not a duration such as 90 days, 2 weeks, 3 months or 1 year - did you mean "90 days"?\n'
    )


def test_the_mappings_of_tills_are_checked_too(at_home: Regulars, home: Path):
    (home / "config" / "mappings").mkdir()
    (home / "config" / "mappings" / "ourtill.yaml").write_text("knd: orders\n", encoding="utf-8")
    result = at_home("validate")
    assert result.exit_code == 1
    assert '"knd" is not known in a mapping - did you mean "kind"? [unknown-key]' in result.stdout


def test_a_home_without_a_rule_is_warned_of(at_home: Regulars, home: Path):
    for file in (home / "rules").iterdir():
        file.unlink()
    result = at_home("validate")
    assert result.exit_code == 0
    assert result.stdout.startswith("rules:1:1: warning: there is no rule, so nothing will ever go out [no-rules]\n")
    shutil.rmtree(home / "rules")
    assert "[no-rules]" in at_home("validate").stdout


@pytest.mark.parametrize(
    ("written", "line", "said"),
    [
        ("Dear\n{{ customer.name + 1 }}\n", 2, "these values cannot be put together so: a text is no number"),
        ("Dear\n\n{{ customer.visits / 0 }}\n", 3, "filled in with usual values this divides by zero"),
        ("{{ 'a' * 1000000 }}\n", 1, "this is not allowed in a template"),
        ("a\n{{ [1][5] }}\n", 2, "filled in with usual values this fails: list object has no element 5"),
    ],
)
def test_what_fails_only_when_a_message_is_made_is_told_with_its_line(
    at_home: Regulars, home: Path, written: str, line: int, said: str
):
    (home / "templates" / "win-back" / "email.txt").write_text(written, encoding="utf-8")
    result = at_home("validate", "templates")
    assert result.exit_code == 1
    assert f"templates/win-back/email.txt:{line}:1: {said} [template-fails]\n" in result.stdout


@pytest.mark.parametrize("inbox", ["/", "..", ".", "./config/../"])
def test_an_inbox_that_holds_the_home_itself_is_refused(at_home: Regulars, home: Path, inbox: str):
    assert "[dangerous-inbox]" in with_inbox(at_home, home, inbox, 1)


def test_an_inbox_among_the_homes_own_files_is_refused(at_home: Regulars, home: Path):
    assert '"inbox" lies in templates/, which has files of its own' in with_inbox(at_home, home, "templates", 1)


def test_an_inbox_that_leads_out_of_the_home_is_asked_about(at_home: Regulars, home: Path):
    assert "[inbox-outside]" in with_inbox(at_home, home, "../exports", 0)
    assert with_inbox(at_home, home, str(home.parent / "exports"), 0) == "No problem found.\n"


def with_inbox(at_home: Regulars, home: Path, inbox: str, code: int) -> str:
    config = home / "config" / "regulars.yaml"
    kept = "".join(
        line for line in config.read_text(encoding="utf-8").splitlines(keepends=True) if "inbox:" not in line
    )
    config.write_text(kept.replace("\ndata:\n", f"\ndata:\n  inbox: {inbox}\n"), encoding="utf-8")
    result = at_home("validate")
    assert result.exit_code == code, result.stdout
    return str(result.stdout)


# -- --watch ----------------------------------------------------------------------------------------------------------


def looks(*seen: dict[str, tuple[int, int]]) -> Iterator[dict[str, tuple[int, int]]]:
    yield from seen
    raise KeyboardInterrupt


def test_a_change_is_given_once_it_has_stood_for_a_pause():
    one, two, three = {"a": (1, 1)}, {"a": (2, 9)}, {"a": (3, 9), "b": (3, 1)}
    seen, slept = looks(one, one, two, two, three, three, three, one, one, one), []
    given = changes(lambda: next(seen), slept.append)
    assert next(given) == []
    assert next(given) == ["a", "b"]  # two was still being written
    assert next(given) == ["a", "b"]
    assert set(slept) == {PAUSE}


def test_what_changes_and_changes_back_is_nothing():
    one, two = {"a": (1, 1)}, {"a": (2, 9)}
    seen = looks(one, two, two, one, one)
    given = changes(lambda: next(seen), lambda _: None)
    assert next(given) == []
    with pytest.raises(KeyboardInterrupt):
        next(given)


def test_the_home_is_checked_again_when_a_file_changes_and_ctrl_c_ends_it(home: Path):
    said: list[str] = []
    file = home / "rules" / "broken.yaml"
    steps = iter([lambda: file.write_text(BROKEN, encoding="utf-8"), lambda: None, file.unlink, lambda: None])

    def sleep(_: float) -> None:
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    watch(home, (), {}, "en", clock=lambda: NOW, say=lambda text, **_: said.append(text), sleep=sleep)
    assert said[0] == "No problem found.\n"
    assert said[2] == "\nChanged: rules/broken.yaml\n"
    assert "[bad-duration]" in said[3]
    assert said[5:7] == ["\nChanged: rules/broken.yaml\n", "No problem found.\n"]
    assert said[-1] == "\nNo longer watching.\n"


def test_only_what_is_checked_is_watched(home: Path):
    seen = state(home, CHECKED)
    assert "config/regulars.yaml" in seen
    assert {name.split("/")[0] for name in seen} == set(CHECKED)


def test_a_program_does_not_look_on(at_home: Regulars):
    result = at_home("validate", "--watch", "--format", "json")
    assert result.exit_code == 2
    assert "--watch is for a person who looks on" in result.stderr
